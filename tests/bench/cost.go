package main

import (
	"fmt"
	"os"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// cost is the processor time that lives took: unlike their rate it says what a
// node does for one also where the machine has other work.
type cost struct {
	nodes time.Duration // of all nodes
	load  time.Duration // of this process
	lives int
}

// meter begins to count; the function that it returns tells what was used
// since.
func meter(nodes []*node) (read func(lives int) (cost, error), err error) {
	before, err := used(nodes)
	if err != nil {
		return nil, err
	}
	return func(lives int) (cost, error) {
		after, err := used(nodes)
		return cost{nodes: after.nodes - before.nodes, load: after.load - before.load, lives: max(lives, 1)}, err
	}, nil
}

// used is the processor time since the processes began.
func used(nodes []*node) (c cost, err error) {
	for _, n := range nodes {
		t, err := cpuOf(n.process)
		if err != nil {
			return cost{}, err
		}
		c.nodes += t
	}
	self, err := process.NewProcess(int32(os.Getpid())) //nolint:gosec // process ids fit
	if err != nil {
		return cost{}, fmt.Errorf("find own process: %w", err)
	}
	c.load, err = cpuOf(self)
	return c, err
}

// cpuOf is the processor time that a process has used so far.
func cpuOf(p *process.Process) (time.Duration, error) {
	t, err := p.Times()
	if err != nil {
		return 0, fmt.Errorf("read cpu time of process %d: %w", p.Pid, err)
	}
	return time.Duration((t.User + t.System) * float64(time.Second)), nil
}

// perLife is what all nodes together use for one.
func (c cost) perLife() time.Duration { return c.nodes / time.Duration(c.lives) }

// loadPerLife is what the clients use for one.
func (c cost) loadPerLife() time.Duration { return c.load / time.Duration(c.lives) }
