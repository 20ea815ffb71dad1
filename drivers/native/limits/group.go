package limits

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
)

// period is the kernel's default time over which cpu is counted, in
// microseconds.
const period = 100_000

// setting is one file of a group and what to write there. An optional one is
// not there in every kernel.
type setting struct {
	file, value string
	optional    bool
}

// Make makes the group of an environment, or gives an existing one these
// limits, and says how the environment's first process joins it. After an
// error nothing new is left.
func (l *Limiter) Make(name string, want Limits) (Plan, error) {
	if err := checkName(name); err != nil {
		return Plan{}, err
	}
	var plan Plan
	var made []string
	for _, h := range l.hierarchies {
		group := filepath.Join(h.parent(), name)
		isNew, err := l.makeGroup(h, group)
		if isNew {
			made = append(made, group)
		}
		if err == nil {
			err = l.apply(h, group, want)
		}
		if err != nil {
			for _, group := range made {
				_ = l.kernel.rmdir(group)
			}
			return Plan{}, fmt.Errorf("limit group %s: %w", name, err)
		}
		plan.Join = append(plan.Join, filepath.Join(group, "cgroup.procs"))
	}
	if want.RAM > 0 && l.byProcess && !l.has(controlMemory) {
		plan.Rlimits = []Rlimit{{Resource: memoryRlimit, Value: want.RAM}}
	}
	return plan, nil
}

// makeGroup makes one group; a Parent that someone removed since Detect is
// made again.
func (l *Limiter) makeGroup(h hierarchy, group string) (made bool, err error) {
	made, err = l.ensureFolder(group)
	if !errors.Is(err, fs.ErrNotExist) {
		return made, err
	}
	if h.v2 {
		l.claimV2(h.base) // what is missing then shows when the limits are written
	} else if err := l.claimV1(h); err != nil {
		return false, err
	}
	return l.ensureFolder(group)
}

// apply writes the limits of one hierarchy.
func (l *Limiter) apply(h hierarchy, group string, want Limits) error {
	if !h.v2 {
		return l.applyV1(group, h.controls[0], want)
	}
	return l.writeAll(group, settingsV2(h.controls, want))
}

// settingsV2 is what to write into a group of cgroup v2.
func settingsV2(controls []string, want Limits) []setting {
	var list []setting
	if slices.Contains(controls, controlMemory) {
		swap := "max"
		if want.RAM > 0 {
			swap = "0" // else what does not fit goes to swap and slows the whole machine
		}
		list = append(list, setting{file: "memory.max", value: orMax(want.RAM)},
			setting{file: "memory.swap.max", value: swap, optional: true})
	}
	if slices.Contains(controls, controlCPU) {
		quota := orMax(uint64(want.CPU) * period)
		list = append(list, setting{file: "cpu.max", value: quota + " " + strconv.Itoa(period)})
	}
	if slices.Contains(controls, controlPIDs) {
		list = append(list, setting{file: "pids.max", value: orMax(want.PIDs)})
	}
	return list
}

// applyV1 writes the limits of one controller of cgroup v1.
func (l *Limiter) applyV1(group, control string, want Limits) error {
	list := settingsV1(control, want)
	err := l.writeAll(group, list)
	if err != nil && control == controlMemory {
		// Memory with swap is never less than memory: which one goes first depends on whether the limit rises or falls.
		slices.Reverse(list)
		err = l.writeAll(group, list)
	}
	return err
}

// settingsV1 is what to write into a group of a v1 controller.
func settingsV1(control string, want Limits) []setting {
	switch control {
	case controlMemory:
		bytes := "-1"
		if want.RAM > 0 {
			bytes = strconv.FormatUint(want.RAM, 10)
		}
		return []setting{
			{file: "memory.limit_in_bytes", value: bytes},
			{file: "memory.memsw.limit_in_bytes", value: bytes, optional: true}, // only with swap accounting
		}
	case controlCPU:
		quota := "-1"
		if want.CPU > 0 {
			quota = strconv.FormatUint(uint64(want.CPU)*period, 10)
		}
		return []setting{{file: "cpu.cfs_period_us", value: strconv.Itoa(period)}, {file: "cpu.cfs_quota_us", value: quota}}
	}
	return []setting{{file: "pids.max", value: orMax(want.PIDs)}}
}

func (l *Limiter) writeAll(group string, list []setting) error {
	for _, s := range list {
		err := l.kernel.write(filepath.Join(group, s.file), s.value)
		if s.optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// orMax is a limit as cgroup v2 writes it.
func orMax(limit uint64) string {
	if limit == 0 {
		return "max"
	}
	return strconv.FormatUint(limit, 10)
}
