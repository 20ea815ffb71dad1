// Package drivertest is the contract of drivers.Driver as tests: one suite
// that every driver must pass, on the real thing outside or on a faithful fake
// of it.
//
// A driver's test makes a Harness and calls Run. Each rule opens the driver
// for itself, uses it as a node would, and leaves nothing behind. What a rule
// needs from outside (a half-made environment, a neighbour's environment) is a
// hook of the harness; a rule without its hook is skipped, visibly.
package drivertest

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Harness is how the suite gets at a driver. New and Definition must be set.
type Harness struct {
	// New opens the instance the way a starting node does. Every call within
	// one Run opens the same instance of the same node: what an earlier one
	// made is still there.
	New func(t testing.TB) drivers.Driver
	// Neighbour opens an instance that shares the outside with the one of New
	// and must not touch its environments: of another name, of another node.
	Neighbour func(t testing.TB) drivers.Driver

	// Definition is one that the instance can allocate at least 8 times.
	Definition model.LabelDefinition
	// Malformed are options that Validate must refuse, by a name for the test.
	Malformed map[string]json.RawMessage
	// Task is the name of a task that the driver can do; TaskOptions its options.
	Task        string
	TaskOptions json.RawMessage

	// Count counts the things that exist outside, whoever made them, by looking
	// there and not by asking the driver: everything that one environment
	// leaves when it is not removed. What passes by within Patience may be in
	// it, and what is just changing may be missed.
	Count func(t testing.TB) int
	// Interrupt leaves what a node killed in the middle of Allocate leaves
	// outside. Each entry is one moment; New is called after it.
	Interrupt map[string]func(t testing.TB, req drivers.Request)
	// End makes a running environment end by itself; for a drivers.Watcher.
	End func(t testing.TB, env drivers.Environment)
	// Stands looks outside whether an environment stands still; for a
	// drivers.Suspender. Without it Suspend is taken at its word.
	Stands func(t testing.TB, env drivers.Environment) bool

	// Timeout bounds a call that nobody cancels, 0 = 5 min: a machine may take
	// a while to start, a hanging driver takes for ever.
	Timeout time.Duration
	// Patience bounds a call whose context was cancelled, and the wait until
	// Count is as it should be, 0 = 5 s: long for a busy machine, short against
	// what a hanging call costs a node.
	Patience time.Duration
}

// rule is one sentence of the contract.
type rule struct {
	name string
	// because is the sentence, shown when the rule is broken.
	because string
	check   func(b *bench)
}

// rules are in the order in which a reader of a failing run profits most:
// the first failure explains those below it.
func rules() []rule {
	return []rule{
		{"limits", "Limits is constant", limitsAreConstant},
		{"validate", "Validate accepts what can run and names what is malformed", validateTells},
		{"capacity", "Capacity answers at once, from memory, and has room for what can run", capacityAnswers},
		{"never existed", "what never existed is Absent, and its Deallocate is done", neverExisted},
		{"life", "Allocate, Inspect, Deallocate, Inspect tell one story", oneLife},
		{"allocate twice", "Allocate is idempotent by token", allocateTwice},
		{"allocate at once", "Allocate is idempotent by token for concurrent calls", allocateAtOnce},
		{"identifiers differ", "different tokens give different environments", identifiersDiffer},
		{"deallocate twice", "Deallocate is idempotent", deallocateTwice},
		{"deallocate by token", "a token is enough to find an environment: the answer of Allocate may be lost", byTokenAlone},
		{"deallocate by identifier", "an identifier is enough: an old database knows no tokens", byIdentifierAlone},
		{"only its own", "Deallocate removes one environment and leaves the others", onlyOne},
		{"list", "List names all that exists, and each name is enough to remove it", listNamesAll},
		{"reopen", "a restarted node finds its environments again, wherever it listens now", reopenFinds},
		{"interrupted", "what a killed node left half-made is listed, and completed or removed", interrupted},
		{"cancelled allocate", "a cancelled Allocate returns soon and leaves nothing that Deallocate can not remove", cancelledAllocate},
		{"cancelled calls", "every call returns soon when its context is cancelled, and harms nothing", cancelledCalls},
		{"neighbour", "what belongs to another instance or node is left alone", neighbourIsLeftAlone},
		{"unknown task", "an unknown task is ErrTaskUnknown", unknownTask},
		{"task", "a task's result is a JSON object, also when it is run again", taskResult},
		{"watch", "Watch ends with its context, and tells how an environment ended by itself", watch},
		{"suspend", "a suspended environment stands still, counts as Running, and is removed like any other", suspend},
		{"optional methods", "Exclusive and MetadataNetworks answer sensibly", optionalMethods},
		{"all at once", "all methods may run at once, for different environments and for the same", allAtOnce},
	}
}

// Run checks every rule of the contract against the driver.
func Run(t *testing.T, h Harness) {
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) { r.run(t, h) })
	}
}

// RunInBubbles is Run in fake time, for a driver that waits by its nature and
// whose outside is a fake in this process: each rule has a bubble of package
// testing/synctest for itself, and a harness that is made in it.
func RunInBubbles(t *testing.T, harness func(t testing.TB) Harness) {
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { r.run(t, harness(t)) })
		})
	}
}

// run checks one rule, and after it the one that holds after all: nothing is left.
func (r rule) run(t testing.TB, h Harness) {
	t.Helper()
	if h.Timeout == 0 {
		h.Timeout = 5 * time.Minute
	}
	if h.Patience == 0 {
		h.Patience = 5 * time.Second
	}
	b := &bench{TB: t, h: h, made: make(map[string]drivers.Ref)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the rule: %s", r.because)
		}
	})
	before := b.count()
	t.Cleanup(func() { b.wantCountOf(before, "after the rule") })
	t.Cleanup(b.cleanUp)
	b.open()
	r.check(b)
}
