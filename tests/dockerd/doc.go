// Package dockerd starts a Docker engine of a test's own: a real one, with its
// own socket, data, containerd and network name space, so that engines beside
// each other and that of the machine know nothing of one another. It needs
// root, Linux and the programs of Debian's docker.io; its users are built on
// Linux alone.
//
// DESIGN.md says what an engine leaves where, and who removes it.
package dockerd
