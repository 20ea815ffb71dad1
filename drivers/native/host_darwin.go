package native

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// hostRAM is the memory of this machine in bytes.
func hostRAM() (uint64, error) {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0, fmt.Errorf("read memory size: %w", err)
	}
	return n, nil
}
