// Package farm runs many real nodes for tests, breaks what is between them,
// and judges from outside what they did.
//
// A [Farm] is a number of nodes of one CA, each with a folder of its own; on
// loopback, or each in a network namespace that the test makes, so that A sees
// only B where the [Topology] says so. Faults are those of a machine room:
// packets dropped, delayed and lost, processes killed and stopped, disks full,
// clocks wrong, files of yesterday. What was executed is not asked of the
// nodes: their test drivers write it down (see [Ledger]), and the machine's one
// clock tells whether two of them ran one application at a time.
//
// Nothing here sleeps, but where a fault has to last a while to be one.
package farm
