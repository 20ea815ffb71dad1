package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// cost is the processor time that lives took: unlike their rate it says what a
// node does for one also where the machine has other work.
type cost struct {
	nodes []time.Duration // of each node
	load  time.Duration   // of this process
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
		if err != nil {
			return cost{}, err
		}
		c := cost{load: after[len(nodes)] - before[len(nodes)], lives: max(lives, 1)}
		for i := range nodes {
			c.nodes = append(c.nodes, after[i]-before[i])
		}
		return c, nil
	}, nil
}

// used is the processor time of each node and, last, of this process.
func used(nodes []*node) (list []time.Duration, err error) {
	for _, n := range nodes {
		t, cpuErr := n.cpu()
		list, err = append(list, t), errors.Join(err, cpuErr)
	}
	self, selfErr := process.NewProcess(int32(os.Getpid())) //nolint:gosec // process ids fit
	if err = errors.Join(err, selfErr); err != nil {
		return nil, err
	}
	t, err := self.Times()
	if err != nil {
		return nil, fmt.Errorf("read own cpu time: %w", err)
	}
	return append(list, time.Duration((t.User+t.System)*float64(time.Second))), nil
}

// perLife is what all nodes together use for one.
func (c cost) perLife() time.Duration {
	var sum time.Duration
	for _, t := range c.nodes {
		sum += t
	}
	return sum / time.Duration(c.lives)
}

// loadPerLife is what the clients use for one.
func (c cost) loadPerLife() time.Duration { return c.load / time.Duration(c.lives) }
