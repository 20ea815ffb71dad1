package lifecycle_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest"
	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// world is what exists outside of the node: it outlives every restart.
type world struct {
	mu   sync.Mutex
	envs map[string]string    // token -> how it ended by itself, "" while it runs
	apps map[string]model.UID // token -> application that it was made for
	// proxies are what the makers of environments were told to tell them, by token
	proxies map[string]metadata.Proxy
	tasks   []string        // what was done, in order
	still   map[string]bool // token -> it stands still
	most    int             // how many ever existed at once
	event   chan struct{}   // closed and replaced when one ends by itself
}

func newWorld() *world {
	return &world{envs: map[string]string{}, apps: map[string]model.UID{}, proxies: map[string]metadata.Proxy{}, still: map[string]bool{}, event: make(chan struct{})}
}

// end makes an environment end by itself.
func (w *world) end(identifier, how string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for token := range w.envs {
		if "env-"+token == identifier {
			w.envs[token] = how
		}
	}
	close(w.event)
	w.event = make(chan struct{})
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.envs)
}

// peak is how many ever existed at once.
func (w *world) peak() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most
}

func (w *world) done() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.tasks)
}

// scripted is a driver over a world, whose calls a test can hold up or fail.
// It passes the suite that every driver passes, so what it does right it does
// as real drivers do.
type scripted struct {
	world    *world
	limits   drivers.Limits
	capacity int

	// The world's lock guards what a test changes on the way: farm.script.

	// before is called at the start of a call; its error fails the call.
	before func(ctx context.Context, call string) error
	// after is called when Allocate made something, stood when Suspend or Resume
	// changed something; an error loses the answer.
	after, stood func(ctx context.Context) error
	// more says why List may not name all.
	more error
}

func newScripted(w *world) *scripted {
	return &scripted{world: w, capacity: drivers.Unlimited}
}

func (s *scripted) check(ctx context.Context, call string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.world.mu.Lock()
	before := s.before
	s.world.mu.Unlock()
	if before != nil {
		return before(ctx, call)
	}
	return nil
}

func (s *scripted) Limits() drivers.Limits { return s.limits }

func (s *scripted) Validate(def model.LabelDefinition) error {
	if len(def.Options) > 0 && def.Options[0] != '{' {
		return errors.New("options: must be an object")
	}
	return nil
}

func (s *scripted) Capacity(model.LabelDefinition) (int, error) {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	return s.capacity, nil
}

func (s *scripted) Allocate(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
	if err := s.check(ctx, "allocate"); err != nil {
		return drivers.Environment{}, err
	}
	s.world.mu.Lock()
	if _, again := s.world.envs[req.Token]; !again {
		s.world.envs[req.Token] = ""
		s.world.apps[req.Token], s.world.proxies[req.Token] = req.ApplicationUID, req.Proxy
	}
	s.world.most = max(s.world.most, len(s.world.envs))
	after := s.after
	s.world.mu.Unlock()
	if after != nil {
		if err := after(ctx); err != nil {
			return drivers.Environment{}, err
		}
	}
	return drivers.Environment{Identifier: "env-" + req.Token, IPAddr: "127.0.0.1"}, nil
}

// find is the token of what the reference names. Caller holds the world's lock.
func (s *scripted) find(ref drivers.Ref) (string, bool) {
	for token := range s.world.envs {
		if token == ref.Token || "env-"+token == ref.Identifier {
			return token, true
		}
	}
	return "", false
}

func (s *scripted) Inspect(ctx context.Context, ref drivers.Ref) (drivers.Report, error) {
	if err := s.check(ctx, "inspect"); err != nil {
		return drivers.Report{}, err
	}
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	token, ok := s.find(ref)
	if !ok {
		return drivers.Report{}, nil
	}
	if how := s.world.envs[token]; how != "" {
		return drivers.Report{Presence: drivers.Ended, Ending: how}, nil
	}
	return drivers.Report{
		Presence:    drivers.Running,
		Environment: drivers.Environment{Identifier: "env-" + token, IPAddr: "127.0.0.1"},
	}, nil
}

func (s *scripted) Deallocate(ctx context.Context, ref drivers.Ref) error {
	if err := s.check(ctx, "deallocate"); err != nil {
		return err
	}
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	if token, ok := s.find(ref); ok {
		delete(s.world.envs, token)
		delete(s.world.still, token)
	}
	return nil
}

func (s *scripted) List(ctx context.Context) ([]drivers.Ref, error) {
	if err := s.check(ctx, "list"); err != nil {
		return nil, err
	}
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	var refs []drivers.Ref
	for _, token := range slices.Sorted(maps.Keys(s.world.envs)) {
		refs = append(refs, drivers.Ref{Token: token, Identifier: "env-" + token, ApplicationUID: s.world.apps[token]})
	}
	return refs, s.more
}

func (s *scripted) RunTask(ctx context.Context, task drivers.TaskRequest) (json.RawMessage, error) {
	if err := s.check(ctx, "task"); err != nil {
		return nil, err
	}
	if task.Task != "snapshot" || task.Options[0] != '{' {
		return nil, drivers.ErrTaskUnknown
	}
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	if _, ok := s.find(task.Ref); !ok {
		return nil, errors.New("environment does not exist")
	}
	done := fmt.Sprintf("%s at %s with %d", task.Task, task.When, len(s.world.envs))
	s.world.tasks = append(s.world.tasks, done)
	return json.RawMessage(`{"when":"` + string(task.When) + `"}`), nil
}

func (s *scripted) Suspend(ctx context.Context, ref drivers.Ref) error {
	return s.stand(ctx, ref, "suspend", true)
}

func (s *scripted) Resume(ctx context.Context, ref drivers.Ref) error {
	return s.stand(ctx, ref, "resume", false)
}

func (s *scripted) stand(ctx context.Context, ref drivers.Ref, call string, still bool) error {
	if err := s.check(ctx, call); err != nil {
		return err
	}
	s.world.mu.Lock()
	token, ok := s.find(ref)
	if ok {
		s.world.still[token] = still
		s.world.tasks = append(s.world.tasks, call)
	}
	stood := s.stood
	s.world.mu.Unlock()
	if !ok {
		return errors.New("environment does not exist")
	}
	if stood != nil {
		return stood(ctx)
	}
	return nil
}

func (s *scripted) Watch(ctx context.Context, ref drivers.Ref) (string, error) {
	for {
		if err := s.check(ctx, "watch"); err != nil {
			return "", err
		}
		s.world.mu.Lock()
		token, ok := s.find(ref)
		how, event := s.world.envs[token], s.world.event
		s.world.mu.Unlock()
		if !ok {
			return "", errors.New("no such environment")
		}
		if how != "" {
			return how, nil
		}
		select {
		case <-event:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func (s *scripted) Close() error { return nil }

func TestScriptedDriverKeepsTheContract(t *testing.T) {
	w := newWorld()
	drivertest.Run(t, drivertest.Harness{
		New:        func(testing.TB) drivers.Driver { return newScripted(w) },
		Definition: model.LabelDefinition{Driver: "test", Options: json.RawMessage(`{}`), Resources: model.Resources{CPU: 1, RAM: 1}},
		Malformed:  map[string]json.RawMessage{"no object": json.RawMessage(`[]`)},
		Task:       "snapshot",
		Count:      func(testing.TB) int { return w.count() },
		End:        func(_ testing.TB, env drivers.Environment) { w.end(env.Identifier, "exit code 0") },
		Stands: func(_ testing.TB, env drivers.Environment) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.still[strings.TrimPrefix(env.Identifier, "env-")]
		},
	})
}
