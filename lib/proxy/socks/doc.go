// Package socksproxy lets environments reach what service mappings name, and
// nothing else: by SOCKS5 and, on the same port, by HTTP CONNECT for tools that
// know no SOCKS (contract 23).
//
// Who connects is an environment of this node, known as lib/caller knows it.
// Where it may go is decided by Decide, anew for each connection. DESIGN.md
// has the rules and why they are so.
package socksproxy
