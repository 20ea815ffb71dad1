// Package prefetch has a node fetch the images of each label's newest version
// before anybody asks for an environment (`images_prefetch`). Plan decides,
// without I/O; Loop watches what changes and has done what is decided.
package prefetch

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/pull"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

const (
	// lookPause is the least time between two looks: many labels that are made
	// together are one event.
	lookPause = time.Second
	// heldLook is how often it is looked whether the node may fetch again.
	heldLook = 10 * time.Second
	// idleLook is how often it is looked although nothing happened: nobody tells
	// that a driver knows its room again.
	idleLook = 5 * time.Minute
)

// Store tells of labels.
type Store interface {
	Labels() []model.Label
	Subscribe(kinds ...store.Kind) *store.Subscription
}

// Options is what a Loop needs. All are required.
type Options struct {
	Store Store
	// Candidates are the definitions of a label that this node could run by a
	// driver that manages images.
	Candidates func(label model.Label) []pull.Candidate
	// Pull returns when the images of the order are here, or can not be had.
	Pull func(ctx context.Context, o pull.Order) error
	// Held says that nothing is begun now: the node is drained, or does not know
	// all labels yet.
	Held   func() bool
	Logger *slog.Logger
}

// Loop fetches ahead of need. Run once; Wake from any goroutine.
type Loop struct {
	opts Options
	log  *slog.Logger
	wake chan struct{} // capacity 1: any number of events is one look

	// Of the goroutine of Run alone.
	past  map[Key]Past
	busy  map[string]bool // instances
	ended chan ending
	pulls sync.WaitGroup
}

// ending is how one pull ended.
type ending struct {
	wish Wish
	err  error
}

// New makes a Loop. It starts nothing.
func New(o Options) (*Loop, error) {
	if o.Store == nil || o.Candidates == nil || o.Pull == nil || o.Held == nil || o.Logger == nil {
		return nil, errors.New("check prefetch options: a required option is not set")
	}
	return &Loop{
		opts: o, log: o.Logger.With("component", "prefetch"), wake: make(chan struct{}, 1),
		past: map[Key]Past{}, busy: map[string]bool{}, ended: make(chan ending),
	}, nil
}

// Wake says that a driver became ready, or that Held may have changed.
func (l *Loop) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run fetches until ctx is done, and then waits for its waits to end: the pulls
// themselves are their keeper's.
func (l *Loop) Run(ctx context.Context) error {
	labels := l.opts.Store.Subscribe(store.KindLabel)
	defer labels.Close()
	defer l.pulls.Wait()
	for ctx.Err() == nil {
		l.wait(ctx, labels, l.look(ctx))
		_ = loop.Sleep(ctx, lookPause) // its error ends the loop
	}
	return nil
}

// wait returns at an event, or at the given time.
func (l *Loop) wait(ctx context.Context, labels *store.Subscription, until time.Time) {
	due := time.NewTimer(time.Until(until))
	defer due.Stop()
	select {
	case <-ctx.Done():
	case <-labels.C():
		labels.Take()
	case <-l.wake:
	case <-due.C:
	case e := <-l.ended:
		l.note(e)
	}
}

// look begins what is to be pulled now, and says when to look again although
// nothing happens.
func (l *Loop) look(ctx context.Context) (again time.Time) {
	now := time.Now()
	if l.opts.Held() {
		return now.Add(heldLook)
	}
	labels := l.opts.Store.Labels()
	wishes := l.wishes(labels)
	l.past = Settle(wishes, l.past, labels)
	begin, again := Plan(wishes, l.past, l.busy, now)
	for _, w := range begin {
		l.busy[w.Instance] = true
		l.pulls.Go(func() { l.pull(ctx, w) })
	}
	if idle := now.Add(idleLook); again.IsZero() || idle.Before(again) {
		return idle
	}
	return again
}

func (l *Loop) wishes(labels []model.Label) []Wish {
	var list []Wish
	for _, label := range Newest(labels) {
		for _, c := range l.opts.Candidates(label) {
			list = append(list, Wish{Label: label, Definition: c.Definition, Instance: c.Instance, Cached: c.Cached})
		}
	}
	return list
}

// pull waits for one pull.
func (l *Loop) pull(ctx context.Context, w Wish) {
	err := l.opts.Pull(ctx, pull.Order{Instance: w.Instance, Label: w.Label, Definition: w.Definition})
	select {
	case l.ended <- ending{w, err}:
	case <-ctx.Done():
	}
}

// note takes down how a pull ended, and logs what is new about it.
func (l *Loop) note(e ending) {
	delete(l.busy, e.wish.Instance)
	before, key := l.past[e.wish.Key()], e.wish.Key()
	if e.err == nil {
		l.past[key] = Past{Done: true}
		return
	}
	after := before.failed(e.err.Error(), time.Now())
	l.past[key] = after
	log := l.log.Warn
	if sameReason(before.Reason, after.Reason) {
		log = l.log.Debug
	}
	log("images of a label could not be fetched ahead of need, will be tried again", "label", e.wish.Label.Name,
		"version", e.wish.Label.Version, "definition", e.wish.Definition, "instance", e.wish.Instance,
		"again_in", pauseAfter(after.Failed), "error", e.err)
}

// sameReason reports whether two errors say the same apart from numbers, such as
// how many bytes are free on a full disk.
func sameReason(a, b string) bool { return withoutDigits(a) == withoutDigits(b) }

func withoutDigits(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, text)
}
