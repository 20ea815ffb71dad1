package election_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// world is what runs outside of all nodes.
type world struct {
	mu   sync.Mutex
	envs map[model.UID]map[string]*host // application -> token -> where it runs
	made map[model.UID]int
}

func newWorld() *world {
	return &world{envs: map[model.UID]map[string]*host{}, made: map[model.UID]int{}}
}

// running is how many environments there are.
func (w *world) running() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, envs := range w.envs {
		n += len(envs)
	}
	return n
}

// host is the driver of one node.
type host struct {
	node   *node
	limits drivers.Limits
	cached func(model.LabelDefinition) bool
	slow   func() time.Duration // how long an allocation takes
	absent bool

	tokens sync.Map // token -> application
}

func (h *host) driver(name string) (drivers.Driver, string) {
	if h.absent || name != "test" {
		return nil, "is not there"
	}
	return h, ""
}

func (h *host) Limits() drivers.Limits                      { return h.limits }
func (h *host) Validate(model.LabelDefinition) error        { return nil }
func (h *host) Capacity(model.LabelDefinition) (int, error) { return drivers.Unlimited, nil }
func (h *host) Close() error                                { return nil }
func (h *host) Cached(def model.LabelDefinition) bool       { return h.cached != nil && h.cached(def) }

func (h *host) RunTask(context.Context, drivers.TaskRequest) (json.RawMessage, error) {
	return nil, drivers.ErrTaskUnknown
}

func (h *host) Allocate(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
	if err := ctx.Err(); err != nil {
		return drivers.Environment{}, err
	}
	h.make(req.ApplicationUID, req.Token)
	if h.slow != nil {
		select {
		case <-ctx.Done():
			return drivers.Environment{}, ctx.Err()
		case <-time.After(h.slow()):
		}
	}
	return drivers.Environment{Identifier: "env-" + req.Token}, nil
}

// make makes an environment.
func (h *host) make(app model.UID, token string) {
	w := h.node.hub.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.envs[app] == nil {
		w.envs[app] = map[string]*host{}
	}
	if w.envs[app][token] != nil {
		return
	}
	w.envs[app][token] = h
	w.made[app]++
	h.tokens.Store(token, app)
}

func (h *host) Deallocate(ctx context.Context, ref drivers.Ref) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	app, known := h.tokens.Load(ref.Token)
	if !known {
		return nil
	}
	w := h.node.hub.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.envs[app.(model.UID)][ref.Token] == nil {
		return nil
	}
	delete(w.envs[app.(model.UID)], ref.Token)
	return nil
}

func (h *host) Inspect(_ context.Context, ref drivers.Ref) (drivers.Report, error) {
	app, known := h.tokens.Load(ref.Token)
	if !known {
		return drivers.Report{}, nil
	}
	w := h.node.hub.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.envs[app.(model.UID)][ref.Token] == nil {
		return drivers.Report{}, nil
	}
	return drivers.Report{Presence: drivers.Running, Environment: drivers.Environment{Identifier: "env-" + ref.Token}}, nil
}

func (h *host) List(context.Context) ([]drivers.Ref, error) {
	return nil, errors.New("this driver can not list")
}
