package native

import (
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// host is what this machine has.
type host struct {
	cores uint
	ram   uint64 // bytes
}

// limits is what the instance may give out of it. Memory is counted in whole
// GB, a started one as whole: a machine sold with 16 GB shows a little less,
// and its admin writes 16.
func (h host) limits(s settings) (drivers.Limits, error) {
	const gb = 1 << 30
	cpu := int(h.cores) + s.CPUAlter         //nolint:gosec // small numbers
	ram := int((h.ram+gb-1)/gb) + s.RAMAlter //nolint:gosec // small numbers
	// 0 would mean unlimited, which is the last thing that was meant.
	if cpu < 1 {
		return drivers.Limits{}, fmt.Errorf("cpu_alter %d leaves nothing of the host's %d cores", s.CPUAlter, h.cores)
	}
	if ram < 1 {
		return drivers.Limits{}, fmt.Errorf("ram_alter %d leaves nothing of the host's %d GB", s.RAMAlter, int(h.ram/gb)) //nolint:gosec // small numbers
	}
	return drivers.Limits{
		CPU: uint(cpu), RAM: uint(ram), CPUOverbook: s.CPUOverbook, RAMOverbook: s.RAMOverbook,
	}, nil
}
