// Package store is the database of a node and the only package that knows SQL.
//
// It keeps three promises. A write that was answered survives kill -9 and
// power loss. What readers see is always the state after some whole commit, in
// commit order. And finished history costs nothing: neither the start nor any
// hot read looks at it.
//
// One writer goroutine commits what is queued in groups; what is alive (users,
// labels, applications that are not done) is read from memory; a feed tells
// who subscribed what changed. DESIGN.md has the whole.
package store
