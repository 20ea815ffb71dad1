//go:build linux

// Package openssh runs OpenSSH for tests: its server as an environment that
// somebody logs in to, and its client as who does.
//
// A [Server] is no daemon of the machine: it listens by itself, has keys,
// config and log of its own, and hands each connection to a fresh sshd (as
// inetd does), which the test may kill. A [Client] has a home of its own: what
// this machine's user has configured, known or loaded into an agent is not
// looked at.
package openssh
