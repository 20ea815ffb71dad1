// Package sim plays a whole farm in one process and in fake time. Each node
// is the real store, replication, cluster, election and lifecycle, over a
// network and a machine in memory that fail as a seeded plan says. See
// DESIGN.md.
package sim
