// Package topo knows who is in the cluster, who is linked with whom, and which
// neighbour is the way to whom, from what each node says of itself (link state
// advertisements, LSAs). It decides nothing about links and does no I/O; time
// is passed in. The DESIGN.md of lib/cluster tells the rules.
package topo
