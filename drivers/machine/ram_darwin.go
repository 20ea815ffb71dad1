package machine

import (
	"context"

	"golang.org/x/sys/unix"
)

// ram is the memory of this machine in bytes.
func ram(context.Context) (uint64, error) { return unix.SysctlUint64("hw.memsize") }
