package pull

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/calls"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// maxRunning bounds the pulls that run: each holds a connection and writes to
// the disk. maxEnded bounds those that are remembered, for who asks later how
// they ended: more than one label can have definitions, which is a request's body.
const maxRunning, maxEnded = 16, 1000

// maxCalls bounds what else an instance is asked at once.
const maxCalls = 8

// Options is what a Keeper needs. All are required but ListTimeout and
// RemoveTimeout.
type Options struct {
	// Instances are the names of the configured driver instances, sorted.
	Instances func() []string
	// Host is what this node brings to a definition, now.
	Host   func() election.Host
	Logger *slog.Logger
	// ListTimeout bounds how long a list waits for one instance, RemoveTimeout
	// how long who removes an image waits. 0 means the default.
	ListTimeout, RemoveTimeout time.Duration
}

// The bounds where Options leaves them 0: below what a node waits for another
// member that it passes a request on to.
const (
	DefaultListTimeout   = 5 * time.Second
	DefaultRemoveTimeout = 8 * time.Second
)

// Keeper owns every pull that it began: they end with Run, not with who asked.
// Its methods may be called from any goroutine.
type Keeper struct {
	opts Options
	log  *slog.Logger

	ctx    context.Context // of the pulls
	cancel context.CancelFunc
	work   sync.WaitGroup // pulls
	calls  *calls.Calls   // what else the instances are asked
	turns  chan struct{}  // holds one for each pull that runs

	mu      sync.Mutex
	closed  bool
	running map[key]*flight // also those that wait for their turn
	ended   map[key]Status  // the last end of each; never one that runs
}

// flight is one pull. status is guarded by the keeper; done is closed at its end.
type flight struct {
	status Status
	err    error // set before done is closed
	done   chan struct{}
}

// State is where a pull is.
type State string

// The states of a pull.
const (
	Pulling State = "pulling"
	Done    State = "done"
	Failed  State = "failed"
)

// Status is what there is to say about one pull.
type Status struct {
	Instance     string
	LabelUID     model.UID
	LabelName    string
	LabelVersion int
	Definition   int
	By           string // the user who asked first; "" is the node itself
	State        State
	StartedAt    time.Time
	EndedAt      time.Time // zero while it runs
	Error        string    // of a failed one, for the user
}

// New makes a Keeper. It starts nothing.
func New(o Options) (*Keeper, error) {
	if o.Instances == nil || o.Host == nil || o.Logger == nil {
		return nil, errors.New("check pull options: a required option is not set")
	}
	o.ListTimeout = cmp.Or(o.ListTimeout, DefaultListTimeout)
	o.RemoveTimeout = cmp.Or(o.RemoveTimeout, DefaultRemoveTimeout)
	k := &Keeper{
		opts: o, log: o.Logger.With("component", "pull"),
		turns: make(chan struct{}, maxRunning), running: map[key]*flight{}, ended: map[key]Status{},
	}
	k.calls = calls.New(k.log, maxCalls)
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k, nil
}

// Run waits until ctx is done, ends what is on its way and waits for it. What
// was downloaded is the driver's, which goes on from there when it is asked again.
func (k *Keeper) Run(ctx context.Context) error {
	<-ctx.Done()
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.cancel()
	k.calls.Stop()
	k.work.Wait()
	return nil
}

// PullLabel begins to fetch what all definitions of the label need that this
// node could run, or joins what is on its way. However many they are, they are
// begun together or not at all. Its error is a RefusedError, ErrCrowded or
// ErrStopping. A definition whose driver only lacks something for now is a pull
// that failed, beside others that are begun.
func (k *Keeper) PullLabel(label model.Label, by string) ([]Status, error) {
	found, refused := Candidates(label, k.opts.Host())
	if len(found) == 0 {
		return nil, &RefusedError{Refusals: refused}
	}
	var orders []Order
	for _, c := range found {
		orders = append(orders, Order{Instance: c.Instance, Label: label, Definition: c.Definition, By: by})
	}
	flights, err := k.begin(orders...)
	if err != nil {
		return nil, err
	}
	var list []Status
	for _, f := range flights {
		list = append(list, k.statusOf(f))
	}
	for _, r := range refused {
		if r.Away {
			list = append(list, k.noteAway(Order{Instance: r.Instance, Label: label, Definition: r.Definition, By: by}, r.Reason))
		}
	}
	return list, nil
}

// noteAway takes a pull down as failed that is not begun, as its driver could
// not do it now; one that is on its way goes on.
func (k *Keeper) noteAway(o Order, reason string) Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.running[o.key()]; f != nil {
		return f.status
	}
	s := o.status(Failed, time.Now())
	s.EndedAt, s.Error = s.StartedAt, reason
	k.remember(o.key(), s)
	return s
}

// Pull fetches what the order asks for, or joins who does, and returns when it
// is there. The end of ctx ends this wait only.
func (k *Keeper) Pull(ctx context.Context, o Order) error {
	begun, err := k.begin(o)
	if err != nil {
		return err
	}
	f := begun[0]
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *Keeper) statusOf(f *flight) Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return f.status
}

// begin starts a pull for each order unless one for the same is on its way:
// all that lack, or after an error none. So one label may bring more than run at
// once, the rest of which wait for their turn.
func (k *Keeper) begin(orders ...Order) ([]*flight, error) {
	managers := make([]drivers.ImageManager, len(orders))
	for i, o := range orders {
		var err error
		if managers[i], err = k.manager(o.Instance); err != nil {
			return nil, err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	lacks := slices.ContainsFunc(orders, func(o Order) bool { return k.running[o.key()] == nil })
	switch {
	case lacks && k.closed:
		return nil, ErrStopping
	case lacks && len(k.running) >= maxRunning:
		return nil, ErrCrowded
	}
	flights := make([]*flight, len(orders))
	for i, o := range orders {
		f := k.running[o.key()]
		if f == nil {
			f = &flight{done: make(chan struct{}), status: o.status(Pulling, time.Now())}
			k.running[o.key()] = f
			delete(k.ended, o.key())
			k.work.Go(func() { k.fly(f, o, managers[i]) })
		}
		flights[i] = f
	}
	return flights, nil
}

// fly does one pull.
func (k *Keeper) fly(f *flight, o Order, manager drivers.ImageManager) {
	log := k.log.With("instance", o.Instance, "label", o.Label.Name, "version", o.Label.Version, "definition", o.Definition)
	err := k.inTurn(func() error {
		log.Info("images are being pulled", "by", o.By)
		return drivers.Guard(log, func() error { return manager.PullImages(k.ctx, o.Label.Definitions[o.Definition]) })
	})
	switch {
	case err == nil:
		log.Info("images are there")
	case k.ctx.Err() != nil:
		err = ErrStopping
	case o.By != "": // the node itself tells once why it fails
		log.Warn("images were not pulled", "error", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	f.err = err
	f.status.EndedAt, f.status.State = time.Now(), Done
	if err != nil {
		f.status.State, f.status.Error = Failed, err.Error()
	}
	delete(k.running, o.key())
	k.remember(o.key(), f.status)
	close(f.done)
}

// inTurn does it when fewer than maxRunning others run.
func (k *Keeper) inTurn(do func() error) error {
	select {
	case k.turns <- struct{}{}:
	case <-k.ctx.Done():
		return ErrStopping
	}
	defer func() { <-k.turns }()
	return do()
}

// remember notes how a pull ended, in the place of the oldest one where there
// are many. mu is held.
func (k *Keeper) remember(of key, s Status) {
	if len(k.ended) >= maxEnded {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(k.ended)), func(a, b key) int {
			return k.ended[a].EndedAt.Compare(k.ended[b].EndedAt)
		})
		delete(k.ended, oldest)
	}
	k.ended[of] = s
}

// manager is the ready instance of that name, if it manages images.
func (k *Keeper) manager(instance string) (drivers.ImageManager, error) {
	driver, absent := k.opts.Host().Driver(instance)
	if driver == nil {
		return nil, &InstanceError{Instance: instance, Reason: absent}
	}
	manager, ok := driver.(drivers.ImageManager)
	if !ok {
		return nil, &InstanceError{Instance: instance, Reason: "keeps no images"}
	}
	return manager, nil
}

// InstanceError says why an instance can not be asked, in words that follow its
// name.
type InstanceError = calls.InstanceError
