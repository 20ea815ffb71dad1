package repl

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// TestCompareRepairs: rows that were lost on either side, also all of a kind,
// come back; each is counted.
func TestCompareRepairs(t *testing.T) {
	for _, batch := range []int{256, 1} {
		t.Run(fmt.Sprint("messages of ", batch), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, 2, Options{CompareInterval: time.Hour, Batch: replica.Limit{Rows: batch, Bytes: 64 << 10}})
				defer f.close()
				for i := range 40 {
					f.nodes[i%2].store.write(999, fmt.Sprint("k", i), fmt.Sprintf(`{"n":%d}`, i))
				}
				f.nodes[0].store.write(replica.KindUser, "u", `{"v":1}`)
				f.nodes[0].store.write(replica.KindLabel, "gone", "")
				f.nodes[1].store.write(1000, "single", "{}")
				f.connect(0, 1, fast())
				f.settle(5 * time.Second)
				f.nodes[0].store.lose(999, "k1")
				f.nodes[0].store.lose(999, "k2")
				f.nodes[1].store.lose(999, "k3")
				f.nodes[1].store.lose(replica.KindUser, "u")
				f.nodes[1].store.lose(replica.KindLabel, "gone")
				f.nodes[1].store.lose(1000, "single")
				time.Sleep(61 * time.Minute) // without being asked
				f.settle(time.Second)
				a, b := f.nodes[0].engine.Stats(), f.nodes[1].engine.Stats()
				if a.Repaired != 2 || b.Repaired != 4 || a.Compared == 0 {
					t.Errorf("repaired %d and %d of 2 and 4, %d compared", a.Repaired, b.Repaired, a.Compared)
				}
				if a.Mismatches != 0 || b.Mismatches != 1 { // the others may have been replaced by what is on its way
					t.Errorf("%d and %d were lost for certain, want 0 and the label", a.Mismatches, b.Mismatches)
				}
			})
		})
	}
}

// TestCompareVersions: one side has an older version that it takes for
// current; the other one lacks the newest.
func TestCompareVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 2, Options{CompareInterval: -1})
		defer f.close()
		f.connect(0, 1, fast())
		old := f.nodes[0].store.write(replica.KindUser, "u", `{"v":1}`)
		f.settle(time.Second)
		f.nodes[0].store.write(replica.KindUser, "u", `{"v":2}`)
		f.settle(time.Second)
		f.nodes[1].store.lose(replica.KindUser, "u")
		f.nodes[1].store.putBack(old)
		f.nodes[0].engine.Compare() // the side that dialled
		time.Sleep(time.Minute)
		f.settle(time.Second)
		f.nodes[0].store.lose(replica.KindUser, "u")
		f.nodes[0].store.putBack(old)
		f.nodes[1].engine.Compare() // the other side
		f.nodes[0].engine.Compare() // both at once
		time.Sleep(time.Minute)
		f.settle(time.Second)
		if a, b := f.nodes[0].engine.Stats(), f.nodes[1].engine.Stats(); a.Repaired != 1 || b.Repaired != 1 || a.Compared != 2 || b.Compared != 1 {
			t.Errorf("node 0: %+v, node 1: %+v", a, b)
		}
	})
}

// TestCompareUnderLoad: rows that are only on their way are no mismatch, and
// not all rows are sent because of them.
func TestCompareUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 3, Options{CompareInterval: -1})
		defer f.close()
		f.connect(0, 1, cableOptions{delay: 100 * time.Millisecond})
		f.connect(1, 2, cableOptions{delay: 100 * time.Millisecond})
		r := rand.New(rand.NewPCG(3, 3))
		f.load(r, 300, 3*time.Second)
		for _, m := range f.nodes {
			m.engine.Compare()
		}
		f.load(r, 300, 15*time.Second)
		f.settle(10 * time.Second)
		for _, m := range f.nodes {
			if stats := m.engine.Stats(); stats.Mismatches != 0 || stats.Compared == 0 {
				t.Errorf("node %d: %+v", m.id, stats)
			}
		}
	})
}

// TestCompareHorizon: applications that were closed long ago may be here or
// not; younger ones may not.
func TestCompareHorizon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 2, Options{CompareInterval: -1})
		defer f.close()
		f.connect(0, 1, fast())
		for i := range 10 {
			f.nodes[0].store.write(999, fmt.Sprint("old", i), `{"closed":1}`)
		}
		time.Sleep(13 * time.Hour)
		f.nodes[0].store.write(999, "young", `{"closed":1}`)
		f.settle(time.Second)
		for i := range 5 {
			f.nodes[1].store.lose(999, fmt.Sprint("old", i))
		}
		f.nodes[1].store.lose(999, "young")
		f.nodes[0].engine.Compare()
		time.Sleep(time.Minute)
		stats := f.nodes[1].engine.Stats()
		if n := f.nodes[1].store.count(); n != 6 || stats.Repaired != 1 {
			t.Errorf("%d rows, %d repaired; want the 5 old ones that were there and the young one", n, stats.Repaired)
		}
	})
}

// TestCompareRemoved: what one side has removed before its time, because its
// database was full, is no mismatch on either side, whoever begins.
func TestCompareRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 2, Options{CompareInterval: -1})
		defer f.close()
		f.connect(0, 1, fast())
		for i := range 10 {
			f.nodes[0].store.write(999, fmt.Sprint("old", i), `{"closed":1}`)
		}
		time.Sleep(10 * time.Minute)
		f.nodes[0].store.write(999, "young", `{"closed":1}`)
		f.settle(time.Second)
		for i := range 10 {
			f.nodes[1].store.lose(999, fmt.Sprint("old", i))
		}
		f.nodes[1].store.removed(time.Now().Add(-5 * time.Minute))
		for _, n := range f.nodes {
			n.engine.Compare()
			time.Sleep(time.Minute)
		}
		a, b := f.nodes[0].engine.Stats(), f.nodes[1].engine.Stats()
		if n := f.nodes[1].store.count(); n != 1 || a.Repaired+b.Repaired != 0 || a.Compared != 1 || b.Compared != 1 {
			t.Errorf("%d rows, %d and %d repaired, %d and %d comparisons; want nothing repaired",
				n, a.Repaired, b.Repaired, a.Compared, b.Compared)
		}
		f.nodes[1].store.lose(999, "young")
		f.nodes[0].engine.Compare()
		time.Sleep(time.Minute)
		if n := f.nodes[1].store.count(); n != 1 {
			t.Errorf("%d rows; want the young one, which was lost, back", n)
		}
	})
}

// TestCompareWithoutAnswer: the link goes on.
func TestCompareWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 2, Options{CompareInterval: -1})
		defer f.close()
		f.connect(0, 1, cableOptions{delay: 3 * time.Minute})
		f.nodes[0].engine.Compare()
		time.Sleep(10 * time.Minute)
		f.nodes[0].store.write(999, "k", "{}")
		f.settle(10 * time.Minute)
		if stats := f.nodes[0].engine.Stats(); stats.Compared != 0 || len(stats.Links) != 1 {
			t.Errorf("%+v", stats)
		}
	})
}

// TestAskedInALoop: a neighbour that asks all the time costs an answer each few
// seconds, to its newest question; one that asks now and then is answered at
// once.
func TestAskedInALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 1, Options{CompareInterval: -1})
		defer f.close()
		out, in := newPipe(fast()), newPipe(fast())
		s := f.nodes[0].engine.Session(SessionOptions{
			Name: "curious", Conn: end{out, in}, Advertise: func(context.Context, wire.Advert) error { return nil },
		})
		stop := spawn(func(ctx context.Context) { _ = s.Run(ctx) })
		defer stop()
		answered := make(chan wire.Digests, 1000)
		listen := spawn(func(ctx context.Context) {
			for {
				m, err := out.receive(ctx)
				if err != nil {
					return
				}
				if d, ok := m.(wire.Digests); ok {
					answered <- d
				}
			}
		})
		defer listen()
		const questions = 600
		for id := range uint32(questions) {
			_ = in.send(t.Context(), wire.DigestAsk{ID: 2 * id})
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(2 * answerPause)
		n, last := len(answered), uint32(0)
		for range n {
			last = (<-answered).ID
		}
		if most := int(questions*100*time.Millisecond/answerPause) + 2; n < most/2 || n > most || last != 2*(questions-1) {
			t.Errorf("%d answers, the last to question %d; want at most %d, and the newest answered", n, last, most)
		}
		for id := range uint32(3) {
			asked := time.Now()
			_ = in.send(t.Context(), wire.DigestAsk{ID: 9000 + 2*id})
			if <-answered; time.Since(asked) > time.Second {
				t.Errorf("one that asks as it should waits %v", time.Since(asked))
			}
			time.Sleep(comparePause)
		}
	})
}

// TestAssemblyIsBounded: lists that never end, of one bucket or of many, cost
// the link; those that were complete count no more.
func TestAssemblyIsBounded(t *testing.T) {
	const each = 4000
	rows := make([]replica.Row, each)
	for i := range rows {
		rows[i] = replica.Row{Kind: 7, Key: fmt.Appendf(nil, "%d", i)}
	}
	for _, more := range []bool{true, false} {
		a := newAssembly()
		var err error
		for i := range 2 * maxListed / each {
			if _, _, err = a.add(wire.BucketRows{ID: 2, Kind: replica.Kind(i/256 + 1), Bucket: uint8(i), Rows: rows, More: more}, time.Time{}); err != nil {
				break
			}
		}
		if (err != nil) != more {
			t.Errorf("lists that go on: %v: %v", more, err)
		}
		if _, _, err := a.add(wire.BucketRows{ID: 4, Kind: 1, Rows: rows, More: true}, time.Time{}); err != nil {
			t.Errorf("first list of the next exchange: %v", err)
		}
	}
	a := newAssembly()
	for i := range maxRuns + 1 {
		_, _, err := a.add(wire.BucketRows{ID: 2, Kind: replica.Kind(i/256 + 1), Bucket: uint8(i)}, time.Time{})
		if want := i == maxRuns; (err != nil) != want {
			t.Fatalf("bucket %d: %v, want an error: %v", i, err, want)
		}
	}
}
