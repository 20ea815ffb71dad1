package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// world is what exists outside of all nodes: the environments, and the
// evidence of who made and removed them, on a clock that no node has.
type world struct {
	mu     sync.Mutex
	envs   map[model.UID]map[string]*environment // application -> token; guarded by mu
	made   map[model.UID]map[string]bool         // tokens that ever were, but for those that went with a machine; guarded by mu
	begun  map[model.UID]bool                    // applications that ever ran; guarded by mu
	twice  map[model.UID]string                  // applications that ran twice, and how; guarded by mu
	excuse map[model.UID]string                  // applications that may run twice, and why; guarded by mu
	owners []porcupine.Operation                 // guarded by mu
}

// environment is one that exists.
type environment struct {
	machine *machine
	app     model.UID
	token   string
}

func newWorld() *world {
	return &world{envs: map[model.UID]map[string]*environment{}, made: map[model.UID]map[string]bool{}, begun: map[model.UID]bool{}, twice: map[model.UID]string{}, excuse: map[model.UID]string{}}
}

// switchOff is what becomes of a machine that was retired: nothing is left. What
// was alone on its disk is lost: the applications of which nobody else knows that
// they ran here run again.
func (w *world) switchOff(m *machine, lost map[model.UID]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m.tokens.Range(func(key, value any) bool {
		token, app := key.(string), value.(model.UID)
		_, lives := w.envs[app][token]
		delete(w.envs[app], token)
		if lost[app] {
			delete(w.made[app], token)
		}
		if lives || lost[app] {
			w.owners = append(w.owners, ownership(m.index, time.Now(), lockInput{app: app, token: token, release: lives, off: lost[app]}))
		}
		return true
	})
}

// ranOn are the applications that the machine ever ran.
func (m *machine) ranOn() (apps []model.UID) {
	m.tokens.Range(func(_, app any) bool {
		apps = append(apps, app.(model.UID))
		return true
	})
	return apps
}

// pardon says that an application may run twice.
func (w *world) pardon(app model.UID, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.excuse[app] = why
}

func (w *world) pardoned(app model.UID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.excuse[app] != ""
}

// owned is the history of who ran what, but for what may run twice.
func (w *world) owned() []porcupine.Operation {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ops []porcupine.Operation
	for _, op := range w.owners {
		if w.excuse[op.Input.(lockInput).app] == "" {
			ops = append(ops, op)
		}
	}
	return ops
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

// ran reports whether the application ever had an environment.
func (w *world) ran(app model.UID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun[app]
}

// machine is where a node runs, and what its driver is asked: environments
// outlive the node's process.
type machine struct {
	world  *world
	index  int
	limits drivers.Limits
	slow   func() time.Duration // how long an allocation takes
	tokens sync.Map             // token -> application
}

// driver is the machine as one process of the node sees it.
type driver struct {
	*machine
	process *process
}

var _ drivers.Driver = driver{}

var errKilled = errors.New("the process was killed")

func (d driver) Limits() drivers.Limits                      { return d.limits }
func (d driver) Validate(model.LabelDefinition) error        { return nil }
func (d driver) Capacity(model.LabelDefinition) (int, error) { return drivers.Unlimited, nil }
func (d driver) Close() error                                { return nil }

// alive waits while the machine sleeps; then it says whether the call is still
// worth anything.
func (d driver) alive(ctx context.Context) error {
	d.process.stand()
	return ctx.Err()
}

// knows reports whether there ever was an environment of the token here.
func (m *machine) knows(token string) bool {
	_, known := m.tokens.Load(token)
	return known
}

func (d driver) Allocate(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
	called := time.Now()
	if !d.knows(req.Token) {
		d.process.mayBegin(req, called)
	}
	if err := d.alive(ctx); err != nil { // between the last check and the effect
		return drivers.Environment{}, err
	}
	if err := d.make(req, called); err != nil {
		return drivers.Environment{}, err
	}
	select {
	case <-ctx.Done():
		return drivers.Environment{}, ctx.Err()
	case <-time.After(d.slow()):
	}
	return drivers.Environment{Identifier: "env-" + req.Token}, d.alive(ctx)
}

// make makes an environment, and notes whether it is the only one ever.
func (d driver) make(req drivers.Request, called time.Time) error {
	w, app := d.world, req.ApplicationUID
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.process.dead.Load() {
		return errKilled
	}
	if w.made[app] == nil {
		w.envs[app], w.made[app] = map[string]*environment{}, map[string]bool{}
	}
	if w.envs[app][req.Token] != nil {
		return nil
	}
	w.envs[app][req.Token] = &environment{d.machine, app, req.Token}
	w.made[app][req.Token], w.begun[app] = true, true
	d.tokens.Store(req.Token, app)
	if len(w.made[app]) > 1 && w.excuse[app] == "" {
		w.twice[app] = fmt.Sprintf("at %v on node %d, %d live at once", time.Since(epoch), d.index, len(w.envs[app]))
	}
	w.owners = append(w.owners, ownership(d.index, called, lockInput{app: app, token: req.Token}))
	return nil
}

func (d driver) Deallocate(ctx context.Context, ref drivers.Ref) error {
	called := time.Now()
	if err := d.alive(ctx); err != nil {
		return err
	}
	app, known := d.tokens.Load(ref.Token)
	if !known {
		return nil
	}
	w, uid := d.world, app.(model.UID)
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.process.dead.Load() {
		return errKilled
	}
	if w.envs[uid][ref.Token] != nil {
		delete(w.envs[uid], ref.Token)
		w.owners = append(w.owners, ownership(d.index, called, lockInput{app: uid, token: ref.Token, release: true}))
	}
	return nil
}

func (d driver) Inspect(ctx context.Context, ref drivers.Ref) (drivers.Report, error) {
	if err := d.alive(ctx); err != nil {
		return drivers.Report{}, err
	}
	app, known := d.tokens.Load(ref.Token)
	if !known {
		return drivers.Report{}, nil
	}
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	if d.world.envs[app.(model.UID)][ref.Token] == nil {
		return drivers.Report{}, nil
	}
	return drivers.Report{Presence: drivers.Running, Environment: drivers.Environment{Identifier: "env-" + ref.Token}}, nil
}

func (d driver) List(ctx context.Context) ([]drivers.Ref, error) {
	if err := d.alive(ctx); err != nil {
		return nil, err
	}
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	var refs []drivers.Ref
	for _, envs := range d.world.envs {
		for token, e := range envs {
			if e.machine == d.machine {
				refs = append(refs, drivers.Ref{Token: token, Identifier: "env-" + token, ApplicationUID: e.app})
			}
		}
	}
	return refs, nil
}

func (d driver) RunTask(ctx context.Context, task drivers.TaskRequest) (json.RawMessage, error) {
	if err := d.alive(ctx); err != nil {
		return nil, err
	}
	if task.Task != "snapshot" {
		return nil, drivers.ErrTaskUnknown
	}
	return json.RawMessage(`{"done":true}`), nil
}
