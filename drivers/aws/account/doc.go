// Package account keeps what is known of one account in one region, for all
// driver instances of the process that use it: what runs, what there is room
// for, what it costs. Who asks is answered from memory, with the age of the
// answer; goroutines of the account ask EC2, once for all, and rarely.
//
// See DESIGN.md for the invariants.
package account
