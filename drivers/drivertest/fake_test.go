package drivertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// world is the outside: what exists whatever happens to a process.
type world struct {
	mu     sync.Mutex
	things []*thing
	next   int
}

type thing struct {
	owner, token, identifier string
	half, ended, still       bool
}

// find returns the thing of the owner that the reference names. w.mu is held.
func (w *world) find(owner string, ref drivers.Ref) *thing {
	for _, th := range w.things {
		same := th.token == ref.Token || ref.Token == "" && th.identifier == ref.Identifier
		if th.owner == owner && same {
			return th
		}
	}
	return nil
}

// make adds a half-made thing. w.mu is held.
func (w *world) make(owner, token string) *thing {
	w.next++
	th := &thing{owner: owner, token: token, identifier: fmt.Sprintf("thing-%d", w.next), half: true}
	w.things = append(w.things, th)
	return th
}

// passBy adds something that is nobody's environment and soon goes by itself.
func (w *world) passBy(after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	passing := w.make("passer-by", "")
	time.AfterFunc(after, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.remove(func(th *thing) bool { return th == passing })
	})
}

// remove takes away what match says. w.mu is held.
func (w *world) remove(match func(*thing) bool) {
	var left []*thing
	for _, th := range w.things {
		if !match(th) {
			left = append(left, th)
		}
	}
	w.things = left
}

// memory is a driver that keeps every rule, and that the flawed ones spoil.
type memory struct {
	w     *world
	owner string
}

// making is how long a thing takes to be made.
const making = 2 * time.Millisecond

func (m *memory) Limits() drivers.Limits { return drivers.Limits{CPU: 4} }

func (m *memory) Validate(def model.LabelDefinition) error {
	var options struct{ Size int }
	if err := json.Unmarshal(def.Options, &options); err != nil {
		return fmt.Errorf("read options: %w", err)
	}
	return nil
}

func (m *memory) Capacity(model.LabelDefinition) (int, error) { return drivers.Unlimited, nil }

func (m *memory) Allocate(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
	m.w.mu.Lock()
	th := m.w.find(m.owner, drivers.Ref{Token: req.Token})
	if th == nil {
		th = m.w.make(m.owner, req.Token)
	}
	half := th.half
	m.w.mu.Unlock()
	if half {
		select {
		case <-ctx.Done():
			return drivers.Environment{}, ctx.Err()
		case <-time.After(making):
		}
	}
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	th.half = false
	return th.environment(), nil
}

func (th *thing) environment() drivers.Environment {
	return drivers.Environment{Identifier: th.identifier}
}

func (m *memory) Inspect(_ context.Context, ref drivers.Ref) (drivers.Report, error) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	th := m.w.find(m.owner, ref)
	switch {
	case th == nil:
		return drivers.Report{}, nil
	case th.half:
		return drivers.Report{Presence: drivers.Partial}, nil
	case th.ended:
		return drivers.Report{Presence: drivers.Ended, Ending: "exit code 1"}, nil
	}
	return drivers.Report{Presence: drivers.Running, Environment: th.environment()}, nil
}

func (m *memory) Deallocate(_ context.Context, ref drivers.Ref) error {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	found := m.w.find(m.owner, ref)
	m.w.remove(func(th *thing) bool { return th == found })
	return nil
}

func (m *memory) List(context.Context) ([]drivers.Ref, error) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	var refs []drivers.Ref
	for _, th := range m.w.things {
		if th.owner == m.owner {
			refs = append(refs, drivers.Ref{Token: th.token, Identifier: th.identifier})
		}
	}
	return refs, nil
}

func (m *memory) RunTask(_ context.Context, task drivers.TaskRequest) (json.RawMessage, error) {
	var options map[string]json.RawMessage
	if task.Task != "snapshot" || json.Unmarshal(task.Options, &options) != nil {
		return nil, drivers.ErrTaskUnknown
	}
	return json.RawMessage(`{"snapshot":"one"}`), nil
}

func (m *memory) Watch(ctx context.Context, ref drivers.Ref) (string, error) {
	for {
		report, _ := m.Inspect(ctx, ref)
		if report.Presence == drivers.Ended {
			return report.Ending, nil
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

func (m *memory) Suspend(_ context.Context, ref drivers.Ref) error { return m.stand(ref, true) }

func (m *memory) Resume(_ context.Context, ref drivers.Ref) error { return m.stand(ref, false) }

func (m *memory) stand(ref drivers.Ref, still bool) error {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	th := m.w.find(m.owner, ref)
	if th == nil {
		return errors.New("not found")
	}
	th.still = still
	return nil
}

func (m *memory) Exclusive(model.LabelDefinition) []string { return []string{"disk"} }

func (m *memory) Close() error { return nil }

// harness is a Harness of a fresh world, seen through a driver made by wrap.
func harness(wrap func(*memory) drivers.Driver) Harness {
	w := new(world)
	return Harness{
		New:       func(testing.TB) drivers.Driver { return wrap(&memory{w, "me"}) },
		Neighbour: func(testing.TB) drivers.Driver { return wrap(&memory{w, "neighbour"}) },
		Definition: model.LabelDefinition{Driver: "memory", Options: json.RawMessage(`{}`),
			Resources: model.Resources{CPU: 1, RAM: 1}},
		Malformed: map[string]json.RawMessage{"a word as size": json.RawMessage(`{"size":"big"}`)},
		Task:      "snapshot",
		Count: func(testing.TB) int {
			w.mu.Lock()
			defer w.mu.Unlock()
			return len(w.things)
		},
		Interrupt: map[string]func(testing.TB, drivers.Request){
			"before anything exists": func(testing.TB, drivers.Request) {},
			"when it is half made": func(_ testing.TB, req drivers.Request) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.make("me", req.Token)
			},
		},
		End: func(_ testing.TB, env drivers.Environment) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.find("me", drivers.Ref{Identifier: env.Identifier}).ended = true
		},
		Stands: func(_ testing.TB, env drivers.Environment) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.find("me", drivers.Ref{Identifier: env.Identifier}).still
		},
	}
}

// recorder is a testing.TB that notes failure instead of failing the test.
type recorder struct {
	testing.TB // nil: what is not overridden here must not be called

	mu       sync.Mutex
	messages []string
	failed   bool
	skipped  bool
	cleanups []func()
}

// errStop unwinds the goroutine of a rule that can not go on.
var errStop = errors.New("the rule ended early")

func (r *recorder) Helper() {}

func (r *recorder) Logf(string, ...any) {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	r.messages = append(r.messages, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(errStop)
}

func (r *recorder) Skip(...any) {
	r.skipped = true
	panic(errStop)
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// record runs a rule and its cleanups.
func record(rule rule, h Harness) *recorder {
	rec := new(recorder)
	guarded := func(f func()) {
		defer func() {
			if p := recover(); p != nil && p != errStop { //nolint:errorlint // the very value
				panic(p)
			}
		}()
		f()
	}
	guarded(func() { rule.run(rec, h) })
	for len(rec.cleanups) > 0 {
		last := len(rec.cleanups) - 1
		f := rec.cleanups[last]
		rec.cleanups = rec.cleanups[:last]
		guarded(f)
	}
	return rec
}

func (r *recorder) String() string { return strings.Join(r.messages, "\n") }
