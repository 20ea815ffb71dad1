package drivertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func sound(m *memory) drivers.Driver { return m }

func TestSoundDriverPasses(t *testing.T) {
	Run(t, harness(sound))
}

func TestRuleWithoutItsHookIsSkipped(t *testing.T) {
	h := harness(sound)
	h.Neighbour, h.Interrupt, h.Task = nil, nil, ""
	var skipped []string
	for _, rule := range rules() {
		if rec := record(rule, h); rec.skipped {
			skipped = append(skipped, rule.name)
		} else if rec.Failed() {
			t.Errorf("rule %q fails without hooks: %s", rule.name, rec)
		}
	}
	if got, want := strings.Join(skipped, ", "), "interrupted, neighbour, task"; got != want {
		t.Errorf("skipped rules = %s, want %s", got, want)
	}
}

// TestWhatPassesByIsNoLeak has something come and go outside around every call,
// as the shells do that become the entries of processes.
func TestWhatPassesByIsNoLeak(t *testing.T) {
	passing := func(m *memory) drivers.Driver {
		return &override{memory: m,
			allocate: func(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
				defer m.w.passBy(3 * countPause)
				return m.Allocate(ctx, req)
			},
			deallocate: func(ctx context.Context, ref drivers.Ref) error {
				defer m.w.passBy(time.Second)
				return m.Deallocate(ctx, ref)
			},
		}
	}
	synctest.Test(t, func(t *testing.T) {
		for _, rule := range rules() {
			if rec := record(rule, harness(passing)); rec.Failed() {
				t.Errorf("rule %q fails: %s", rule.name, rec)
			}
		}
	})
}

// flaw is a driver that breaks one rule, and how the suite must complain.
type flaw struct {
	name, rule, complaint string
	wrap                  func(*memory) drivers.Driver
}

// override is a sound driver of which some methods are replaced.
type override struct {
	*memory
	limits     func() drivers.Limits
	validate   func(model.LabelDefinition) error
	capacity   func() (int, error)
	allocate   func(context.Context, drivers.Request) (drivers.Environment, error)
	inspect    func(context.Context, drivers.Ref) (drivers.Report, error)
	deallocate func(context.Context, drivers.Ref) error
	list       func(context.Context) ([]drivers.Ref, error)
	task       func() (json.RawMessage, error)
	watch      func(context.Context) (string, error)
	exclusive  func() []string
	names      []string
	suspend    func(context.Context, drivers.Ref) error
	resume     func(context.Context, drivers.Ref) error
}

func (o *override) Suspend(ctx context.Context, ref drivers.Ref) error {
	if o.suspend == nil {
		return o.memory.Suspend(ctx, ref)
	}
	return o.suspend(ctx, ref)
}

func (o *override) Resume(ctx context.Context, ref drivers.Ref) error {
	if o.resume == nil {
		return o.memory.Resume(ctx, ref)
	}
	return o.resume(ctx, ref)
}

func (o *override) OptionNames() []string { return o.names }

func (o *override) Limits() drivers.Limits {
	if o.limits == nil {
		return o.memory.Limits()
	}
	return o.limits()
}

func (o *override) Validate(def model.LabelDefinition) error {
	if o.validate == nil {
		return o.memory.Validate(def)
	}
	return o.validate(def)
}

func (o *override) Capacity(def model.LabelDefinition) (int, error) {
	if o.capacity == nil {
		return o.memory.Capacity(def)
	}
	return o.capacity()
}

func (o *override) Allocate(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
	if o.allocate == nil {
		return o.memory.Allocate(ctx, req)
	}
	return o.allocate(ctx, req)
}

func (o *override) Inspect(ctx context.Context, ref drivers.Ref) (drivers.Report, error) {
	if o.inspect == nil {
		return o.memory.Inspect(ctx, ref)
	}
	return o.inspect(ctx, ref)
}

func (o *override) Deallocate(ctx context.Context, ref drivers.Ref) error {
	if o.deallocate == nil {
		return o.memory.Deallocate(ctx, ref)
	}
	return o.deallocate(ctx, ref)
}

func (o *override) List(ctx context.Context) ([]drivers.Ref, error) {
	if o.list == nil {
		return o.memory.List(ctx)
	}
	return o.list(ctx)
}

func (o *override) RunTask(ctx context.Context, task drivers.TaskRequest) (json.RawMessage, error) {
	if o.task == nil {
		return o.memory.RunTask(ctx, task)
	}
	return o.task()
}

func (o *override) Watch(ctx context.Context, ref drivers.Ref) (string, error) {
	if o.watch == nil {
		return o.memory.Watch(ctx, ref)
	}
	return o.watch(ctx)
}

func (o *override) Exclusive(def model.LabelDefinition) []string {
	if o.exclusive == nil {
		return o.memory.Exclusive(def)
	}
	return o.exclusive()
}

// TestFlawedDriversFail is what makes the suite worth running: each rule
// notices a driver that breaks it.
func TestFlawedDriversFail(t *testing.T) {
	byName := make(map[string]rule)
	for _, r := range rules() {
		byName[r.name] = r
	}
	caught := make(map[string]bool)
	for _, f := range slices.Concat(plainFlaws(), troubleFlaws(), suspendFlaws()) {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rule, ok := byName[f.rule]
				if !ok {
					t.Fatalf("no rule is called %q", f.rule)
				}
				rec := record(rule, harness(f.wrap))
				if !strings.Contains(rec.String(), f.complaint) {
					t.Errorf("rule %q says %q, want %q in it", f.rule, rec, f.complaint)
				}
				caught[f.rule] = true
				time.Sleep(2 * time.Hour) // until what hangs has ended
			})
		})
	}
	for name := range byName {
		if !caught[name] {
			t.Errorf("no flawed driver shows that rule %q can fail", name)
		}
	}
}

func plainFlaws() []flaw {
	return []flaw{
		{"limits shrink with use", "limits", "Limits() changed", func(m *memory) drivers.Driver {
			return &override{memory: m, limits: func() drivers.Limits { return drivers.Limits{CPU: uint(len(m.w.things))} }}
		}},
		{"accepts everything", "validate", "a word as size", func(m *memory) drivers.Driver {
			return &override{memory: m, validate: func(model.LabelDefinition) error { return nil }}
		}},
		{"refuses everything", "validate", "want nil", func(m *memory) drivers.Driver {
			return &override{memory: m, validate: func(model.LabelDefinition) error { return errors.New("no") }}
		}},
		{"asks outside for capacity", "capacity", "want less than 5ms", func(m *memory) drivers.Driver {
			return &override{memory: m, capacity: func() (int, error) { time.Sleep(10 * time.Millisecond); return 1, nil }}
		}},
		{"misses what never existed", "never existed", "not found", func(m *memory) drivers.Driver {
			return &override{memory: m, deallocate: m.strictDeallocate}
		}},
		{"misses what is gone", "deallocate twice", "not found", func(m *memory) drivers.Driver {
			return &override{memory: m, deallocate: m.strictDeallocate}
		}},
		{"pretends to deallocate", "life", "says Running, want Absent", func(m *memory) drivers.Driver {
			return &override{memory: m, deallocate: func(context.Context, drivers.Ref) error { return nil }}
		}},
		{"leaks what it hides", "life", "after Deallocate: 1 things exist outside, want 0", func(m *memory) drivers.Driver {
			return &override{memory: m, deallocate: func(_ context.Context, ref drivers.Ref) error {
				if th := m.w.find(m.owner, ref); th != nil {
					th.owner = "nobody"
				}
				return nil
			}}
		}},
		{"ignores the token", "allocate twice", "another environment", func(m *memory) drivers.Driver {
			return &override{memory: m, allocate: func(_ context.Context, req drivers.Request) (drivers.Environment, error) {
				th := m.w.make(m.owner, req.Token)
				th.half = false
				return th.environment(), nil
			}}
		}},
		{"makes a second one in secret", "allocate twice", "2 things exist outside, want at most the 1 of the first", func(m *memory) drivers.Driver {
			return &override{memory: m, allocate: func(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
				m.w.passBy(3 * countPause) // does not hide what stays
				if th := m.w.find(m.owner, drivers.Ref{Token: req.Token}); th != nil {
					m.w.make("nobody", "")
				}
				return m.Allocate(ctx, req)
			}}
		}},
		{"looks before it leaps", "allocate at once", "4 times, want once", func(m *memory) drivers.Driver {
			return &override{memory: m, allocate: m.racyAllocate}
		}},
		{"one identifier for all", "identifiers differ", "was given to two tokens", func(m *memory) drivers.Driver {
			return &override{memory: m, allocate: func(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
				env, err := m.Allocate(ctx, req)
				env.Identifier = "the-thing"
				return env, err
			}}
		}},
		{"needs the identifier", "deallocate by token", "says Absent, want Running", func(m *memory) drivers.Driver {
			return &override{memory: m, inspect: func(ctx context.Context, ref drivers.Ref) (drivers.Report, error) {
				ref.Token = ""
				return m.Inspect(ctx, ref)
			}}
		}},
		{"needs the token", "deallocate by identifier", "says Absent, want Running", func(m *memory) drivers.Driver {
			return &override{memory: m, inspect: func(ctx context.Context, ref drivers.Ref) (drivers.Report, error) {
				ref.Identifier = ""
				return m.Inspect(ctx, ref)
			}}
		}},
		{"removes too much", "only its own", "says Absent, want Running", func(m *memory) drivers.Driver {
			return &override{memory: m, deallocate: func(context.Context, drivers.Ref) error {
				m.w.remove(func(*thing) bool { return true })
				return nil
			}}
		}},
		{"lists nothing", "list", "which runs", func(m *memory) drivers.Driver {
			return &override{memory: m, list: func(context.Context) ([]drivers.Ref, error) { return nil, nil }}
		}},
	}
}

func (m *memory) strictDeallocate(ctx context.Context, ref drivers.Ref) error {
	if m.w.find(m.owner, ref) == nil {
		return errors.New("not found")
	}
	return m.Deallocate(ctx, ref)
}

// racyAllocate does not claim the token before it starts to make the thing.
func (m *memory) racyAllocate(_ context.Context, req drivers.Request) (drivers.Environment, error) {
	m.w.mu.Lock()
	th := m.w.find(m.owner, drivers.Ref{Token: req.Token})
	m.w.mu.Unlock()
	if th == nil {
		time.Sleep(making)
		m.w.mu.Lock()
		th = m.w.make(m.owner, req.Token)
		th.half = false
		m.w.mu.Unlock()
	}
	return th.environment(), nil
}

func troubleFlaws() []flaw {
	return []flaw{
		{"forgets at restart", "reopen", "says Absent, want Running", func(m *memory) drivers.Driver {
			m.owner = fmt.Sprint(m.owner, time.Now().UnixNano()) // a new owner each time it is opened
			return &override{memory: m, allocate: func(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
				time.Sleep(time.Millisecond)
				return m.Allocate(ctx, req)
			}}
		}},
		{"lists only what is whole", "interrupted", "List() does not name it", func(m *memory) drivers.Driver {
			return &override{memory: m, list: func(ctx context.Context) ([]drivers.Ref, error) {
				var whole []drivers.Ref
				refs, err := m.List(ctx)
				for _, ref := range refs {
					if !m.w.find(m.owner, ref).half {
						whole = append(whole, ref)
					}
				}
				return whole, err
			}}
		}},
		{"takes half for whole", "interrupted", "says Partial, want Running", func(m *memory) drivers.Driver {
			return &override{memory: m, allocate: func(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
				if th := m.w.find(m.owner, drivers.Ref{Token: req.Token}); th != nil {
					return th.environment(), nil
				}
				return m.Allocate(ctx, req)
			}}
		}},
		{"goes on behind the caller's back", "cancelled allocate", "want Absent", func(m *memory) drivers.Driver {
			return &override{memory: m, allocate: func(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
				if ctx.Err() != nil {
					time.AfterFunc(making, func() { _, _ = m.Allocate(context.Background(), req) })
					return drivers.Environment{}, ctx.Err()
				}
				return m.Allocate(ctx, req)
			}}
		}},
		{"does not hear the cancel", "cancelled allocate", "did not return within 5s", func(m *memory) drivers.Driver {
			return &override{memory: m, allocate: func(_ context.Context, req drivers.Request) (drivers.Environment, error) {
				time.Sleep(time.Minute)
				return m.Allocate(context.Background(), req)
			}}
		}},
		{"hangs for ever", "cancelled allocate", "did not return at all", func(m *memory) drivers.Driver {
			return &override{memory: m, allocate: func(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
				if ctx.Err() != nil {
					time.Sleep(time.Hour)
				}
				return m.Allocate(ctx, req)
			}}
		}},
		{"reads an error as absence", "cancelled calls", "with a cancelled context says Absent", func(m *memory) drivers.Driver {
			return &override{memory: m, inspect: func(ctx context.Context, ref drivers.Ref) (drivers.Report, error) {
				if ctx.Err() == nil {
					return m.Inspect(ctx, ref)
				}
				return drivers.Report{}, nil
			}}
		}},
		{"claims what is the neighbour's", "neighbour", "List() of the neighbour", func(m *memory) drivers.Driver {
			m.owner = "me"
			return m
		}},
		{"does every task", "unknown task", "want ErrTaskUnknown", func(m *memory) drivers.Driver {
			return &override{memory: m, task: func() (json.RawMessage, error) { return json.RawMessage(`{}`), nil }}
		}},
		{"answers a task with a list", "task", "want a JSON object", func(m *memory) drivers.Driver {
			return &override{memory: m, task: func() (json.RawMessage, error) { return json.RawMessage(`[]`), nil }}
		}},
		{"watches for ever", "watch", "did not return within 5s", func(m *memory) drivers.Driver {
			return &override{memory: m, watch: func(context.Context) (string, error) {
				time.Sleep(time.Minute)
				return "", context.Canceled
			}}
		}},
		{"does not know how it ended", "watch", "want how it ended", func(m *memory) drivers.Driver {
			return &override{memory: m, watch: func(ctx context.Context) (string, error) { return "", ctx.Err() }}
		}},
		{"lists an option that it does not read", "validate", "OptionNames() has it", func(m *memory) drivers.Driver {
			return &override{memory: m, names: []string{"such"}}
		}},
		{"excludes by what runs", "optional methods", "Exclusive() changed", func(m *memory) drivers.Driver {
			return &override{memory: m, exclusive: func() []string { return make([]string, len(m.w.things)) }}
		}},
		{"fails the loser of a race", "all at once", "beside another", func(m *memory) drivers.Driver {
			return &override{memory: m, deallocate: func(ctx context.Context, ref drivers.Ref) error {
				m.w.mu.Lock()
				gone := m.w.find(m.owner, ref) == nil
				m.w.mu.Unlock()
				if gone {
					return errors.New("not found")
				}
				return m.Deallocate(ctx, ref)
			}}
		}},
	}
}
