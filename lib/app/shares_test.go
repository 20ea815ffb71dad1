package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/topo"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/ownership"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// kept are records in memory.
type kept struct {
	ownerships  []model.Ownership
	retirements []model.Retirement
	store       *store.Store
	fails       error
	seen        func() // before each write
}

func (k *kept) Ownerships() []model.Ownership                     { return k.ownerships }
func (k *kept) Retirements() []model.Retirement                   { return k.retirements }
func (k *kept) Subscribe(kinds ...store.Kind) *store.Subscription { return k.store.Subscribe(kinds...) }
func (k *kept) CreateOwnership(_ context.Context, o model.Ownership, still func([]model.Ownership, []model.Retirement) bool) (model.Ownership, error) {
	if k.seen != nil {
		k.seen()
	}
	if k.fails != nil || !still(k.ownerships, k.retirements) {
		return model.Ownership{}, k.fails
	}
	o.UID, o.By, o.HLC = model.UID{99, byte(len(k.ownerships))}, o.To, model.HLC(len(k.ownerships)+1)
	if o.From != model.NilUID {
		o.By = o.From
	}
	k.ownerships = append(k.ownerships, o)
	return o, nil
}

func sharer(n byte, shares ...string) cluster.MemberStatus {
	var m cluster.MemberStatus
	m.State = topo.StateActive
	m.LSA = wire.LSA{Node: model.UID{n}, Name: string(rune('a' + n)), Shares: shares, Flags: wire.FlagReady}
	return m
}

// TestSharedThings: each is shown once, whoever is configured for it; what
// nobody has taken yet has no owner.
func TestSharedThings(t *testing.T) {
	s := cluster.Status{Self: model.UID{1}, Members: []cluster.MemberStatus{sharer(1, "aws/mac=c", "aws/win"), sharer(2, "aws/mac=c")}}
	stored := &kept{ownerships: []model.Ownership{{Thing: "aws/mac", To: model.UID{2}, By: model.UID{2}, HLC: 1}}}
	want := []status.Ownership{{Thing: "aws/mac", Node: model.UID{2}}, {Thing: "aws/win"}}
	if diff := cmp.Diff(want, ownership.List(viewOfShares(s, []cluster.Known{{Node: model.UID{9}}}, stored))); diff != "" {
		t.Errorf("List() (-want +got):\n%s", diff)
	}
	if got := ownership.List(viewOfShares(cluster.Status{}, nil, &kept{})); len(got) != 0 {
		t.Errorf("of nobody: %+v", got)
	}
}

// TestNobodyOwnsIsTold: after a minute, once, with what is wrong.
func TestNobodyOwnsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		stored := &kept{}
		o := &owners{shares: []drivers.Share{{Thing: "aws/mac", Owner: "nobody"}}, store: stored, log: slog.New(slog.NewTextHandler(&log, nil))}
		members := []cluster.MemberStatus{sharer(1, "aws/mac=nobody")}
		o.view = func() ownership.View {
			return viewOfShares(cluster.Status{Self: model.UID{1}, Members: members}, nil, stored)
		}
		for passed := time.Duration(0); passed < time.Hour; passed += ownershipLook {
			if passed == waitsTold-ownershipLook && log.Len() > 0 {
				t.Errorf("told at once: %s", &log)
			}
			o.look(t.Context())
			time.Sleep(ownershipLook)
		}
		const why = "its configured owner nobody is no member that is configured for it"
		if got := log.String(); strings.Count(got, "nobody owns a shared thing") != 1 || !strings.Contains(got, why) {
			t.Errorf("the log has %q, want once: %s", got, why)
		}
		members[0] = sharer(1, "aws/mac")
		if o.look(t.Context()); len(stored.ownerships) != 1 {
			t.Errorf("not taken when the name is corrected: %+v", stored.ownerships)
		}
	})
}

// TestOwnersTakeAndGive: who is to own a thing takes it, once all are heard; it
// stops to use it before anybody hears that it is another one's.
func TestOwnersTakeAndGive(t *testing.T) {
	mine, other := model.UID{1}, model.UID{2}
	var members []cluster.MemberStatus
	stored := &kept{}
	o := &owners{shares: []drivers.Share{{Thing: "aws/mac"}}, store: stored, log: slog.New(slog.DiscardHandler)}
	o.view = func() ownership.View {
		return viewOfShares(cluster.Status{Self: mine, Members: members}, []cluster.Known{{Node: other, Name: "c"}}, stored)
	}
	members = []cluster.MemberStatus{sharer(1, "aws/mac")}
	if o.look(t.Context()); len(stored.ownerships) != 0 || o.Owner("aws/mac") != model.NilUID {
		t.Fatalf("taken before the other was heard: %+v", stored.ownerships)
	}
	lagging := sharer(2, "aws/mac")
	lagging.Lag = 1
	members = append(members, lagging)
	if o.look(t.Context()); len(stored.ownerships) != 0 {
		t.Fatalf("taken while rows of the other are missing: %+v", stored.ownerships)
	}
	members[1] = sharer(2, "aws/mac")
	o.look(t.Context())
	if o.look(t.Context()); o.Owner("aws/mac") != mine || len(stored.ownerships) != 1 {
		t.Fatalf("owner %v by %+v, want this node", o.Owner("aws/mac"), stored.ownerships)
	}
	if !o.First("aws/mac") || o.First("aws/win") {
		t.Errorf("first: %v, and of another thing %v", o.First("aws/mac"), o.First("aws/win"))
	}
	members[0] = sharer(1, "aws/mac=c") // the configuration names the other from now on
	stored.fails = errors.New("disk full")
	if o.look(t.Context()); len(stored.ownerships) != 1 {
		t.Fatalf("written in spite of the disk: %+v", stored.ownerships)
	}
	stored.fails, stored.seen = nil, func() {
		if o.Owner("aws/mac") == mine {
			t.Error("it is still used while it is given away")
		}
	}
	o.look(t.Context())
	if o.look(t.Context()); o.Owner("aws/mac") != other {
		t.Errorf("owner %v by %+v, want the other", o.Owner("aws/mac"), stored.ownerships)
	}
	o.shares = nil // not configured any more, and not nobody's
	if o.look(t.Context()); o.Owner("aws/mac") != other {
		t.Errorf("owner %v of a thing that this node shared once, want the other", o.Owner("aws/mac"))
	}
}

// TestOwnersLeave: a thing whose owner is not configured for it any more is given
// to one that is; where nobody is, it stays, and others may be heard of later.
func TestOwnersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		self, other, log := model.UID{1}, model.UID{2}, slog.New(slog.DiscardHandler)
		db, err := store.OpenMemory(t.Context(), store.Options{Node: self, Logger: log}, store.NewDisk())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		var shares, ready atomic.Bool // of the other member
		unread := false
		run := func(own ...drivers.Share) (o *owners, end func()) {
			me := sharer(0)
			me.LSA.Node = self
			for _, s := range own {
				me.LSA.Shares = append(me.LSA.Shares, s.Thing)
			}
			o = &owners{shares: own, unread: unread, store: db, log: log}
			o.view = func() ownership.View {
				he := sharer(2)
				if shares.Load() {
					he = sharer(2, "aws/mac")
				}
				if !ready.Load() {
					he.LSA.Flags = 0
				}
				return viewOfShares(cluster.Status{Self: self, Members: []cluster.MemberStatus{me, he}}, nil, db)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- o.run(ctx) }()
			return o, func() { cancel(); <-done }
		}
		want := func(o *owners, when string, owner model.UID) {
			t.Helper()
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := o.Owner("aws/mac"); got != owner {
				t.Errorf("%s: owner %v, want %v", when, got, owner)
			}
		}
		o, end := run(drivers.Share{Thing: "aws/mac"})
		want(o, "configured", self)
		end()
		o, end = run()
		want(o, "not configured any more, nor is anybody", self)
		shares.Store(true)
		want(o, "another one is, and has not caught up", self)
		end()
		ready.Store(true)
		unread = true
		o, end = run()
		want(o, "another one is, and this node's config is broken", self)
		end()
		unread = false
		o, end = run()
		defer end()
		want(o, "another one is", other)
		if got := db.Ownerships(); len(got) != 2 {
			t.Errorf("records: %+v", got)
		}
	})
}

// TestOwnersKnowTheRetired: who is out of the cluster for good is known, by the first of its retirements.
func TestOwnersKnowTheRetired(t *testing.T) {
	gone, first := model.UID{7}, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	stored := &kept{}
	o := &owners{store: stored, log: slog.New(slog.DiscardHandler)}
	o.view = func() ownership.View { return viewOfShares(cluster.Status{}, nil, stored) }
	if at, retired := o.Retired(gone); retired || !at.IsZero() {
		t.Errorf("before anything is known: %v, %v", at, retired)
	}
	stored.retirements = []model.Retirement{
		{NodeUID: gone, Successor: model.UID{2}, CreatedAt: first.Add(time.Minute), HLC: 2}, {NodeUID: gone, Successor: model.UID{1}, CreatedAt: first, HLC: 1},
	}
	o.look(t.Context())
	if at, retired := o.Retired(gone); !retired || !at.Equal(first) {
		t.Errorf("a retired node: %v, %v, want %v", at, retired, first)
	}
	if _, retired := o.Retired(model.UID{8}); retired {
		t.Error("another node is retired with it")
	}
}

// TestOwnersFollow: the part notices what only the members' state tells.
func TestOwnersFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		self, log := model.UID{1}, slog.New(slog.DiscardHandler)
		db, err := store.OpenMemory(t.Context(), store.Options{Node: self, Logger: log}, store.NewDisk())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		me := sharer(0, "aws/mac")
		me.LSA.Node = self
		var ready atomic.Bool // the other member
		o := &owners{shares: []drivers.Share{{Thing: "aws/mac"}}, store: db, log: log}
		o.view = func() ownership.View {
			members := []cluster.MemberStatus{me, sharer(2, "aws/mac")}
			if !ready.Load() {
				members[1].LSA.Flags = 0
			}
			return viewOfShares(cluster.Status{Self: self, Members: members}, nil, db)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- o.run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := db.Ownerships(); len(got) != 0 {
			t.Errorf("taken while a member has not caught up: %+v", got)
		}
		ready.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := db.Ownerships(); len(got) != 1 || o.Owner("aws/mac") != self {
			t.Errorf("owner %v by %+v, want the lowest", o.Owner("aws/mac"), got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
