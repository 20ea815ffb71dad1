// Package vmx tests the real binary with virtual machines of a faked VMware:
// lives, tasks, endings, and nodes that are killed.
package vmx
