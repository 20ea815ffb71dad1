package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// ledger is what clients were told, and so may rely on.
type ledger struct {
	mu     sync.Mutex
	apps   []model.UID             // guarded by mu, and all below
	given  map[model.UID]bool      // applications that a user may have given up
	tasks  map[model.UID]model.UID // to their application
	labels map[model.UID]bool      // whether it may be deleted

	deleted  map[model.UID]bool // labels that surely are
	told     map[model.UID]told // of applications, tasks and labels
	happened map[string]int

	users map[string]map[string]put // name -> value -> what is known of its write
	reads []porcupine.Operation
	later []replica.Row // what a node of a later version wrote, in order
	errs  int           // requests that were not answered: what became of them is not known
}

// put is a write of a user.
type put struct {
	version model.HLC // 0: it was not answered
	node    model.UID
	at      time.Time
}

func newLedger() *ledger {
	return &ledger{
		given: map[model.UID]bool{}, tasks: map[model.UID]model.UID{}, labels: map[model.UID]bool{}, users: map[string]map[string]put{},
		deleted: map[model.UID]bool{}, told: map[model.UID]told{}, happened: map[string]int{},
	}
}

// patience is how long a client waits for an answer.
const patience = 5 * time.Second

// request does something as a client of the node.
func (h *history) request(m *member, f func(ctx context.Context, p *process)) {
	p := m.p
	if !m.usable() {
		return
	}
	h.work.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		f(ctx, p)
	})
}

// clients ask for things all over the farm until there were enough
// applications.
func (h *history) clients(apps int, every time.Duration) {
	for n := 0; n < apps; {
		time.Sleep(h.upTo(2 * every))
		m := h.any()
		if !m.usable() {
			continue
		}
		switch h.pick(10) {
		default:
			n++
			h.request(m, h.create)
		case 0:
			h.request(m, h.putUser)
		case 1:
			h.request(m, h.readUser)
		case 2:
			h.request(m, h.createTask)
		case 3:
			if h.chance(0.3) {
				h.request(m, h.createLabel)
			}
		case 5:
			h.request(m, h.writeLater)
		case 4:
			if h.chance(0.2) {
				h.request(m, h.deleteLabel)
			}
		}
	}
}

// create asks for an application; a user may give it up soon after, anywhere.
func (h *history) create(ctx context.Context, p *process) {
	labels := p.store.Labels()
	if len(labels) == 0 {
		return
	}
	l := labels[h.pick(len(labels))]
	e, err := p.store.CreateApplication(ctx, model.Application{LabelUID: l.UID, OwnerName: "u", Metadata: []byte("{}")})
	h.ledger.mu.Lock()
	defer h.ledger.mu.Unlock()
	if err != nil {
		h.ledger.errs++
		return
	}
	app := e.Application.UID
	h.ledger.apps = append(h.ledger.apps, app)
	h.ledger.told[app] = told{p.member, time.Now()}
	if h.chance(0.2) {
		h.ledger.given[app] = true
		wait := h.upTo(20 * time.Second)
		h.work.Go(func() { time.Sleep(wait); h.recall(app) })
	}
}

// recall gives an application up, on a node that knows it.
func (h *history) recall(app model.UID) {
	m := h.any()
	h.request(m, func(ctx context.Context, p *process) {
		_, _ = p.store.Update(ctx, app, func(e *model.Entry) (model.Change, error) { // who is too late has nothing to ask for
			return model.RequestRelease(e, "Requested by user u")
		})
	})
}

func (h *history) createTask(ctx context.Context, p *process) {
	open := p.store.Open()
	if len(open) == 0 {
		return
	}
	app, task := open[h.pick(len(open))].Application.UID, h.uid()
	name, when := "snapshot", "ALLOCATED"
	if h.chance(0.2) {
		name, when = "unknown", "DEALLOCATE"
	}
	_, err := p.store.Update(ctx, app, func(e *model.Entry) (model.Change, error) {
		if e.Fold.Closed {
			return model.Change{}, errors.New("it is over")
		}
		return model.Change{Tasks: []model.ApplicationTask{{UID: task, ApplicationUID: app, Task: name, When: when, Options: []byte("{}"), Result: []byte("{}")}}}, nil
	})
	if err == nil {
		h.ledger.mu.Lock()
		h.ledger.tasks[task], h.ledger.told[task] = app, told{p.member, time.Now()}
		h.ledger.mu.Unlock()
	}
}

func (h *history) createLabel(ctx context.Context, p *process) {
	name := fmt.Sprintf("l%d", h.pick(5)) // some names are used twice
	l, err := p.store.CreateLabel(ctx, model.Label{Name: name, Version: 1 + h.pick(3), Definitions: []model.LabelDefinition{definition(1, 1, "20s")}, Metadata: []byte("{}")})
	if err == nil {
		h.ledger.mu.Lock()
		h.ledger.labels[l.UID], h.ledger.told[l.UID] = false, told{p.member, time.Now()}
		h.ledger.mu.Unlock()
	}
}

func (h *history) deleteLabel(ctx context.Context, p *process) {
	labels := p.store.Labels()
	if len(labels) == 0 { // it lost them, and has not caught up yet
		return
	}
	l := labels[h.pick(len(labels))]
	if l.Name == "first" {
		return
	}
	h.ledger.mu.Lock()
	h.ledger.labels[l.UID] = true // from now on it may be gone
	h.ledger.mu.Unlock()
	if _, err := p.store.DeleteLabel(ctx, l.UID); err == nil {
		h.ledger.mu.Lock()
		h.ledger.deleted[l.UID], h.ledger.told[l.UID] = true, told{p.member, time.Now()}
		h.ledger.mu.Unlock()
	}
}

// uid is one that nobody else makes.
func (h *history) uid() model.UID {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := model.UID{255, 0, 0, 0, 0, 1, 0x40, 8, 0x80}
	for i := 9; i < len(u); i++ {
		u[i] = byte(h.dice.IntN(256))
	}
	return u
}

func userName(i int) string { return fmt.Sprintf("user-%d", i) }

const manyUsers = 3

func (h *history) putUser(ctx context.Context, p *process) {
	name, called := userName(h.pick(manyUsers)), time.Now()
	value := h.uid().String()
	h.ledger.mu.Lock()
	if h.ledger.users[name] == nil {
		h.ledger.users[name] = map[string]put{}
	}
	h.ledger.users[name][value] = put{node: p.uid, at: time.Now()}
	h.ledger.mu.Unlock()
	origin := p.store.Origin()
	u, err := p.store.PutUser(ctx, name, func(*model.User) (model.User, error) {
		return model.User{Hash: model.PasswordHash{Algo: value}}, nil
	})
	if err != nil {
		return
	}
	h.ledger.mu.Lock()
	defer h.ledger.mu.Unlock()
	h.ledger.users[name][value] = put{lasting(u.HLC), p.uid, time.Now()}
	h.ledger.access(p, origin, called, name, u, true)
}

func (h *history) readUser(_ context.Context, p *process) {
	name, called := userName(h.pick(manyUsers)), time.Now()
	origin := p.store.Origin()
	u, known := p.store.UserByName(name)
	if !known {
		return
	}
	h.ledger.mu.Lock()
	defer h.ledger.mu.Unlock()
	h.ledger.access(p, origin, called, name, u, false)
}

// lasting is the version that was given to something, 0 if it will be given
// another one: by a clock that is too far ahead.
func lasting(version model.HLC) model.HLC {
	if time.Unix(0, int64(version)).After(time.Now().Add(5 * time.Minute)) {
		return 0
	}
	return version
}

// accessInput is a read or a write of a user on one process of a node.
type accessInput struct {
	boot        uint64
	incarnation uint32 // of its database
	name        string
	write       bool
}

// accessOutput is the version that was read or written.
type accessOutput struct {
	version model.HLC
	value   string
	beat    string // a state's: the values of this version that were there before
}

// access notes one. Versions may be given anew with an incarnation: what
// happened while one was taken is of neither. The caller holds mu.
func (l *ledger) access(p *process, origin replica.Origin, called time.Time, name string, u model.User, write bool) {
	if p.store.Origin() != origin {
		return
	}
	l.reads = append(l.reads, porcupine.Operation{
		ClientId: p.index, Input: accessInput{p.boot, origin.Incarnation, name, write}, Call: called.UnixNano(),
		Output: accessOutput{version: u.HLC, value: u.Hash.Algo}, Return: time.Now().UnixNano() + 1,
	})
}

// registerModel says what a user's row is on one node while its process lives
// and takes no new incarnation: a register whose version only grows, by its own
// writes and by what comes from others. Two nodes may give one reading of the
// clock to two values: then one takes the other's place, the same everywhere, and
// that never comes back.
func registerModel(writer map[string]model.UID) porcupine.Model {
	return porcupine.Model{
		Partition: partition(func(op porcupine.Operation) any {
			in := op.Input.(accessInput)
			return fmt.Sprint(in.boot, " ", in.incarnation, in.name)
		}),
		Init: func() any { return accessOutput{} },
		Step: func(state, input, output any) (bool, any) {
			old, in, out := state.(accessOutput), input.(accessInput), output.(accessOutput)
			switch {
			case in.write:
				return out.version > old.version, out
			case out.version == old.version && out.value != old.value:
				out.beat = old.beat + old.value + "\n"
				return writer[out.value] != writer[old.value] && !strings.Contains(old.beat, out.value+"\n"), out
			case out.version == old.version:
				return true, old
			}
			return out.version > old.version, out
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
	}
}

// writers are on which node each value of a user was written.
func (l *ledger) writers() map[string]model.UID {
	writers := map[string]model.UID{}
	for _, puts := range l.users {
		for value, p := range puts {
			writers[value] = p.node
		}
	}
	return writers
}

// future is the origin of a node of a later version.
func future() replica.Origin { return replica.Origin{Node: model.UID{254, 1}, Incarnation: 1} }

// writeLater lets a node of a later version write something of which this one
// knows nothing, and tell it to one node.
func (h *history) writeLater(ctx context.Context, p *process) {
	h.ledger.mu.Lock()
	h.ledger.later = append(h.ledger.later, replica.Row{
		Kind: 9999, Key: []byte{byte(h.pick(20))}, Body: []byte(`{"what":"nobody knows"}`),
		Version: replica.Version{HLC: model.HLC(time.Now().UnixNano()), Origin: future(), Seq: uint64(len(h.ledger.later) + 1)},
	})
	h.ledger.mu.Unlock()
	_ = h.tellLater(ctx, p) // what is lost is told again in the end
}

// tellLater tells the node all that it lacks of the later one.
func (h *history) tellLater(ctx context.Context, p *process) error {
	h.ledger.mu.Lock()
	rows := slices.Clone(h.ledger.later)
	h.ledger.mu.Unlock()
	from := p.store.Vector()[future()]
	if from >= uint64(len(rows)) {
		return nil
	}
	b := replica.Batch{Origin: future(), From: from, To: uint64(len(rows)), Rows: rows[from:]}
	return p.store.Replicate(ctx, []replica.Batch{b})
}
