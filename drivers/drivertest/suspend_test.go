package drivertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// suspendFlaws are the ways in which a driver may get standing still wrong.
func suspendFlaws() []flaw {
	// state is the thing behind a reference, if it is the driver's own.
	state := func(m *memory, ref drivers.Ref) *thing {
		m.w.mu.Lock()
		defer m.w.mu.Unlock()
		return m.w.find(m.owner, ref)
	}
	nothing := func(context.Context, drivers.Ref) error { return nil }
	return []flaw{
		{"suspends what is not there", "suspend", "Suspend() of what never existed = nil", func(m *memory) drivers.Driver {
			return &override{memory: m, suspend: nothing}
		}},
		{"resumes what is not there", "suspend", "Resume() of what never existed = nil", func(m *memory) drivers.Driver {
			return &override{memory: m, resume: nothing}
		}},
		{"pretends to suspend", "suspend", "stands still: false, want true", func(m *memory) drivers.Driver {
			return &override{memory: m, suspend: func(ctx context.Context, ref drivers.Ref) error { return m.Resume(ctx, ref) }}
		}},
		{"suspends once", "suspend", "is suspended already, want nil", func(m *memory) drivers.Driver {
			return &override{memory: m, suspend: func(ctx context.Context, ref drivers.Ref) error {
				if th := state(m, ref); th != nil && th.still {
					return errors.New("is suspended already")
				}
				return m.Suspend(ctx, ref)
			}}
		}},
		{"takes it for ended", "suspend", "says Ended, want Running", func(m *memory) drivers.Driver {
			return &override{memory: m, inspect: func(ctx context.Context, ref drivers.Ref) (drivers.Report, error) {
				if th := state(m, ref); th != nil && th.still {
					return drivers.Report{Presence: drivers.Ended, Ending: "stands still"}, nil
				}
				return m.Inspect(ctx, ref)
			}}
		}},
		{"sees an end in it", "suspend", "it did not end", func(m *memory) drivers.Driver {
			return &override{memory: m, watch: func(context.Context) (string, error) { return "stands still", nil }}
		}},
		{"lets it go on at a restart", "suspend", "stands still: false, want true", func(m *memory) drivers.Driver {
			m.w.mu.Lock()
			defer m.w.mu.Unlock()
			for _, th := range m.w.things {
				th.still = false
			}
			return m
		}},
		{"resumes once", "suspend", "runs already, want nil", func(m *memory) drivers.Driver {
			return &override{memory: m, resume: func(ctx context.Context, ref drivers.Ref) error {
				if th := state(m, ref); th != nil && !th.still {
					return errors.New("runs already")
				}
				return m.Resume(ctx, ref)
			}}
		}},
		{"does not remove what stands still", "suspend", "stands still, resume it first", func(m *memory) drivers.Driver {
			return &override{memory: m, deallocate: func(ctx context.Context, ref drivers.Ref) error {
				if th := state(m, ref); th != nil && th.still {
					return errors.New("stands still, resume it first")
				}
				return m.Deallocate(ctx, ref)
			}}
		}},
		{"suspends for ever", "suspend", "did not return within 5s", func(m *memory) drivers.Driver {
			return &override{memory: m, suspend: func(ctx context.Context, ref drivers.Ref) error {
				if ctx.Err() != nil {
					time.Sleep(time.Minute)
				}
				return m.Suspend(ctx, ref)
			}}
		}},
	}
}

// TestSuspenderWithoutALook: the harness may be unable to look outside.
func TestSuspenderWithoutALook(t *testing.T) {
	h := harness(sound)
	h.Stands = nil
	Run(t, h)
}

var _ drivers.Suspender = (*memory)(nil)
