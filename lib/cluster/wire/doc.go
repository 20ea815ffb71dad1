// Package wire holds the messages that neighbours in a cluster send to each
// other, and how they are written as bytes. Fields are numbered: a number is
// never used twice for different things, and what a node does not know it
// skips, so that versions of the program understand each other.
package wire
