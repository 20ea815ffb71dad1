// Package relay joins two SSH connections so that what lies between them is
// not noticed: every channel, request and byte of the one side reaches the
// other, in order, with its replies, its ends and its failures.
//
// It knows nothing of who the two are. See DESIGN.md.
package relay
