package pull_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/pull"
)

// holder is a driver that manages images; what a test leaves out works.
type holder struct {
	drivers.Driver
	refuse error
	away   func(def model.LabelDefinition) error // why it does not know its room
	list   func(ctx context.Context) ([]drivers.ImageStatus, error)
	pull   func(ctx context.Context, def model.LabelDefinition) error
	remove func(ctx context.Context, id string) error
	cached atomic.Bool
}

func (h *holder) Limits() drivers.Limits               { return drivers.Limits{} }
func (h *holder) Validate(model.LabelDefinition) error { return h.refuse }
func (h *holder) Cached(model.LabelDefinition) bool    { return h.cached.Load() }
func (h *holder) Coming(model.LabelDefinition) bool    { return false }

func (h *holder) Capacity(def model.LabelDefinition) (int, error) {
	if h.away == nil {
		return drivers.Unlimited, nil
	}
	return drivers.Unlimited, h.away(def)
}

func (h *holder) ListImages(ctx context.Context) ([]drivers.ImageStatus, error) {
	if h.list == nil {
		return []drivers.ImageStatus{{ID: "a/b:1", State: drivers.ImageReady}}, nil
	}
	return h.list(ctx)
}

func (h *holder) PullImages(ctx context.Context, def model.LabelDefinition) error {
	if h.pull == nil {
		return nil
	}
	return h.pull(ctx, def)
}

func (h *holder) RemoveImage(ctx context.Context, id string) error {
	if h.remove == nil {
		return nil
	}
	return h.remove(ctx, id)
}

var _ drivers.ImageManager = (*holder)(nil)

// plain is a driver without images.
type plain struct{ drivers.Driver }

func (plain) Limits() drivers.Limits                      { return drivers.Limits{} }
func (plain) Validate(model.LabelDefinition) error        { return nil }
func (plain) Capacity(model.LabelDefinition) (int, error) { return drivers.Unlimited, nil }

// site is a node with the instances vm, plain and broken, which is not ready.
type site struct {
	*pull.Keeper
	vm   *holder
	log  strings.Builder
	stop func()
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{vm: &holder{}}
	host := election.Host{
		Identifiers: []string{"OS:linux"}, Maintenance: true, Unfit: "its clock is wrong",
		Driver: func(name string) (drivers.Driver, string) {
			switch name {
			case "vm":
				return s.vm, ""
			case "plain":
				return plain{}, ""
			case "broken":
				return nil, "has no engine"
			}
			return nil, "is not configured on this node"
		},
		Configured: func(name string) bool { return name == "broken" },
	}
	k, err := pull.New(pull.Options{
		Instances: func() []string { return []string{"broken", "plain", "vm"} }, Host: func() election.Host { return host },
		Logger: slog.New(slog.NewTextHandler(&s.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Keeper = k
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = k.Run(ctx) })
	s.stop = func() { cancel(); run.Wait() }
	return s
}

func label(name string, drivers ...string) model.Label {
	l := model.Label{UID: model.UID{1, byte(len(name))}, Name: name, Version: 3}
	for _, d := range drivers {
		l.Definitions = append(l.Definitions, model.LabelDefinition{Driver: d, Resources: model.Resources{CPU: 1, RAM: 1}})
	}
	return l
}

func pulling(definition int) pull.Status {
	l := label("mac")
	return pull.Status{Instance: "vm", LabelUID: l.UID, LabelName: "mac", LabelVersion: 3, Definition: definition, By: "admin", State: pull.Pulling}
}

var ignoreTimes = cmpopts.IgnoreFields(pull.Status{}, "StartedAt", "EndedAt")

// TestPullOutlivesWhoAsked: asked twice it is one; it goes on when nobody waits,
// and ends with the node.
func TestPullOutlivesWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		var begun atomic.Int32
		s.vm.pull = func(ctx context.Context, _ model.LabelDefinition) error {
			begun.Add(1)
			<-ctx.Done()
			return ctx.Err()
		}
		l := label("mac", "plain", "vm", "broken")
		for _, by := range []string{"admin", "eve"} {
			got, err := s.PullLabel(l, by)
			if diff := cmp.Diff([]pull.Status{pulling(1)}, got, ignoreTimes); diff != "" || err != nil {
				t.Fatalf("PullLabel(%s) error %v (-want +got):\n%s", by, err, diff)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Pull(ctx, pull.Order{Instance: "vm", Label: l, Definition: 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a wait that ended = %v", err)
		}
		if n := begun.Load(); n != 1 {
			t.Errorf("%d pulls were begun for one definition", n)
		}
		s.stop()
		ended := pulling(1)
		ended.State, ended.Error = pull.Failed, "the node is stopping"
		if diff := cmp.Diff([]pull.Status{ended}, s.List(t.Context()).Pulls, ignoreTimes); diff != "" {
			t.Errorf("after the stop (-want +got):\n%s", diff)
		}
		if _, err := s.PullLabel(l, "admin"); !errors.Is(err, pull.ErrStopping) {
			t.Errorf("a pull after the stop = %v", err)
		}
	})
}

// TestPullAgain: how it ended is told until it is asked again.
func TestPullAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		defer s.stop()
		fails := []error{errors.New("404 Not Found"), nil}
		s.vm.pull = func(context.Context, model.LabelDefinition) error {
			if len(fails) == 0 {
				panic("too many images")
			}
			err := fails[0]
			fails = fails[1:]
			return err
		}
		for _, want := range []struct {
			state pull.State
			text  string
		}{{pull.Failed, "404 Not Found"}, {pull.Done, ""}, {pull.Failed, "panic in the driver: too many images"}} {
			if _, err := s.PullLabel(label("mac", "vm"), "admin"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			expected := pulling(0)
			expected.State, expected.Error = want.state, want.text
			if diff := cmp.Diff([]pull.Status{expected}, s.List(t.Context()).Pulls, ignoreTimes); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
		if n := strings.Count(s.log.String(), "404 Not Found"); n != 1 {
			t.Errorf("the log tells %d times why it failed:\n%s", n, &s.log)
		}
	})
}

func TestPullIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		defer s.stop()
		elsewhere := label("mac", "vm")
		elsewhere.Definitions[0].Resources.NodeFilter = []string{"OS:mac*"}
		for _, tt := range []struct {
			name   string
			label  model.Label
			refuse error
			away   error
			last   bool
			want   string
		}{
			{"no definitions", label("x"), nil, nil, true, "the label has no definitions"},
			{"no images", label("x", "plain"), nil, nil, true, "definition 0: driver plain keeps no images"},
			{"not ready", label("x", "broken"), nil, nil, false, "definition 0: driver broken is not ready: has no engine"},
			{"away", label("x", "vm"), nil, errors.New("the engine does not answer"), false,
				"definition 0: driver can take none now: the engine does not answer"},
			{"unknown", label("x", "cloud"), nil, nil, true, "definition 0: driver cloud is not configured on this node"},
			{"elsewhere", elsewhere, nil, nil, true, `definition 0: node filter "OS:mac*" matches no identifier of the node`},
			{"options", label("x", "vm"), errors.New("images: no url"), nil, true, "definition 0: driver refuses the definition: images: no url"},
			{"each", label("x", "plain", "broken"), nil, nil, false,
				"definition 0: driver plain keeps no images; definition 1: driver broken is not ready: has no engine"},
		} {
			s.vm.refuse, s.vm.away = tt.refuse, func(model.LabelDefinition) error { return tt.away }
			_, err := s.PullLabel(tt.label, "admin")
			if refused, ok := errors.AsType[*pull.RefusedError](err); !ok || refused.Error() != tt.want || refused.Lasting() != tt.last {
				t.Errorf("%s: %v, want %s, lasting: %v", tt.name, err, tt.want, tt.last)
			}
		}
	})
}

// TestPullsAreBounded: however many are asked for, and remembered.
func TestPullsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		defer s.stop()
		free := make(chan struct{})
		s.vm.pull = func(context.Context, model.LabelDefinition) error { <-free; return nil }
		var crowded error
		for version := range 200 {
			l := label("mac", "vm")
			l.UID[5] = byte(version)
			if _, err := s.PullLabel(l, "admin"); err != nil {
				crowded = err
				break
			}
		}
		if !errors.Is(crowded, pull.ErrCrowded) {
			t.Errorf("200 pulls at once: %v", crowded)
		}
		close(free)
		synctest.Wait()
		for version := range 1100 {
			l := label("mac", "vm")
			l.UID[5], l.UID[6] = byte(version), byte(version>>8)
			if _, err := s.PullLabel(l, "admin"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if n := len(s.List(t.Context()).Pulls); n != 1000 {
			t.Errorf("%d pulls are remembered, want the last 1000", n)
		}
	})
}

// TestLabelOfManyDefinitions: it is pulled whole by one order, few at a time, and
// another one meanwhile is told to wait before anything of it is begun.
func TestLabelOfManyDefinitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		defer s.stop()
		var run, most atomic.Int32
		s.vm.pull = func(context.Context, model.LabelDefinition) error {
			now := run.Add(1)
			defer run.Add(-1)
			most.Store(max(most.Load(), now))
			time.Sleep(time.Minute)
			return nil
		}
		large := label("large", slices.Repeat([]string{"vm"}, 40)...)
		for range 2 {
			if got, err := s.PullLabel(large, "admin"); len(got) != 40 || err != nil {
				t.Fatalf("PullLabel() = %d pulls, %v, want all 40", len(got), err)
			}
		}
		if _, err := s.PullLabel(label("another", "vm", "vm"), "admin"); !errors.Is(err, pull.ErrCrowded) {
			t.Errorf("another label = %v", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		pulls := s.List(t.Context()).Pulls
		done := slices.DeleteFunc(pulls, func(p pull.Status) bool { return p.State != pull.Done || p.LabelName != "large" })
		if len(done) != 40 || len(pulls) != 40 || most.Load() != 16 {
			t.Errorf("%d of %d pulls are done, %d ran at once, want 40 and 16", len(done), len(pulls), most.Load())
		}
	})
}

// TestPullsThatWaitEndWithTheNode: also before their turn.
func TestPullsThatWaitEndWithTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		var begun atomic.Int32
		s.vm.pull = func(ctx context.Context, _ model.LabelDefinition) error {
			begun.Add(1)
			<-ctx.Done()
			return ctx.Err()
		}
		if _, err := s.PullLabel(label("large", slices.Repeat([]string{"vm"}, 20)...), "admin"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.stop()
		for _, p := range s.List(t.Context()).Pulls {
			if p.State != pull.Failed || p.Error != pull.ErrStopping.Error() {
				t.Errorf("definition %d: %s %q", p.Definition, p.State, p.Error)
			}
		}
		if n := begun.Load(); n != 16 {
			t.Errorf("%d were begun", n)
		}
	})
}

// TestPullWhileADriverIsAway: what it could not fetch now is told at once, and is
// not passed over in silence.
func TestPullWhileADriverIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		defer s.stop()
		s.vm.away = func(def model.LabelDefinition) error {
			if def.Resources.CPU > 1 {
				return errors.New("the engine does not answer")
			}
			return nil
		}
		l := label("mac", "vm", "vm", "cloud")
		l.Definitions[1].Resources.CPU = 2
		got, err := s.PullLabel(l, "admin")
		failed := pulling(1)
		failed.State, failed.Error = pull.Failed, "driver can take none now: the engine does not answer"
		if diff := cmp.Diff([]pull.Status{pulling(0), failed}, got, ignoreTimes); diff != "" || err != nil {
			t.Errorf("PullLabel() error %v (-want +got):\n%s", err, diff)
		}
		synctest.Wait()
		done := pulling(0)
		done.State = pull.Done
		if diff := cmp.Diff([]pull.Status{done, failed}, s.List(t.Context()).Pulls, ignoreTimes); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
	})
}
