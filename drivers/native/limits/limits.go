// Package limits bounds the cpu and memory of native environments with what
// this machine offers: cgroup v2, cgroup v1, or resource limits of processes.
// It finds out what works by trying it, and says so in words.
//
// An environment has one group in every hierarchy in use. The group also
// gathers all its processes, daemons included, so that they can be killed
// together. DESIGN.md tells what was chosen and why.
package limits

import (
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Parent is the folder that holds the groups of all nodes of this machine.
const Parent = "aquarium-fish"

// The controllers that are used, by the kernel's names.
const (
	controlCPU    = "cpu"
	controlMemory = "memory"
	controlPIDs   = "pids"
)

// Options says where Detect looks; only tests need other places than the
// defaults.
type Options struct {
	Root   string // where cgroups are mounted; "/sys/fs/cgroup" if empty
	Self   string // which groups this process is in; "/proc/self/cgroup" if empty
	Logger *slog.Logger
}

// Limits is what one environment may use; 0 is no limit.
type Limits struct {
	CPU  uint   // cores
	RAM  uint64 // bytes, swap included
	PIDs uint64 // processes and threads
}

// Rlimit is a resource limit of a process, soft and hard.
type Rlimit struct {
	Resource int // RLIMIT_* of this platform
	Value    uint64
}

// Plan is what the first process of an environment does before it gives up its
// rights and executes anything: it writes its pid ("0" stands for the writer)
// into every file of Join, and sets Rlimits. Both may be empty.
type Plan struct {
	Join    []string
	Rlimits []Rlimit
}

// Limiter makes, empties and removes the groups of environments. It is
// constant after Detect: its methods may be called from many goroutines.
type Limiter struct {
	version     int // of the cgroups that limit: 2, 1, or 0 for none
	hierarchies []hierarchy
	bases       []string          // folders that hold or may hold a Parent, of this start or an earlier one
	missing     map[string]string // controller -> why there is none
	byProcess   bool              // this platform can limit the memory of single processes
	kernel      kernel
}

// hierarchy is a cgroup hierarchy in which every environment has a group.
type hierarchy struct {
	base     string // the folder that our Parent is in
	v2       bool
	controls []string // controllers that work here
}

// Detect finds out what limits are possible here, logs it and returns a Limiter
// that is always usable: where nothing is possible its plans are empty.
func Detect(o Options) *Limiter { return detect(o, realKernel{}) }

func detect(o Options, k kernel) *Limiter {
	if o.Root == "" {
		o.Root = "/sys/fs/cgroup"
	}
	if o.Self == "" {
		o.Self = "/proc/self/cgroup"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Limiter{missing: map[string]string{}, byProcess: memoryRlimit >= 0, kernel: k}
	l.find(o.Root, memberships(o.Self))
	o.Logger.Info("limits of native environments found", "limits", l.Describe())
	return l
}

// Describe says what limits cpu and memory here and what does not, with the
// reason, such as "cgroup v2" or "cgroup v1 (memory; cpu is not limited: ...)".
func (l *Limiter) Describe() string {
	cpu, memory := l.has(controlCPU), l.has(controlMemory)
	perProcess := "memory of each process by rlimit: " + l.missing[controlMemory]
	noCPU := "cpu is not limited: " + l.missing[controlCPU]
	switch {
	case cpu && memory:
		return fmt.Sprintf("cgroup v%d", l.version)
	case memory:
		return fmt.Sprintf("cgroup v%d (memory; %s)", l.version, noCPU)
	case cpu && l.byProcess:
		return fmt.Sprintf("cgroup v%d (cpu; %s)", l.version, perProcess)
	case cpu:
		return fmt.Sprintf("cgroup v%d (cpu; memory is not limited: %s)", l.version, l.missing[controlMemory])
	case l.byProcess:
		return fmt.Sprintf("rlimits (%s; %s)", perProcess, noCPU)
	}
	return "none: " + strings.Join(slices.Compact(slices.Sorted(maps.Values(l.missing))), "; ")
}

// has tells whether a controller works in some hierarchy.
func (l *Limiter) has(control string) bool {
	return slices.ContainsFunc(l.hierarchies, func(h hierarchy) bool { return slices.Contains(h.controls, control) })
}

// groupName is what a group may be called: never a path, never a file of the kernel's,
// which all have a dot.
var groupName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func checkName(name string) error {
	if !groupName.MatchString(name) {
		return fmt.Errorf("check group name %q: lower-case letters, digits, - and _ are allowed, at most 63", name)
	}
	return nil
}
