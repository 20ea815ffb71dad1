package prefetch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/prefetch"
	"github.com/aquarium-fish/aquarium-fish/lib/pull"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// site is a loop over a real store, whose one instance, vm, pulls as a test
// says. The log is its own.
type site struct {
	*prefetch.Loop
	t     *testing.T
	store *store.Store
	log   strings.Builder

	mu     sync.Mutex
	pull   func(ctx context.Context, label string) error
	held   bool
	ready  bool
	pulled []string
	most   int // pulls at once
	now    int
}

// inBubble runs a test of a loop in fake time.
func inBubble(t *testing.T, test func(s *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t, ready: true, pull: func(context.Context, string) error { return nil }}
		var err error
		if s.store, err = store.Open(t.Context(), store.Options{Folder: t.TempDir(), Node: model.UID{1}, Logger: slog.New(slog.DiscardHandler)}); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.store.Close() }()
		s.Loop, err = prefetch.New(prefetch.Options{
			Store: s.store, Candidates: s.candidates, Pull: s.order, Logger: slog.New(slog.NewTextHandler(&s.log, nil)),
			Held: func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.held },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { _ = s.Run(ctx) })
		defer run.Wait()
		defer cancel()
		test(s)
	})
}

func (s *site) candidates(l model.Label) []pull.Candidate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ready || strings.HasPrefix(l.Name, "other") {
		return nil
	}
	return []pull.Candidate{{Instance: "vm"}}
}

func (s *site) order(ctx context.Context, o pull.Order) error {
	name := fmt.Sprintf("%s:%d", o.Label.Name, o.Label.Version)
	s.mu.Lock()
	s.pulled = append(s.pulled, name)
	s.now++
	s.most = max(s.most, s.now)
	do := s.pull
	s.mu.Unlock()
	err := do(ctx, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	return err
}

func (s *site) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *site) label(name string, version int) model.UID {
	s.t.Helper()
	l, err := s.store.CreateLabel(context.Background(), model.Label{Name: name, Version: version, Definitions: []model.LabelDefinition{{Driver: "vm"}}})
	if err != nil {
		s.t.Fatal(err)
	}
	return l.UID
}

// want checks what was pulled after some time.
func (s *site) want(after time.Duration, names ...string) {
	s.t.Helper()
	time.Sleep(after)
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := slices.Clone(s.pulled)
	s.pulled = nil
	if diff := cmp.Diff(names, got); diff != "" {
		s.t.Errorf("pulled (-want +got):\n%s", diff)
	}
}

func TestNewestVersionsAreFetched(t *testing.T) {
	inBubble(t, func(s *site) {
		s.label("mac", 1)
		s.label("other", 1)
		s.want(10*time.Second, "mac:1")
		s.label("mac", 3)
		s.want(10*time.Second, "mac:3")
		s.label("mac", 2)
		s.want(10 * time.Second)
		s.want(24 * time.Hour) // what was fetched once is not looked at again
	})
}

// TestOneAtATime: an instance pulls one after the other; a label that is deleted
// before its turn is not pulled.
func TestOneAtATime(t *testing.T) {
	inBubble(t, func(s *site) {
		s.set(func() { s.pull = func(context.Context, string) error { time.Sleep(time.Hour); return nil } })
		s.label("a", 1)
		time.Sleep(10 * time.Second)
		doomed := s.label("b", 1)
		s.label("c", 1)
		s.want(10*time.Second, "a:1")
		if _, err := s.store.DeleteLabel(context.Background(), doomed); err != nil {
			t.Fatal(err)
		}
		s.want(3*time.Hour, "c:1")
		if s.most != 1 {
			t.Errorf("%d pulls at once of one instance", s.most)
		}
	})
}

func TestHeldNodeBeginsNothing(t *testing.T) {
	inBubble(t, func(s *site) {
		s.set(func() { s.held = true })
		s.Wake()
		s.label("mac", 1)
		s.want(time.Hour)
		s.set(func() { s.held = false })
		s.want(12*time.Second, "mac:1")
	})
}

func TestDriverBecomesReady(t *testing.T) {
	inBubble(t, func(s *site) {
		s.set(func() { s.ready = false })
		s.label("mac", 1)
		s.want(time.Hour)
		s.set(func() { s.ready = true })
		s.Wake()
		s.want(2*time.Second, "mac:1")
	})
}

// TestOptionsThatComeAndGo: a node that does not know its free disk for a while
// could run nothing. Nobody tells when it does again; what was here is not
// fetched once more.
func TestOptionsThatComeAndGo(t *testing.T) {
	inBubble(t, func(s *site) {
		s.label("mac", 1)
		s.want(10*time.Second, "mac:1")
		s.set(func() { s.ready = false })
		s.label("ios", 1)
		s.want(time.Hour)
		s.set(func() { s.ready = true })
		s.want(6*time.Minute, "ios:1")
		s.want(24 * time.Hour)
	})
}

// TestFailuresArePacedAndToldOnce: after 1, 2, 4, 8, 16, 32 and then 60 minutes,
// and the log has each reason once, whatever numbers it has.
func TestFailuresArePacedAndToldOnce(t *testing.T) {
	inBubble(t, func(s *site) {
		free := 1000
		s.set(func() {
			s.pull = func(context.Context, string) error {
				free++
				return fmt.Errorf("disk is full: %d bytes are free", free)
			}
		})
		began := time.Now()
		s.label("mac", 1)
		var at []time.Duration
		for len(at) < 9 {
			time.Sleep(time.Second)
			synctest.Wait()
			s.set(func() {
				for range s.pulled {
					at = append(at, time.Since(began).Round(time.Minute)/time.Minute)
				}
				s.pulled = nil
			})
		}
		if diff := cmp.Diff([]time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183}, at); diff != "" {
			t.Errorf("tried after so many minutes (-want +got):\n%s", diff)
		}
		if n := strings.Count(s.log.String(), "disk is full"); n != 1 {
			t.Errorf("a full disk is logged %d times:\n%s", n, &s.log)
		}
		s.set(func() { s.pull = func(context.Context, string) error { return errors.New("404 Not Found") } })
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if n := strings.Count(s.log.String(), "404 Not Found"); n != 1 {
			t.Errorf("another reason is logged %d times:\n%s", n, &s.log)
		}
	})
}

// TestOneThatFailsHoldsUpNone: and the end of the loop waits for no download.
func TestOneThatFailsHoldsUpNone(t *testing.T) {
	inBubble(t, func(s *site) {
		s.set(func() {
			s.pull = func(ctx context.Context, name string) error {
				if name == "bad:1" {
					return errors.New("404 Not Found")
				}
				if name == "long:1" {
					<-ctx.Done()
				}
				return ctx.Err()
			}
		})
		s.label("bad", 1)
		s.want(10*time.Second, "bad:1")
		s.label("good", 1)
		s.want(10*time.Second, "good:1")
		s.label("long", 1)
		s.want(10*time.Second, "long:1")
		s.want(time.Hour)
	})
}
