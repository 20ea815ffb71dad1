// Package enrol makes a machine a member of a cluster without anybody running openssl: invitations, which a node with the
// CA's key gives out, and their redemption, by which a fresh machine gets a certificate for the key that it made itself.
// The CA's key never travels. DESIGN.md has the rules.
package enrol
