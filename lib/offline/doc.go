// Package offline has the commands that work on a node's folder rather than
// through its API: the database is copied, checked and put back, a lost
// password is replaced, facts for a report are gathered. Those that change
// something need the node to be stopped, and find out themselves whether it is.
package offline
