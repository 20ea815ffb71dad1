package repl

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

func fast() cableOptions { return cableOptions{delay: 2 * time.Millisecond} }

// fillStore writes rows of many origins into a store.
func fillStore(m *memStore, origins, rows int) {
	for i := range origins {
		o := replica.Origin{Node: model.UID{200, byte(i), 1}}
		b := replica.Batch{Origin: o, To: uint64(rows)}
		for seq := range rows {
			b.Rows = append(b.Rows, replica.Row{
				Kind: 999, Key: fmt.Appendf(nil, "%d-%d", i, seq), Body: []byte(`{"some":"body"}`),
				Version: replica.Version{HLC: model.HLC(seq + 1), Origin: o, Seq: uint64(seq + 1)},
			})
		}
		for _, row := range b.Rows {
			m.put(row)
		}
		m.vector[o] = b.To
	}
}

// TestSlowPeerBlocksNobody: one neighbour takes nothing, the others get
// everything in time.
func TestSlowPeerBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 4, Options{})
		defer f.close()
		f.connect(0, 1, fast())
		f.connect(0, 2, fast())
		f.connect(0, 3, cableOptions{queue: 1, perRow: time.Hour})
		s := watchSpread(f)
		s.nodes = 3
		r := rand.New(rand.NewPCG(1, 1))
		slow := f.nodes[3]
		f.nodes = f.nodes[:3]
		rows := f.load(r, 200, 20*time.Second)
		f.settle(time.Second)
		if p99 := s.quantile(.99); p99 > 300*time.Millisecond || len(s.took) != rows {
			t.Errorf("p99 %v, %d of %d rows arrived", p99, len(s.took), rows)
		}
		if n := slow.store.count(); n > 2 {
			t.Errorf("the slow neighbour has %d rows", n)
		}
		if stats := f.nodes[0].engine.Stats(); stats.Waiting != 0 {
			t.Errorf("%d bytes wait for a slow neighbour", stats.Waiting)
		}
		f.nodes = append(f.nodes, slow)
	})
}

// TestCatchUp: a node that lacks much is served by one neighbour, while fresh
// rows reach everybody, its own too.
func TestCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const origins, rows = 20, 2000
		f := newFarm(t, 9, Options{LinkBytes: 1 << 20})
		defer f.close()
		for _, m := range f.nodes[1:] {
			f.nodes[m.id].stop()
			fillStore(m.store, origins, rows)
			f.start(m)
		}
		for i := 1; i < 9; i++ {
			f.connect(0, i, fast())
			f.connect(i, i%8+1, fast())
		}
		time.Sleep(time.Second)
		s := watchSpread(f)
		s.nodes = 9
		for i := range 20 { // while it catches up
			f.nodes[i%9].store.write(999, fmt.Sprint("new", i), "{}")
			time.Sleep(50 * time.Millisecond)
		}
		if from := f.nodes[0].engine.Stats().CatchingUpFrom; from == "" {
			t.Fatal("it has caught up already: the test says nothing")
		}
		if p99 := s.quantile(.99); p99 > 600*time.Millisecond || len(s.took) < 15 {
			t.Errorf("fresh rows meanwhile: %d everywhere, p99 %v", len(s.took), p99)
		}
		took := f.settle(time.Minute)
		stats := f.nodes[0].engine.Stats()
		copies := float64(stats.RowsTaken+stats.RowsDuplicate+stats.RowsRefused) / (origins * rows)
		t.Logf("caught up in %v with %.2f copies: %+v", took, copies, stats)
		if copies > 1.6 || stats.CatchingUpFrom != "" {
			t.Errorf("%.2f copies, catching up from %q; want 1 and a rest", copies, stats.CatchingUpFrom)
		}
		// 40,000 rows of about 100 bytes at 1 MiB/s
		if took < time.Second || took > 20*time.Second {
			t.Errorf("took %v: the cap of the link does not hold", took)
		}
	})
}

// TestCatchUpFromAnother: the neighbour that was chosen falls silent.
func TestCatchUpFromAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 3, Options{})
		defer f.close()
		for i, n := range []int{8000, 7000} { // the better one is chosen first
			m := f.nodes[i+1]
			m.stop()
			fillStore(m.store, 1, n)
			f.start(m)
		}
		f.connect(0, 1, cableOptions{queue: 1, perRow: time.Hour})
		f.connect(0, 2, fast())
		time.Sleep(time.Minute)
		if n := f.nodes[0].store.count(); n != 7000 {
			t.Errorf("%d rows after a minute, want those of the neighbour that answers", n)
		}
	})
}

// TestStoreDown: nothing that came is lost or doubled while the store takes
// nothing; the links wait.
func TestStoreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 2, Options{Inbox: 4 << 10, Batch: replica.Limit{Rows: 4, Bytes: 1 << 10}})
		defer f.close()
		f.connect(0, 1, cableOptions{queue: 2})
		f.nodes[1].store.fail(errors.New("disk is full"))
		f.load(rand.New(rand.NewPCG(1, 1)), 100, 20*time.Second)
		if waiting := f.nodes[1].engine.Stats().Waiting; waiting == 0 || waiting > 4<<10 {
			t.Errorf("%d bytes wait, want some, at most 4096", waiting)
		}
		if to, from := f.nodes[0].engine.Stats().Links[0], f.nodes[1].engine.Stats().Links[0]; to.Lacks == 0 || from.Ahead < to.Ahead {
			t.Errorf("one link: %+v, the other end: %+v; want to see that the other one lacks rows", to, from)
		}
		mend(f.nodes[1])
		f.settle(30 * time.Second)
	})
}

// TestRefusedOrigin: what one origin wrote can not be stored; all others go
// on, and it is tried again.
func TestRefusedOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 3, Options{})
		defer f.close()
		f.nodes[0].store.refuseIf(func(b replica.Batch) bool { return b.Origin.Node[0] == 2 })
		f.connect(0, 1, fast())
		f.connect(1, 2, fast())
		f.load(rand.New(rand.NewPCG(1, 1)), 50, 5*time.Second)
		time.Sleep(time.Second)
		mine, all := f.nodes[0].store.Vector(), f.nodes[1].store.Vector()
		bad := f.nodes[1].store.self
		if mine[bad] != 0 || mine[f.nodes[2].store.self] != all[f.nodes[2].store.self] {
			t.Errorf("node 0 has %v of %v, want all but what it refuses", mine, all)
		}
		if o := f.nodes[0].engine.Stats().Origins; !o[1].Held || o[0].Held {
			t.Errorf("held: %+v", o)
		}
		mend(f.nodes[0])
		f.settle(2 * time.Minute)
	})
}

// TestRefusedLoneOrigin: that nobody else's rows are there to compare with does not make a store that refuses an origin
// one that is down: the rows are put aside and asked for anew.
func TestRefusedLoneOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 2, Options{})
		defer f.close()
		f.nodes[0].store.refuseIf(func(b replica.Batch) bool { return b.Origin.Node[0] == 2 })
		f.connect(0, 1, fast())
		f.nodes[1].store.write(999, "bad", "{}")
		time.Sleep(20 * time.Second)
		e := f.nodes[0].engine
		e.mu.Lock()
		failures, waiting := e.inbox.held[f.nodes[1].store.self].failures, e.inbox.bytes
		e.mu.Unlock()
		if failures < 2 || failures > 5 || waiting != 0 {
			t.Errorf("within 20 s refused %d times, %d bytes wait; want it put aside and asked for anew", failures, waiting)
		}
		mend(f.nodes[0])
		f.settle(2 * time.Minute)
	})
}

// TestAhead: rows from the future are not taken in until their time has come.
func TestAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 3, Options{})
		defer f.close()
		f.nodes[0].store.skew = 20 * time.Minute
		f.connect(0, 1, fast())
		f.connect(1, 2, fast())
		f.nodes[0].store.write(999, "future", "{}")
		f.nodes[2].store.write(999, "present", "{}")
		time.Sleep(10 * time.Minute)
		if f.nodes[1].store.count() != 1 || f.nodes[2].store.count() != 1 {
			t.Errorf("rows: %s", f.nodes[1].store.state())
		}
		if stats := f.nodes[1].engine.Stats(); stats.RowsRefused == 0 || stats.RowsRefused > 60 {
			t.Errorf("refused %d times within 10 minutes, want now and then", stats.RowsRefused)
		}
		time.Sleep(6 * time.Minute)
		f.settle(2 * time.Minute)
		if f.nodes[2].store.count() != 2 {
			t.Error("the row did not come when its time had")
		}
	})
}

// TestRewound: a neighbour knows more of a node than the node itself.
func TestRewound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		told := map[uint64]int{}
		f := newFarm(t, 3, Options{Rewound: func(o replica.Origin, seq uint64) {
			if o.Node[0] != 1 {
				t.Errorf("of origin %v", o)
			}
			mu.Lock()
			defer mu.Unlock()
			told[seq]++
		}})
		defer f.close()
		f.connect(0, 1, fast())
		f.connect(1, 2, fast())
		for i := range 5 {
			f.nodes[0].store.write(999, fmt.Sprint(i), "{}")
		}
		f.settle(time.Second)
		f.cut(0, 1)
		m := f.nodes[0]
		m.stop()
		m.store = newMemStore(1) // restored from a backup that was empty
		f.start(m)
		f.connect(0, 2, fast())
		time.Sleep(5 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if told[5] == 0 || len(told) != 1 || m.store.count() != 0 {
			t.Errorf("told %v, %d own rows taken from others; want to be told of 5", told, m.store.count())
		}
	})
}

// TestReincarnation: a node whose database was put back from a copy has written
// before it hears of it. What it lost comes back over the links that there are,
// and what it wrote since goes to the others.
func TestReincarnation(t *testing.T) {
	for _, kept := range []int{0, 3, 5, 7} { // of 9; then more, as many, and fewer are lost than are written
		t.Run(fmt.Sprintf("%d rows in the copy", kept), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				heard := make(chan struct{}, 1)
				f := newFarm(t, 3, Options{Rewound: func(replica.Origin, uint64) { post(heard) }})
				defer f.close()
				f.connect(0, 1, fast())
				f.connect(1, 2, fast())
				m := f.nodes[0]
				restored := newMemStore(1)
				for i := range 9 {
					row := m.store.write(999, fmt.Sprint(i), "{}")
					if i < kept {
						restored.write(999, fmt.Sprint(i), "{}")
						restored.rows[rowKey{999, fmt.Sprint(i)}] = row
						restored.log[m.store.self][i] = row
					}
				}
				f.settle(time.Second)
				f.cut(0, 1)
				m.stop()
				m.store = restored
				f.start(m)
				for i := range 4 { // of which the others have other ones under the same numbers
					m.store.write(999, fmt.Sprint("new", i), "{}")
				}
				f.connect(0, 1, fast())
				<-heard
				m.store.reincarnate(uint64(kept))
				m.store.write(999, "after", "{}")
				f.settle(10 * time.Second)
				if n := m.store.count(); n != 9+4+1 {
					t.Errorf("%d rows in the end, want all 14", n)
				}
			})
		})
	}
}

// TestMisbehaving: what no node may send ends the session and says so.
func TestMisbehaving(t *testing.T) {
	row := replica.Row{Kind: 5, Key: []byte("k"), Body: []byte("{}"), Version: replica.Version{HLC: 1, Origin: replica.Origin{Node: model.UID{1}}, Seq: 1}}
	messages := map[string]any{
		"empty batch":     wire.Rows{},
		"row of another":  wire.Rows{Batch: replica.Batch{Origin: replica.Origin{Node: model.UID{9}}, To: 1, Rows: []replica.Row{row}}},
		"wrong bucket":    wire.BucketRows{ID: 2, Kind: 5, Bucket: replica.BucketOf(row.Key) + 1, Rows: []replica.Row{row}},
		"wrong kind":      wire.BucketRows{ID: 2, Kind: 6, Bucket: replica.BucketOf(row.Key), Rows: []replica.Row{row}},
		"row without key": wire.BucketRows{ID: 2, Kind: 5, Rows: []replica.Row{{Kind: 5}}},
	}
	for name, message := range messages {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFarm(t, 1, Options{})
				defer f.close()
				out, in := newPipe(fast()), newPipe(fast())
				s := f.nodes[0].engine.Session(SessionOptions{
					Name: "bad", Conn: end{out, in}, Advertise: func(context.Context, wire.Advert) error { return nil },
				})
				_ = in.send(t.Context(), message)
				if err := s.Run(t.Context()); !errors.Is(err, ErrMisbehaving) || !strings.Contains(err.Error(), "bad") {
					t.Errorf("Run = %v, want ErrMisbehaving with the name of the other side", err)
				}
			})
		})
	}
}

// TestUnknownMessage: a later version may send more than this one knows.
func TestUnknownMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 2, Options{})
		defer f.close()
		out, in := newPipe(fast()), newPipe(fast())
		s := f.nodes[0].engine.Session(SessionOptions{
			Name: "new", Conn: end{out, in}, Advertise: func(context.Context, wire.Advert) error { return nil },
		})
		stop := spawn(func(ctx context.Context) {
			if err := s.Run(ctx); err != nil {
				t.Errorf("Run = %v, want nil", err)
			}
		})
		_ = in.send(t.Context(), struct{ future int }{1})
		_ = in.send(t.Context(), wire.Rows{Batch: batchOf(origin(7), 0, 2)})
		time.Sleep(time.Second)
		stop()
		if n := f.nodes[0].store.count(); n != 2 {
			t.Errorf("%d rows came after the unknown message, want 2", n)
		}
	})
}

// TestLinkFails: a link that ends by itself ends the session with its error,
// and everything that the session started.
func TestLinkFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, 1, Options{})
		defer f.close()
		s := f.nodes[0].engine.Session(SessionOptions{Name: "x", Conn: broken{}, Advertise: func(context.Context, wire.Advert) error { return nil }})
		if err := s.Run(t.Context()); !errors.Is(err, errCut) || errors.Is(err, ErrMisbehaving) {
			t.Errorf("Run = %v, want the error of the link", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.nodes[0].engine.Session(SessionOptions{Conn: broken{}}).Run(ctx); err != nil {
			t.Errorf("Run after its end = %v, want nil", err)
		}
		if n := len(f.nodes[0].engine.Stats().Links); n != 0 {
			t.Errorf("%d links are left", n)
		}
	})
}

type broken struct{}

func (broken) SendData(context.Context, any) error { return errCut }

func (broken) ReceiveData(context.Context) (any, error) { return nil, errCut }
