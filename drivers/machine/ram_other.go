//go:build !linux && !darwin

package machine

import (
	"context"

	"github.com/shirou/gopsutil/v4/mem"
)

// ram is the memory of this machine in bytes.
func ram(ctx context.Context) (uint64, error) {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return 0, err
	}
	return m.Total, nil
}
