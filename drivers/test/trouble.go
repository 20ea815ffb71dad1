package test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// dice decide by chance. They are the instance's own, so that tests can throw
// the same dice twice.
type dice struct {
	mu  sync.Mutex
	rnd *rand.Rand // guarded by mu
}

func newDice() *dice {
	return &dice{rnd: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))} //nolint:gosec // no secret is made of it
}

// hit rolls once: 0 never, 255 always, between them value/254 (contract 16).
func (d *dice) hit(value uint8) bool {
	if value == 0 || value == 255 {
		return value == 255
	}
	return d.below(254) < int(value)
}

// below returns a number from 0 to n-1.
func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rnd.IntN(n)
}

// crashSpec says where and when to kill the process. The zero value says never.
type crashSpec struct {
	point   string // or "any"
	pass    uint64 // at this pass through the point in this process, from 1
	percent int    // if pass is 0: with this chance at every pass
}

// parseCrash reads `<point>`, `<point>:<pass>` or `<point>:<percent>%`.
func parseCrash(text string, points []string) (crashSpec, error) {
	if text == "" {
		return crashSpec{}, nil
	}
	point, when, timed := strings.Cut(text, ":")
	spec := crashSpec{point: point, pass: 1}
	bad := fmt.Errorf("got %.40q, want one of %s, then nothing, `:3` for the third pass or `:5%%` for a chance",
		text, strings.Join(points, ", "))
	if !slices.Contains(points, point) {
		return crashSpec{}, bad
	}
	if !timed {
		return spec, nil
	}
	if number, chance := strings.CutSuffix(when, "%"); chance {
		percent, err := strconv.Atoi(number)
		if err != nil || percent < 1 || percent > 100 {
			return crashSpec{}, bad
		}
		return crashSpec{point: point, percent: percent}, nil
	}
	pass, err := strconv.ParseUint(when, 10, 64)
	if err != nil || pass == 0 {
		return crashSpec{}, bad
	}
	spec.pass = pass
	return spec, nil
}

// The points at which a method can be made to crash, in the order in which it
// passes them.
func allocatePoints() []string   { return []string{"before", "claimed", "created", "after", "any"} }
func deallocatePoints() []string { return []string{"before", "removed", "after", "any"} }
func taskPoints() []string       { return []string{"before", "after", "any"} }

// errCrashForbidden keeps a label from killing a node that did not agree.
var errCrashForbidden = errors.New("crash points need `allow_crash: true` in the cfg of the driver's instance")

// crasher kills the process where it is told to.
type crasher struct {
	dice *dice
	kill func()

	mu     sync.Mutex
	passes map[string]uint64 // by method and point; guarded by mu
}

func newCrasher() *crasher {
	return &crasher{dice: newDice(), kill: killSelf, passes: make(map[string]uint64)}
}

// at is called at every point that a method passes.
func (c *crasher) at(spec crashSpec, method, point string) {
	if spec.point != point && spec.point != "any" {
		return
	}
	if spec.pass == 0 {
		if c.dice.below(100) < spec.percent {
			c.kill()
		}
		return
	}
	c.mu.Lock()
	key := method + " " + spec.point
	c.passes[key]++
	now := c.passes[key]
	c.mu.Unlock()
	if now == spec.pass {
		c.kill()
	}
}

// killSelf ends the process as kill -9 does: nothing is flushed, no deferred
// call runs, nobody is told.
func killSelf() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		os.Exit(137) // the nearest that is left
	}
	select {} // the signal may take a moment; nothing may happen in it
}
