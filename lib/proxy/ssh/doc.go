// Package sshproxy is the way into the environments: an SSH server on every
// node that takes one-time credentials and joins its client with the SSH server
// of the environment, wherever in the cluster that runs.
//
// The node that a client connects to is the entry: it speaks SSH with both. The
// node that runs the environment, the executor, gives the entry a connection to
// it, and alone decides who may use the credentials. See DESIGN.md.
package sshproxy
