package election_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// world is what runs outside of all nodes.
type world struct {
	mu     sync.Mutex
	envs   map[model.UID]map[string]*host // application -> token -> where it runs
	twice  map[model.UID]bool             // applications that ever ran twice at once
	made   map[model.UID]int
	owners []porcupine.Operation
}

func newWorld() *world {
	return &world{envs: map[model.UID]map[string]*host{}, twice: map[model.UID]bool{}, made: map[model.UID]int{}}
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
	called := time.Now()
	h.node.stand() // between the last check and the driver
	if err := ctx.Err(); err != nil {
		return drivers.Environment{}, err
	}
	h.make(req.ApplicationUID, req.Token, called)
	if h.slow != nil {
		select {
		case <-ctx.Done():
			return drivers.Environment{}, ctx.Err()
		case <-time.After(h.slow()):
		}
	}
	return drivers.Environment{Identifier: "env-" + req.Token}, nil
}

// make makes an environment and notes whether it is the only one.
func (h *host) make(app model.UID, token string, called time.Time) {
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
	if len(w.envs[app]) > 1 {
		w.twice[app] = true
	}
	w.owners = append(w.owners, ownership(h.node.index, called, lockInput{app: app, token: token}))
}

func (h *host) Deallocate(ctx context.Context, ref drivers.Ref) error {
	called := time.Now()
	h.node.stand()
	if err := ctx.Err(); err != nil {
		return err
	}
	ref.Token = tokenOf(ref)
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
	w.owners = append(w.owners, ownership(h.node.index, called, lockInput{app: app.(model.UID), token: ref.Token, release: true}))
	return nil
}

func (h *host) Inspect(_ context.Context, ref drivers.Ref) (drivers.Report, error) {
	h.node.stand()
	ref.Token = tokenOf(ref)
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

// tokenOf is the token of an environment that is known by one of its names.
func tokenOf(ref drivers.Ref) string {
	if ref.Token != "" {
		return ref.Token
	}
	return strings.TrimPrefix(ref.Identifier, "env-")
}

// lockInput is who takes or gives up an application.
type lockInput struct {
	app     model.UID
	token   string
	release bool
}

// ownership is an operation that ends now. Its own moment lies between: time
// stands still in a bubble while anything runs, so each gets a nanosecond of
// its own at its end.
func ownership(client int, called time.Time, in lockInput) porcupine.Operation {
	return porcupine.Operation{ClientId: client, Input: in, Call: called.UnixNano(), Output: nil, Return: time.Now().UnixNano() + 1}
}

// lockModel says that an application has at most one owner: the token of the
// environment that runs it.
func lockModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byApp := map[model.UID][]porcupine.Operation{}
			for _, op := range history {
				app := op.Input.(lockInput).app
				byApp[app] = append(byApp[app], op)
			}
			var parts [][]porcupine.Operation
			for _, part := range byApp {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			owner, in := state.(string), input.(lockInput)
			if in.release {
				return owner == in.token, ""
			}
			return owner == "", in.token
		},
		DescribeOperation: func(input, _ any) string {
			in := input.(lockInput)
			return fmt.Sprintf("%.4s %s release %v", in.app, in.token[:4], in.release)
		},
	}
}
