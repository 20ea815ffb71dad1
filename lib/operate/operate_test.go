package operate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/calls"
	"github.com/aquarium-fish/aquarium-fish/lib/operate"
)

// plain is a driver without commands.
type plain struct{ drivers.Driver }

// operator has one command that looks and one that changes.
type operator struct {
	drivers.Driver
	do func(ctx context.Context, command string, args json.RawMessage) (json.RawMessage, error)
}

func (o *operator) Commands() []drivers.Command {
	return []drivers.Command{{Name: "status"}, {Name: "sweep", Changes: true}}
}

func (o *operator) Do(ctx context.Context, command string, args json.RawMessage) (json.RawMessage, error) {
	return o.do(ctx, command, args)
}

var _ drivers.Operator = (*operator)(nil)

// broken panics where it is asked for what is constant.
type broken struct{ *operator }

func (broken) Commands() []drivers.Command { panic("no list") }

// site is a node with the instances cloud, plain, broken, and late, which is not ready.
type site struct {
	*operate.Keeper
	cloud operator
	log   strings.Builder
	stop  func()
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{}
	k, err := operate.New(operate.Options{
		Instances: func() []string { return []string{"broken", "cloud", "late", "plain"} },
		Driver: func(name string) (drivers.Driver, string) {
			switch name {
			case "cloud":
				return &s.cloud, ""
			case "plain":
				return plain{}, ""
			case "broken":
				return broken{}, ""
			case "late":
				return nil, "has no engine"
			}
			return nil, "is not configured on this node"
		},
		Configured: func(name string) bool { return name == "late" },
		Logger:     slog.New(slog.NewTextHandler(&s.log, nil)),
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

// TestList: the commands of those that have some and are ready.
func TestList(t *testing.T) {
	s := newSite(t)
	defer s.stop()
	want := []operate.Command{
		{Instance: "cloud", Command: drivers.Command{Name: "status"}},
		{Instance: "cloud", Command: drivers.Command{Name: "sweep", Changes: true}},
	}
	if diff := cmp.Diff(want, s.List()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if c, ok := s.Find("cloud", "sweep"); !ok || !c.Changes {
		t.Errorf("Find(sweep) = %+v, %v", c, ok)
	}
	for _, of := range [][2]string{{"cloud", "fly"}, {"plain", "sweep"}, {"late", "sweep"}, {"broken", "sweep"}} {
		if c, ok := s.Find(of[0], of[1]); ok {
			t.Errorf("Find(%v) = %+v", of, c)
		}
	}
}

// TestDo: what is asked and answered passes unchanged; each error says whose fault it is.
func TestDo(t *testing.T) {
	refused := fmt.Errorf("%w: hosts are busy", drivers.ErrCommandRefused)
	answer := func(text string, err error) func(context.Context, string, json.RawMessage) (json.RawMessage, error) {
		return func(context.Context, string, json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(text), err
		}
	}
	slow := func(ctx context.Context, _ string, _ json.RawMessage) (json.RawMessage, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, tt := range []struct {
		name, instance, command, args string
		do                            func(context.Context, string, json.RawMessage) (json.RawMessage, error)
		want                          string // the result, or in the error
		err                           error
		took                          time.Duration
	}{
		{name: "as it was asked", instance: "cloud", command: "status", args: ` {"a":1.50}`, want: `status {"a":1.50}`},
		{name: "no arguments", instance: "cloud", command: "sweep", want: `sweep {}`},
		{"unknown", "cloud", "fly", "", nil, "driver cloud has status, sweep", drivers.ErrCommandUnknown, 0},
		{"no object", "cloud", "status", `[1]`, nil, "want a JSON object", drivers.ErrCommandArgument, 0},
		{"no JSON", "cloud", "status", `{`, nil, "want a JSON object", drivers.ErrCommandArgument, 0},
		{"refused", "cloud", "sweep", "", answer("", refused), "hosts are busy", drivers.ErrCommandRefused, 0},
		{"no result", "cloud", "status", "", answer("null", nil), "", operate.ErrResult, 0},
		{"a result too large", "cloud", "status", "", answer(`{"a":"`+strings.Repeat("x", drivers.MaxCommandResult)+`"}`, nil), "", operate.ErrResult, 0},
		{"hanging look", "cloud", "status", "", slow, "", calls.ErrLate, drivers.CommandTimeout},
		{"hanging change", "cloud", "sweep", "", slow, "", operate.ErrGoesOn, drivers.CommandTimeout},
		{"ignores its context", "cloud", "sweep", "", func(context.Context, string, json.RawMessage) (json.RawMessage, error) {
			time.Sleep(time.Hour)
			return nil, nil
		}, "", operate.ErrGoesOn, drivers.CommandTimeout},
		{"panics", "cloud", "sweep", "", func(context.Context, string, json.RawMessage) (json.RawMessage, error) { panic("no map") }, "panic in the driver: no map", nil, 0},
		{"no commands", "plain", "status", "", nil, "driver plain has no commands", nil, 0},
		{"not configured", "x", "status", "", nil, "driver x is not configured", nil, 0},
		{"a list that panics", "broken", "status", "", nil, "has none", drivers.ErrCommandUnknown, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				defer s.stop()
				s.cloud.do = func(_ context.Context, command string, args json.RawMessage) (json.RawMessage, error) {
					return json.Marshal(map[string]string{"asked": command + " " + strings.TrimSpace(string(args))})
				}
				if tt.do != nil {
					s.cloud.do = tt.do
				}
				began := time.Now()
				result, err := s.Do(t.Context(), tt.instance, tt.command, json.RawMessage(tt.args))
				if took := time.Since(began); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
				var got struct{ Asked string }
				_ = json.Unmarshal(result, &got)
				if err != nil {
					got.Asked = err.Error()
				}
				if !strings.Contains(got.Asked, tt.want) || tt.err != nil && !errors.Is(err, tt.err) || tt.err == nil && err != nil && tt.want == "" {
					t.Errorf("Do() = %q, want %q, %v", got.Asked, tt.want, tt.err)
				}
			})
		})
	}
}

// TestNotReady: one that may come back is told from one that will not.
func TestNotReady(t *testing.T) {
	s := newSite(t)
	defer s.stop()
	_, err := s.Do(t.Context(), "late", "status", nil)
	if e, ok := errors.AsType[*operate.NotReadyError](err); !ok || e.Error() != "driver late has no engine" {
		t.Errorf("Do() of one that is not ready = %v", err)
	}
}

// TestWhoAskedLeaves: what only looks ends with them, what changes something
// goes on, and its end is in the log.
func TestWhoAskedLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		defer s.stop()
		for _, command := range []string{"status", "sweep"} {
			took := make(chan time.Duration, 1)
			s.cloud.do = func(ctx context.Context, _ string, _ json.RawMessage) (json.RawMessage, error) {
				began := time.Now()
				defer func() { took <- time.Since(began) }()
				select {
				case <-ctx.Done():
					return nil, ctx.Err()
				case <-time.After(10 * time.Second):
					return json.RawMessage(`{}`), nil
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := s.Do(ctx, "cloud", command, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s = %v", command, err)
			}
			cancel()
			want := map[string]time.Duration{"status": time.Second, "sweep": 10 * time.Second}[command]
			if got := <-took; got != want {
				t.Errorf("%s took %v, want %v", command, got, want)
			}
		}
		synctest.Wait()
		if text := s.log.String(); strings.Count(text, "driver command") != 1 || !strings.Contains(text, "driver command is done") {
			t.Errorf("the log is\n%s", text)
		}
	})
}

// TestStop: commands end with the node, which waits for them.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		ended := false
		s.cloud.do = func(ctx context.Context, _ string, _ json.RawMessage) (json.RawMessage, error) {
			<-ctx.Done()
			time.Sleep(time.Second)
			ended = true
			return nil, ctx.Err()
		}
		answer := make(chan error, 1)
		go func() { _, err := s.Do(context.Background(), "cloud", "sweep", nil); answer <- err }()
		synctest.Wait()
		s.stop()
		if err := <-answer; !errors.Is(err, calls.ErrStopping) || !ended {
			t.Errorf("Do() = %v; its driver has returned: %v", err, ended)
		}
		if _, err := s.Do(t.Context(), "cloud", "sweep", nil); !errors.Is(err, calls.ErrStopping) {
			t.Errorf("after the stop: %v", err)
		}
	})
}
