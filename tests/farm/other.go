//go:build !linux

package farm

import "testing"

// newNamespaces ends the test: only Linux has them.
func newNamespaces(t testing.TB, _ Topology) network {
	t.Helper()
	t.Skip("network name spaces are Linux's")
	return nil
}

// newDisk ends the test: it is a file system in the memory of Linux.
func newDisk(t testing.TB, _ string, _ int) *Disk {
	t.Helper()
	t.Skip("a full disk is tried on Linux")
	return nil
}
