// Package peers decides with whom a node is linked: whom it dials, whom it
// takes when asked, and which link it gives up. It does no I/O; time and
// chance are passed in. The DESIGN.md of lib/cluster tells the rules.
package peers
