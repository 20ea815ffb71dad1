// Package bygone finds the applications that this node holds for open and that
// have closed: it was away until the others had removed what told of the end.
// It asks those who must know and removes what they have removed. A successor, or
// who grants in place of a silent node, asks everybody before it grants again what
// may have been run. See DESIGN.md.
package bygone

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

const (
	// every is how often the applications are asked for that are open. Somebody
	// who comes back is asked within look, as is who follows when a role moves.
	every = time.Hour
	look  = 5 * time.Second
	// again is when they are asked for anew if somebody did not answer.
	again = 5 * time.Minute
	// quiet is how long nothing was heard of an application before it is asked
	// for: most have ended by then, and cost no question.
	quiet = 10 * time.Minute
	// clearFor is how long an answer is good for a successor. It asks anew in
	// the second half, so that it need not stop.
	clearFor = 10 * time.Minute
	// retry is when a successor that lacks an answer asks again, at the earliest:
	// all are asked then, for all that waits.
	retry = 15 * time.Second
	// askBound bounds one question.
	askBound = 10 * time.Second
	// askMost is how many applications one question is about: some 200 kB.
	askMost = 1000
	// askAtOnce is how many members are asked at the same time.
	askAtOnce = 8
)

// database is what is needed of the store.
type database interface {
	Open() []*model.Entry
	Nodes() []model.Node
	Succession() ([]model.Retirement, []model.Handover)
	Traces(apps []model.UID) ([]store.Trace, error)
	Forget(ctx context.Context, apps []model.UID) ([]model.UID, error)
}

// Options configures a Keeper. All fields are required unless noted.
type Options struct {
	Node  model.UID
	Store database
	// Ready reports whether the node has caught up: before that it may lack what
	// is on its way.
	Ready func() bool
	// Unreachable is how long nothing was heard of a node, 0 if it can be
	// reached.
	Unreachable func(node model.UID) time.Duration
	// Ask asks a node for its store's Fates: as many as traces, each one that this
	// version knows.
	Ask func(ctx context.Context, node model.UID, traces []store.Trace) ([]store.Fate, error)
	// Name is how a node is called in the log.
	Name   func(node model.UID) string
	Logger *slog.Logger
	// Now tells the time of day; time.Now if nil.
	Now func() time.Time
}

// Keeper asks for one node. Make it with New and run it.
type Keeper struct {
	opts  Options
	poked chan struct{}
	// Of Run's goroutine:
	met  []model.UID // who could be reached at the last look at everything
	role int         // how many retirements and handovers there were then
	next time.Time   // of looking at everything; zero: at once
	// silences are of members that were asked and did not answer.
	silences silences

	mu      sync.Mutex
	wanted  map[model.UID]bool    // guarded by mu: a successor waits for the answer
	answers map[model.UID]answers // guarded by mu
	retired int                   // guarded by mu: how many nodes are
}

// answers is what all the others said of one application.
type answers struct {
	at    time.Time
	over  bool // one says that it has closed
	heard bool // all answered that can be reached
	whole bool // and nobody is away
}

// New returns a keeper that does nothing until Run.
func New(o Options) *Keeper {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Keeper{opts: o, poked: make(chan struct{}, 1), wanted: map[model.UID]bool{}, answers: map[model.UID]answers{}, silences: silences{}}
}

// Cleared reports whether every member said, not long ago, that it knows of no
// end of the application; if not it has them asked, and does not wait.
// reachable leaves out those that can not be reached: their word was given up
// when a retirement was forced, and is in an available cluster.
func (k *Keeper) Cleared(app model.UID, reachable bool) bool {
	retirements, _ := k.opts.Store.Succession()
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(retirements) != k.retired { // what was said before may be of before the end
		k.retired = len(retirements)
		clear(k.answers)
	}
	a, asked := k.answers[app]
	lasts := retry
	if a.over || a.heard {
		lasts = clearFor / 2
	}
	if !asked || now.Sub(a.at) > lasts {
		k.wanted[app] = true
		select {
		case k.poked <- struct{}{}:
		default:
		}
	}
	return asked && now.Sub(a.at) <= clearFor && !a.over && (a.whole || reachable && a.heard)
}

// Run asks until ctx is cancelled; then it returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		if k.opts.Ready() {
			k.clear(ctx)
			k.lookAtAll(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-k.poked:
			if loop.Sleep(ctx, look/10) != nil { // those that come together are asked for together
				return nil
			}
		}
	}
}

// farm is what is known of the others now.
func (k *Keeper) farm() Farm {
	f := Farm{Node: k.opts.Node}
	f.Retirements, f.Handovers = k.opts.Store.Succession()
	for _, n := range k.opts.Store.Nodes() {
		if n.UID == f.Node || f.retired(n.UID) {
			continue
		}
		f.Others = append(f.Others, n.UID)
		if k.opts.Unreachable(n.UID) > 0 {
			f.Away = append(f.Away, n.UID)
		}
	}
	return f
}

// clear asks everybody for what a successor waits for.
func (k *Keeper) clear(ctx context.Context) {
	f := k.farm()
	k.mu.Lock()
	var apps []model.UID
	for app := range k.wanted {
		apps = append(apps, app)
	}
	clear(k.wanted)
	retired := k.retired
	k.mu.Unlock()
	if len(apps) == 0 || retired != len(f.Retirements) { // it is wanted again if it is still
		return
	}
	q := questions{}
	for _, node := range f.reach(f.Others) {
		q[node] = apps
	}
	began := time.Now()
	said, failed := k.ask(ctx, q)
	k.mu.Lock()
	for _, app := range apps {
		k.answers[app] = answers{
			at: began, over: said[app].fate >= store.FateClosed,
			heard: !failed, whole: !failed && len(f.Away) == 0,
		}
	}
	for app, a := range k.answers {
		if time.Since(a.at) > clearFor {
			delete(k.answers, app)
		}
	}
	k.mu.Unlock()
	k.forget(ctx, said)
}

// lookAtAll asks for all that is open and quiet, when somebody came back, when
// others may have to be asked, and each hour.
func (k *Keeper) lookAtAll(ctx context.Context) {
	f := k.farm()
	there := f.reach(f.Others)
	back := slices.ContainsFunc(there, func(node model.UID) bool { return !slices.Contains(k.met, node) })
	role := len(f.Retirements) + len(f.Handovers)
	now := time.Now()
	if !back && role == k.role && now.Before(k.next) {
		k.met = there
		return
	}
	k.met, k.role = there, role
	k.next = now.Add(every)
	if back {
		k.forgetPartial()
	}
	said, failed := k.ask(ctx, k.questions(f))
	k.forget(ctx, said)
	if failed {
		k.next = now.Add(again)
	}
}

// forgetPartial forgets what was said while somebody was away who is back.
func (k *Keeper) forgetPartial() {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.answers, func(_ model.UID, a answers) bool { return !a.whole })
}

// questions are what to ask whom. What may run here is not asked for: it is
// closed when it has ended here.
func (k *Keeper) questions(f Farm) questions {
	before := k.opts.Now().Add(-quiet)
	q := questions{}
	for _, e := range k.opts.Store.Open() {
		if len(e.OpenAllocations()) > 0 || store.LastNews(e).After(before) {
			continue
		}
		for _, node := range f.reach(Whom(e, f)) {
			q[node] = append(q[node], e.Application.UID)
		}
	}
	return q
}

// questions are the applications to ask for, by member.
type questions map[model.UID][]model.UID

// word is the most certain that was said of an application, and who said it.
type word struct {
	fate store.Fate
	by   model.UID
}

// ask asks many members. failed says that one did not answer.
func (k *Keeper) ask(ctx context.Context, q questions) (said map[model.UID]word, failed bool) {
	traces, err := k.traces(q)
	if err != nil {
		k.opts.Logger.Warn("what to ask for of applications that may have closed can not be read from the own database; it is tried again", "error", err)
		return nil, true
	}
	said = map[model.UID]word{}
	results := map[model.UID]error{}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(askAtOnce)
	for node, apps := range q {
		g.Go(func() error {
			for some := range slices.Chunk(apps, askMost) {
				fates, err := k.askOne(ctx, node, traces.of(some))
				mu.Lock()
				for app, fate := range fates {
					if fate > said[app].fate {
						said[app] = word{fate, node}
					}
				}
				results[node] = err
				failed = failed || err != nil
				mu.Unlock()
				if err != nil {
					k.opts.Logger.Debug("a member was not heard about applications that may have closed", "node", node, "error", err)
					return nil
				}
			}
			return nil
		})
	}
	_ = g.Wait() // what failed is noted
	if ctx.Err() == nil {
		k.tell(results)
	}
	return said, failed
}

// traces are what is known here of applications.
type traces map[model.UID]store.Trace

// traces reads what to ask for, once for all that are asked.
func (k *Keeper) traces(q questions) (traces, error) {
	var apps []model.UID
	for _, some := range q {
		apps = append(apps, some...)
	}
	slices.SortFunc(apps, func(a, b model.UID) int { return bytes.Compare(a[:], b[:]) })
	known, err := k.opts.Store.Traces(slices.Compact(apps))
	if err != nil {
		return nil, err
	}
	found := make(traces, len(known))
	for _, t := range known {
		found[t.Application] = t
	}
	return found, nil
}

// of are those of some applications, without the ones that are gone here.
func (t traces) of(apps []model.UID) (some []store.Trace) {
	for _, app := range apps {
		if trace, ok := t[app]; ok {
			some = append(some, trace)
		}
	}
	return some
}

// askOne asks one member.
func (k *Keeper) askOne(ctx context.Context, node model.UID, traces []store.Trace) (map[model.UID]store.Fate, error) {
	if len(traces) == 0 {
		return map[model.UID]store.Fate{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askBound)
	defer cancel()
	fates, err := k.opts.Ask(ctx, node, traces)
	if err != nil {
		return nil, err
	}
	if len(fates) != len(traces) {
		return nil, fmt.Errorf("node %s answered for %d applications instead of %d", node, len(fates), len(traces))
	}
	said := make(map[model.UID]store.Fate, len(fates))
	for i, fate := range fates {
		said[traces[i].Application] = fate
	}
	return said, nil
}

// forget removes what others removed.
func (k *Keeper) forget(ctx context.Context, said map[model.UID]word) {
	var over []model.UID
	for app, w := range said {
		if w.fate == store.FateRemoved {
			over = append(over, app)
		}
	}
	gone, err := k.opts.Store.Forget(ctx, over)
	if err != nil && ctx.Err() == nil {
		k.opts.Logger.Warn("applications that closed while this node was away can not be removed yet", "error", err)
	}
	for _, app := range gone {
		k.opts.Logger.Info("an application had closed and was removed while this node was away, it is removed here too",
			"application_uid", app, "said_by", said[app].by)
	}
}
