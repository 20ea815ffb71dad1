package farm

import "testing"

// Disk is a small file system for the folder of one node.
type Disk struct {
	t    testing.TB
	path string
}
