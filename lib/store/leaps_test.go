package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// TestLeapsConverge plays random histories in which clocks are hours ahead for a
// while. Where it was one node's at a time all is alike as soon as that has
// stamped anew what it wrote, and rows were compared; where several were and know
// of each other, at the latest when that time has come.
func TestLeapsConverge(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		f := anyFarm(rt, base)
		ahead := f.leap(rt)
		leapers := rapid.IntRange(1, len(f.members)).Draw(rt, "leapers")
		for range rapid.IntRange(1, 80).Draw(rt, "steps") {
			switch i := rapid.IntRange(0, len(f.members)-1).Draw(rt, "leaper"); rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				if i < leapers {
					ahead[i] = 3*time.Hour - ahead[i]
				}
			case 1:
				if ahead[i] == 0 {
					f.restamp(rt, i)
				}
			case 2:
				f.offer(rt, f.members[rapid.IntRange(0, len(f.members)-1).Draw(rt, "from")], f.members[i])
			default:
				f.playOne(rt)
			}
		}
		clear(ahead)
		for i := range f.members {
			if waits := f.restamp(rt, i); waits && leapers == 1 {
				rt.Fatalf("member %d waits although no other was ahead", i)
			}
		}
		f.exchange(rt)
		if leapers > 1 {
			f.now = f.now.Add(4 * time.Hour)
			f.calm(rt)
		}
		f.repair(rt) // a user that was changed on a node whose clock is minutes ahead may be newer than what replaced it
		f.compareAtLast(rt)
	})
}

// leap lets the clocks of members be set.
func (f *farm) leap(t *rapid.T) (ahead []time.Duration) {
	ahead = make([]time.Duration, len(f.members))
	for i, m := range f.members {
		m.shut(t)
		now := m.opts.Now
		m.opts.Now = func() time.Time { return now().Add(ahead[i]) }
		m.open(t)
	}
	return ahead
}

// playOne is a step without an exchange.
func (f *farm) playOne(t *rapid.T) {
	m := f.members[rapid.IntRange(0, len(f.members)-1).Draw(t, "member")]
	kind := rapid.IntRange(-1, 22).Draw(t, "kind")
	switch kind {
	case -1:
		m.crash(t)
	case 10, 18: // expiry, and a Resource that is dropped alone, are of one node
	case 22:
		_, _ = m.s.CreateHandover(context.Background(), model.Handover{Successor: f.members[0].opts.Node})
	default:
		f.play(m, step{kind, rapid.IntRange(0, 59).Draw(t, "n"), rapid.Uint32Range(1, 3).Draw(t, "epoch")})
	}
}

// exchange is calm for a farm in which something may be ahead of somebody.
func (f *farm) exchange(t *rapid.T) {
	for range 8 {
		for _, from := range f.members {
			for _, to := range f.members {
				if from != to {
					f.offer(t, from, to)
				}
			}
		}
	}
}

// offer gives all that one member lacks to it, which it may refuse.
func (f *farm) offer(t *rapid.T, from, to *member) {
	has := to.s.Vector()
	for origin := range from.s.Vector() {
		b, err := from.s.Rows(context.Background(), origin, has[origin], replica.Limit{Rows: 1000, Bytes: 1 << 20})
		if err != nil {
			t.Fatalf("Rows: %v", err)
		}
		if b.To <= b.From {
			continue
		}
		if err := to.s.Replicate(context.Background(), []replica.Batch{b}); err != nil && !errors.Is(err, ErrAhead) {
			t.Fatalf("Replicate: %v", err)
		}
	}
}

// restamp does at a member what the node does once its clock is right, and
// reports whether it has to wait for others.
func (f *farm) restamp(t *rapid.T, i int) (waits bool) {
	m := f.members[i]
	was := arbiters(m.s)
	_, err := m.s.Restamp(context.Background())
	waits = errors.Is(err, errOrder)
	if err != nil && !waits {
		t.Fatalf("Restamp: %v", err)
	}
	if by, held := m.s.Ahead(); held != waits {
		t.Fatalf("member %d is %v ahead, and waits: %t", i, by, waits)
	}
	if diff := cmp.Diff(was, arbiters(m.s)); diff != "" {
		t.Fatalf("others decide than before (-before +after)\n%s", diff)
	}
	return waits
}

// arbiters are who decides about all that is open.
func arbiters(s *Store) map[model.UID]model.UID {
	retirements, handovers := s.Succession()
	known := map[model.UID]model.UID{}
	for _, e := range s.Open() {
		known[e.Application.UID] = model.Arbiter(e.Application, retirements, handovers)
	}
	return known
}
