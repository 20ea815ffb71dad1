// Package vmx runs the real binary with the driver vmx on the fake of VMware
// (drivers/vmx/vmrunfake): virtual machines are processes that outlive the
// node, and nothing of them may be left when their application is over.
//
// The campaign of kills draws all from one seed, which a failure prints:
// FISH_KILL_SEED repeats the plan (not the interleaving), FISH_KILL_ROUNDS sets
// the number of rounds, FISH_LONG=1 means 100.
package vmx
