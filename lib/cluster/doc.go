// Package cluster makes the node a member of its cluster: it holds the links
// to neighbours, knows who else is there and how to reach them, carries votes
// to all, and runs replication on each link. It has no leader. DESIGN.md tells
// the rules; the decisions themselves are in the packages topo and peers, the
// messages in wire.
package cluster
