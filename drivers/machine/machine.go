// Package machine knows what a machine has, and what a driver instance may
// give out of it.
//
// The local instances of a node share one sum of what is in use (contract 13):
// an environment of one counts against the limits of all. So the limit of an
// instance is not a part of the machine that is its own. It says up to which
// use of the whole machine the instance still takes more: with `cpu_alter: -2`
// on 8 cores it takes no environment that would bring the node above 6, whoever
// uses them, and an instance without it may fill the last two.
package machine

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// gb is what memory is counted in.
const gb = 1 << 30

// most bounds every number of a Share, in cores or GB: more is a slip of the
// pen, and no sum of such numbers overflows.
const most = 1 << 20

// Host is what a machine has.
type Host struct {
	Cores uint
	RAM   uint64 // bytes
}

// Here is this machine. A container or service with a part of it is not
// noticed: its admin takes the rest away with cpu_alter and ram_alter.
func Here(ctx context.Context) (Host, error) {
	ram, err := ram(ctx)
	if err != nil {
		return Host{}, fmt.Errorf("find out the memory of this machine: %w", err)
	}
	return Host{Cores: uint(runtime.NumCPU()), RAM: ram}, nil //nolint:gosec // a small number
}

// Share is the part of an instance's cfg that says what of a machine it may
// give out (contract 29). A driver's settings embed it.
type Share struct {
	CPUAlter    int  `yaml:"cpu_alter"` // cores that are added to those of the machine, or taken away
	RAMAlter    int  `yaml:"ram_alter"` // the same in GB
	CPUOverbook uint `yaml:"cpu_overbook"`
	RAMOverbook uint `yaml:"ram_overbook"`
	// Remote says that the machine is not this one, so that its use does not
	// count as the node's: the limits are the instance's alone. It is the key
	// is_remote of drivers that have it.
	Remote bool
}

// Limits is what an instance may give out of the machine on which its
// environments run: Here, or what an engine elsewhere says it has. An error
// names the key that is wrong.
//
// Memory is counted in whole GB, a started one as whole: a machine sold with
// 16 GB shows a little less, and its admin writes 16.
func (h Host) Limits(s Share) (drivers.Limits, error) {
	cpu, err1 := altered("cpu_alter", "cores", uint64(h.Cores), s.CPUAlter)
	ram, err2 := altered("ram_alter", "GB", (h.RAM+gb-1)/gb, s.RAMAlter)
	err := errors.Join(err1, err2, sane("cpu_overbook", s.CPUOverbook), sane("ram_overbook", s.RAMOverbook))
	if err != nil {
		return drivers.Limits{}, err
	}
	return drivers.Limits{CPU: cpu, RAM: ram, CPUOverbook: s.CPUOverbook, RAMOverbook: s.RAMOverbook, Remote: s.Remote}, nil
}

func sane(key string, overbook uint) error {
	if overbook > most {
		return fmt.Errorf("%s %d: want %d or less", key, overbook, most)
	}
	return nil
}

// altered is what an alter makes of what there is. Nothing is an error: a
// limit of 0 would mean unlimited, which is the last thing that was meant.
func altered(key, unit string, there uint64, alter int) (uint, error) {
	if alter > most || alter < -most {
		return 0, fmt.Errorf("%s %d: want a number between -%d and %d", key, alter, most, most)
	}
	left := int64(min(there, 1<<40)) + int64(alter) //nolint:gosec // bounded
	if left < 1 {
		return 0, fmt.Errorf("%s %d leaves nothing of the machine's %d %s", key, alter, there, unit)
	}
	return uint(left), nil
}
