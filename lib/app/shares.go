package app

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/ownership"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// ownershipLook is how often it is looked at who owns what although nothing happened: members catch up without a word.
const ownershipLook = 2 * time.Second

// waitsTold is after how long the log says why nobody owns a thing: members that start and catch up need a moment.
const waitsTold = time.Minute

// owners keeps who owns the things that this node shares with others, and takes or gives away what is this node's to take
// or give.
type owners struct {
	// What is known of the members and of all records; set before run.
	view   func() ownership.View
	store  ownershipStore
	shares []drivers.Share
	// unread: what this node is configured for is not all known, so that it gives
	// away nothing for not being configured for it.
	unread bool
	log    *slog.Logger

	decided atomic.Pointer[map[string]model.UID]
	retired atomic.Pointer[[]model.Retirement]
	first   sync.Map // the things of which this process wrote the first record
	// left: this node owns what it is not configured for any more. Of run alone.
	left  bool
	waits map[string]wait // of run alone
}

// wait is why nobody owns a thing.
type wait struct {
	why   string
	since time.Time
	told  bool
}

// ownershipStore keeps the records.
type ownershipStore interface {
	Subscribe(kinds ...store.Kind) *store.Subscription
	CreateOwnership(ctx context.Context, o model.Ownership,
		still func(records []model.Ownership, retirements []model.Retirement) bool) (model.Ownership, error)
}

// Owner implements drivers.OwnerOf.
func (o *owners) Owner(thing string) model.UID {
	if decided := o.decided.Load(); decided != nil {
		return (*decided)[thing]
	}
	return model.NilUID
}

// First implements drivers.Config.First.
func (o *owners) First(thing string) bool {
	_, first := o.first.Load(thing)
	return first
}

// Retired implements drivers.Former.Retired.
func (o *owners) Retired(node model.UID) (at time.Time, retired bool) {
	known := o.retired.Load()
	if known == nil {
		return time.Time{}, false
	}
	first, retired := model.Retired(node, *known)
	return first.CreatedAt, retired
}

// run looks whenever something may be different, until ctx is cancelled. Who shares nothing, and has nothing to give away, needs
// to know whose the things are that it shared once, and those change by records alone.
func (o *owners) run(ctx context.Context) error {
	sub := o.store.Subscribe(store.KindOwnership, store.KindRetirement)
	defer sub.Close()
	tick := time.NewTicker(ownershipLook)
	defer tick.Stop()
	for {
		o.look(ctx)
		var again <-chan time.Time
		if len(o.shares) > 0 || o.left {
			again = tick.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-sub.C():
			sub.Take()
		case <-again:
		}
	}
}

// look decides anew. What is given away is not used any more before anybody hears of it.
func (o *owners) look(ctx context.Context) {
	view := o.view()
	o.retired.Store(&view.Retirements)
	decided := make(map[string]model.UID, len(o.shares))
	for _, r := range view.Records {
		if _, known := decided[r.Thing]; !known {
			decided[r.Thing] = view.Living(r.Thing)
		}
	}
	var writes []model.Ownership
	for _, s := range o.shares {
		d := ownership.Decide(s.Thing, view)
		o.tell(s.Thing, d.Waits, time.Now())
		if d.Write != nil {
			writes = append(writes, *d.Write)
			delete(decided, s.Thing)
			continue
		}
		decided[s.Thing] = d.Owner
	}
	writes = append(writes, o.leave(view, decided)...)
	o.decided.Store(&decided)
	for _, w := range writes {
		o.write(ctx, w)
	}
}

// leave gives away what this node owns and is not configured for any more, to who is.
func (o *owners) leave(view ownership.View, decided map[string]model.UID) (writes []model.Ownership) {
	o.left = false
	if o.unread {
		return nil
	}
	for thing, owner := range decided {
		if owner != view.Self || slices.ContainsFunc(o.shares, func(s drivers.Share) bool { return s.Thing == thing }) {
			continue
		}
		o.left = true
		if w := ownership.Leave(thing, view); w != nil {
			writes = append(writes, *w)
			delete(decided, thing)
		}
	}
	return writes
}

// tell warns, once for each reason, of a thing that nobody owns for long: a name in the configuration may be misspelt.
func (o *owners) tell(thing, why string, now time.Time) {
	if o.waits == nil {
		o.waits = map[string]wait{}
	}
	w := o.waits[thing]
	if w.why != why {
		w = wait{why: why, since: now}
	}
	if why != "" && !w.told && now.Sub(w.since) >= waitsTold {
		w.told = true
		o.log.Warn("nobody owns a shared thing, so nobody gets any of it", "thing", thing, "reason", why)
	}
	o.waits[thing] = w
}

// write stores a record, unless another one came first. The feed brings the next look.
func (o *owners) write(ctx context.Context, w model.Ownership) {
	made, err := o.store.CreateOwnership(ctx, w, func(records []model.Ownership, retirements []model.Retirement) bool {
		return ownership.Owner(w.Thing, records, retirements) == w.From
	})
	switch {
	case err != nil && ctx.Err() == nil:
		o.log.Warn("who owns a shared thing could not be stored, will be tried again", "thing", w.Thing, "error", err)
	case err == nil && made.UID != model.NilUID:
		if w.From == model.NilUID {
			o.first.Store(w.Thing, true)
		}
		o.log.Info("a shared thing has another owner", "thing", w.Thing, "owner", w.To, "before", w.From)
	}
}

// told is how the shares are told the others.
func told(shares []drivers.Share) []string {
	var list []string
	for _, s := range shares {
		list = append(list, ownership.Share{Thing: s.Thing, Owner: s.Owner}.String())
	}
	return list
}

// ownershipView is what the node knows of who is configured for what, and who owned it.
func (m *member) ownershipView() ownership.View {
	return viewOfShares(m.Cluster.Status(), m.known(), m.store)
}

// records are what is stored about ownership.
type records interface {
	Retirements() []model.Retirement
	Ownerships() []model.Ownership
}

func viewOfShares(s cluster.Status, known []cluster.Known, stored records) ownership.View {
	v := ownership.View{Self: s.Self, Records: stored.Ownerships(), Retirements: stored.Retirements()}
	heard := map[model.UID]bool{}
	for _, m := range s.Members {
		heard[m.LSA.Node] = true
		member := ownership.Member{
			Node: m.LSA.Node, Name: m.LSA.Name, Heard: true, Synced: m.Reachable() && m.Lag == 0 && m.LSA.Flags&wire.FlagReady != 0,
		}
		for _, text := range m.LSA.Shares {
			member.Shares = append(member.Shares, ownership.ParseShare(text))
		}
		v.Members = append(v.Members, member)
	}
	for _, k := range known {
		if !k.Retired && !heard[k.Node] {
			v.Members = append(v.Members, ownership.Member{Node: k.Node, Name: k.Name})
		}
	}
	return v
}
