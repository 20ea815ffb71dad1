//go:build unix

package offline

import "golang.org/x/sys/unix"

// yieldCPU lets the node go first: a copy has time, who polls a node has not.
func yieldCPU() { _ = unix.Setpriority(unix.PRIO_PROCESS, 0, 10) } // it works as well without
