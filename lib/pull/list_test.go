package pull_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/pull"
)

func TestListOfAnInstanceThatFails(t *testing.T) {
	good := []pull.Image{{Instance: "vm", ImageStatus: drivers.ImageStatus{ID: "a/b:1", State: drivers.ImageReady}}}
	for _, tt := range []struct {
		name string
		list func(context.Context) ([]drivers.ImageStatus, error)
		took time.Duration
		want string // why it is not listed
	}{
		{name: "good"},
		{"fails", func(context.Context) ([]drivers.ImageStatus, error) { return nil, errors.New("engine is away") }, 0, "engine is away"},
		{"panics", func(context.Context) ([]drivers.ImageStatus, error) { panic("no map") }, 0, "panic in the driver: no map"},
		{"is slow", func(ctx context.Context) ([]drivers.ImageStatus, error) { <-ctx.Done(); return nil, ctx.Err() }, 5 * time.Second, "it did not answer in time"},
		{"ignores its context", func(context.Context) ([]drivers.ImageStatus, error) { time.Sleep(time.Hour); return nil, nil }, 5 * time.Second, "it did not answer in time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				defer s.stop()
				s.vm.list = tt.list
				began := time.Now()
				got := s.List(t.Context())
				want := pull.Listing{Images: good, Pulls: []pull.Status{}, Errors: []pull.InstanceError{}}
				if tt.want != "" {
					want.Images, want.Errors = []pull.Image{}, []pull.InstanceError{{Instance: "vm", Reason: tt.want}}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if took := time.Since(began); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

// TestHangingInstanceCollectsNoRequests: past some, who asks is told at once.
func TestHangingInstanceCollectsNoRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		defer s.stop()
		var calls atomic.Int32
		s.vm.list = func(context.Context) ([]drivers.ImageStatus, error) {
			calls.Add(1)
			time.Sleep(time.Hour)
			return nil, nil
		}
		for range 20 {
			if l := s.List(t.Context()); len(l.Errors) != 1 {
				t.Fatalf("list of an instance that hangs: %+v", l)
			}
		}
		if n := calls.Load(); n != 8 {
			t.Errorf("an instance that hangs was called %d times", n)
		}
		if err := s.Remove(t.Context(), "vm", "x"); !errors.Is(err, pull.ErrBusy) {
			t.Errorf("Remove() = %v, want %v", err, pull.ErrBusy)
		}
		began := time.Now()
		if s.List(t.Context()); time.Since(began) != 0 {
			t.Errorf("one list more took %v", time.Since(began))
		}
	})
}

func TestRemove(t *testing.T) {
	slow := func(d time.Duration) func(context.Context, string) error {
		return func(ctx context.Context, _ string) error {
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	noAnswer := fmt.Errorf("dial: %w", context.DeadlineExceeded) // the driver's own: nothing goes on
	refuse := func(err error) func(context.Context, string) error {
		return func(context.Context, string) error { return err }
	}
	for _, tt := range []struct {
		name, instance string
		remove         func(context.Context, string) error
		want           error
	}{
		{"done", "vm", nil, nil},
		{"slow", "vm", slow(7 * time.Second), nil},
		{"slower", "vm", slow(time.Minute), pull.ErrGoesOn},
		{"engine does not answer", "vm", refuse(noAnswer), noAnswer},
		{"in use", "vm", refuse(drivers.ErrImageInUse), drivers.ErrImageInUse},
		{"unknown", "vm", refuse(drivers.ErrImageUnknown), drivers.ErrImageUnknown},
		{"no images", "plain", nil, &pull.InstanceError{Instance: "plain", Reason: "keeps no images"}},
		{"not ready", "broken", nil, &pull.InstanceError{Instance: "broken", Reason: "has no engine"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				defer s.stop()
				s.vm.remove = tt.remove
				err := s.Remove(t.Context(), tt.instance, "a/b:1")
				if instance, ok := errors.AsType[*pull.InstanceError](err); ok {
					if diff := cmp.Diff(tt.want, error(instance)); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
				} else if !errors.Is(err, tt.want) || errors.Is(err, pull.ErrGoesOn) != errors.Is(tt.want, pull.ErrGoesOn) {
					t.Errorf("Remove() = %v, want %v", err, tt.want)
				}
			})
		})
	}
}

// TestRemovalThatFailsLate: who asked was told to look at the list, and the log
// says why it is still there.
func TestRemovalThatFailsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.vm.remove = func(context.Context, string) error { time.Sleep(time.Minute); return errors.New("read-only") }
		if err := s.Remove(t.Context(), "vm", "a/b:1"); !errors.Is(err, pull.ErrGoesOn) {
			t.Errorf("Remove() = %v", err)
		}
		s.stop() // waits for it
		if !strings.Contains(s.log.String(), "image was not removed") || !strings.Contains(s.log.String(), "read-only") {
			t.Errorf("the log tells nothing:\n%s", &s.log)
		}
	})
}

// TestStopCutsCallsShort: and says so, in place of what the driver made of it.
func TestStopCutsCallsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.vm.remove = func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
		time.AfterFunc(time.Second, s.stop)
		if err := s.Remove(t.Context(), "vm", "x"); !errors.Is(err, pull.ErrStopping) {
			t.Errorf("Remove() = %v, want %v", err, pull.ErrStopping)
		}
		if err := s.Remove(t.Context(), "vm", "x"); !errors.Is(err, pull.ErrStopping) {
			t.Errorf("Remove() after the stop = %v, want %v", err, pull.ErrStopping)
		}
	})
}

// TestRemovalGoesOnWithoutWhoAsked: a browser that is closed leaves no half of
// an image.
func TestRemovalGoesOnWithoutWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		defer s.stop()
		var done atomic.Bool
		s.vm.remove = func(ctx context.Context, _ string) error {
			time.Sleep(time.Minute)
			done.Store(ctx.Err() == nil)
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Remove(ctx, "vm", "x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Remove() = %v", err)
		}
		time.Sleep(2 * time.Minute)
		if !done.Load() {
			t.Error("the removal was cut short")
		}
	})
}
