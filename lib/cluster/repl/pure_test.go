package repl

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

func origin(b byte) replica.Origin { return replica.Origin{Node: model.UID{b}} }

func batchOf(o replica.Origin, from, to uint64) replica.Batch {
	b := replica.Batch{Origin: o, From: from, To: to}
	for seq := from + 1; seq <= to; seq++ {
		b.Rows = append(b.Rows, replica.Row{Kind: 999, Key: []byte{byte(seq)}, Body: []byte("{}"), Version: replica.Version{HLC: 1, Origin: o, Seq: seq}})
	}
	return b
}

func testSchedule(theirs replica.Vector) *schedule {
	s := newSchedule(Options{Interval: 100 * time.Millisecond, Far: 100, Batch: replica.Limit{Rows: 10}, LinkBytes: 1 << 20}, theirs)
	s.jitter = func(d time.Duration) time.Duration { return d }
	return s
}

func TestSchedulePace(t *testing.T) {
	now := time.Unix(1000, 0)
	s := testSchedule(nil)
	a, mine := origin(1), replica.Vector{}
	expect := func(what string, want step) {
		t.Helper()
		if diff := cmp.Diff(want, s.next(mine, now), cmp.AllowUnexported(step{})); diff != "" {
			t.Errorf("%s (-want +got)\n%s", what, diff)
		}
	}
	expect("nothing to do", step{})
	mine[a] = 1
	expect("first change after quiet", step{send: true, origin: a})
	s.sentBatch(batchOf(a, 0, 1), mine, now)
	expect("all sent", step{})
	mine[a] = 2
	now = now.Add(3 * time.Millisecond)
	expect("second change soon after", step{wait: 7 * time.Millisecond})
	now = now.Add(7 * time.Millisecond)
	expect("little goes, so it goes soon", step{send: true, origin: a, after: 1})
	mine[a] = 12
	s.sentBatch(batchOf(a, 1, 11), mine, now)
	s.cut = false
	expect("more, so it waits longer", step{wait: 40 * time.Millisecond})
	now = now.Add(40 * time.Millisecond)
	expect("then it goes", step{send: true, origin: a, after: 11})
	mine[a] = 50
	s.sentBatch(batchOf(a, 11, 50), mine, now)
	mine[a] = 51
	expect("at most an interval", step{wait: 100 * time.Millisecond})
	mine[a] = 60
	s.receivedBatch(batchOf(a, 50, 60))
	now = now.Add(time.Hour)
	expect("it came from there", step{})
	mine[a] = 90
	expect("backlog", step{send: true, origin: a, after: 60})
	s.sentBatch(batchOf(a, 60, 70), mine, now)
	expect("backlog goes on without a pause", step{send: true, origin: a, after: 70})
}

func TestScheduleFreshFirst(t *testing.T) {
	now := time.Unix(1000, 0)
	s := testSchedule(nil)
	mine := replica.Vector{origin(1): 50, origin(2): 30, origin(3): 2}
	var got []byte
	for range 7 {
		next := s.next(mine, now)
		if !next.send {
			t.Fatalf("step %+v after %v", next, got)
		}
		got = append(got, next.origin.Node[0])
		b := replica.Batch{Origin: next.origin, From: next.after, To: min(next.after+10, mine[next.origin])}
		s.sentBatch(b, mine, now)
		mine[origin(3)]++ // there is always something new
		now = now.Add(60 * time.Millisecond)
	}
	if want := []byte{3, 1, 3, 2, 3, 1, 3}; !slices.Equal(got, want) {
		t.Errorf("served %v, want %v: what is fresh before a backlog, backlogs by turns", got, want)
	}
}

func TestScheduleFarBehind(t *testing.T) {
	now := time.Unix(1000, 0)
	s := testSchedule(nil)
	far, near := origin(1), origin(2)
	mine := replica.Vector{far: 500, near: 5}
	if next := s.next(mine, now); next.origin != near {
		t.Fatalf("serves %+v, want only what is not far", next)
	}
	s.sentBatch(batchOf(near, 0, 5), mine, now)
	now = now.Add(time.Second)
	if next := s.next(mine, now); next.send {
		t.Fatalf("sends %+v unasked to somebody far behind", next)
	}
	s.advert(replica.Vector{far: 0}) // asks for it
	if next := s.next(mine, now); next != (step{send: true, origin: far}) {
		t.Fatalf("%+v, want far from the start", next)
	}
	s.sentBatch(batchOf(far, 0, 10), mine, now)
	s.advert(replica.Vector{far: 450}) // it got it elsewhere
	if next := s.next(mine, now); next != (step{send: true, origin: far, after: 450}) {
		t.Fatalf("%+v, want far from 450", next)
	}
}

func TestScheduleAgain(t *testing.T) {
	now := time.Unix(1000, 0)
	s := testSchedule(replica.Vector{origin(1): 3})
	mine := replica.Vector{origin(1): 9}
	s.sentBatch(batchOf(origin(1), 3, 9), mine, now)
	s.advert(replica.Vector{origin(1): 5}) // on its way of taking them in
	if next := s.next(mine, now); next.send {
		t.Fatalf("sends %+v twice", next)
	}
	s.advert(replica.Vector{origin(1): 5}) // lost
	if next := s.next(mine, now); next != (step{send: true, origin: origin(1), after: 5}) {
		t.Fatalf("%+v, want again from 5", next)
	}
	s.receivedBatch(batchOf(origin(1), 5, 7))
	s.advert(replica.Vector{origin(1): 5}) // overtaken by its own batch
	now = now.Add(time.Second)
	if next := s.next(mine, now); next.after != 7 {
		t.Fatalf("%+v, want nothing of what came from there", next)
	}
}

func TestScheduleByteCap(t *testing.T) {
	now := time.Unix(1000, 0)
	s := testSchedule(nil)
	s.linkBytes = 10_000
	mine := replica.Vector{origin(1): 90}
	sent, began := 0, now
	for now.Sub(began) < 10*time.Second {
		mine[origin(1)] += 20
		s.far = 1 << 40
		next := s.next(mine, now)
		if !next.send {
			now = now.Add(max(next.wait, time.Millisecond))
			continue
		}
		b := batchOf(origin(1), next.after, next.after+10)
		sent += b.Size()
		s.sentBatch(b, mine, now)
	}
	if sent < 95_000 || sent > 105_000 {
		t.Errorf("%d bytes in 10 s at 10,000 a second", sent)
	}
}

func TestInbox(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	a, self := origin(1), origin(9)
	in := newInbox(Options{Write: 5, Gather: 250 * time.Millisecond}, replica.Vector{a: 3})
	future := batchOf(origin(2), 0, 2)
	future.Rows[1].Version.HLC = model.HLC(now.Add(maxAhead + time.Second).UnixNano())
	tests := []struct {
		name  string
		batch replica.Batch
		want  verdict
		fresh int
	}{
		{"known", batchOf(a, 0, 3), covered, 0},
		{"overlap", batchOf(a, 1, 5), taken, 2},
		{"twice", batchOf(a, 3, 5), covered, 0},
		{"follows what waits", batchOf(a, 5, 8), taken, 3},
		{"gap", batchOf(a, 9, 10), gapped, 0},
		{"own", batchOf(self, 0, 1), rewound, 0},
		{"future", future, ahead, 0},
		{"after the future", batchOf(origin(2), 0, 1), dropped, 0},
		{"nothing current in it", replica.Batch{Origin: origin(3), To: 7}, taken, 0},
	}
	for _, tt := range tests {
		if got, fresh := in.offer(tt.batch, self, now); got != tt.want || fresh != tt.fresh {
			t.Errorf("%s: %v with %d rows, want %v with %d", tt.name, got, fresh, tt.want, tt.fresh)
		}
	}
	first := in.take(now)
	if diff := cmp.Diff([]replica.Batch{batchOf(a, 3, 5), batchOf(a, 5, 8), {Origin: origin(3), To: 7}}, first, cmpEmpty()); diff != "" {
		t.Errorf("to write (-want +got)\n%s", diff)
	}
	in.written(first, replica.Vector{a: 3, origin(3): 7}, map[replica.Origin]bool{a: true}, now)
	if got, _ := in.offer(batchOf(a, 3, 5), self, now); got != dropped || in.bytes != 0 {
		t.Errorf("after its rows were refused: %v, %d bytes; want dropped, 0", got, in.bytes)
	}
	if got, _ := in.offer(batchOf(a, 3, 5), self, now.Add(holdMin)); got != taken {
		t.Errorf("later: %v, want taken", got)
	}
}

func cmpEmpty() cmp.Option {
	return cmp.Transformer("rows", func(rows []replica.Row) int { return len(rows) })
}

func TestInboxDelay(t *testing.T) {
	now := time.Unix(1000, 0)
	in := newInbox(Options{Write: 100, Gather: 250 * time.Millisecond}, replica.Vector{})
	steps := []struct {
		name string
		rows uint64
		wait time.Duration
	}{
		{"after quiet", 1, 0}, {"soon after a small one", 1, 10 * time.Millisecond}, {"enough for one", 200, 0},
		{"soon after a large one", 1, 200 * time.Millisecond}, {"soon after a huge one", 1000, 0}, {"bounded", 1, 250 * time.Millisecond},
	}
	for i, s := range steps {
		in.offer(batchOf(origin(byte(i+1)), 0, s.rows), origin(99), now)
		if got := in.delay(now); got != s.wait {
			t.Errorf("%s: wait %v, want %v", s.name, got, s.wait)
		}
		in.take(now)
	}
}

// TestInboxProperties: what is to be written follows without a gap what is
// there, whatever comes and whatever fails.
func TestInboxProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1000, 0)
		in := newInbox(Options{Write: 10, Gather: time.Second}, replica.Vector{})
		durable := replica.Vector{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			if rapid.IntRange(0, 3).Draw(t, "what") > 0 {
				from := rapid.Uint64Range(0, 20).Draw(t, "from")
				b := batchOf(origin(rapid.ByteRange(1, 3).Draw(t, "origin")), from, from+rapid.Uint64Range(1, 8).Draw(t, "n"))
				in.offer(b, origin(9), now)
				continue
			}
			batches, failed := in.take(now), map[replica.Origin]bool{}
			for _, b := range batches {
				if b.From != durable[b.Origin] && !failed[b.Origin] {
					t.Fatalf("batch from %d, durable is %d", b.From, durable[b.Origin])
				}
				if failed[b.Origin] = failed[b.Origin] || rapid.IntRange(0, 3).Draw(t, "fails") == 0; !failed[b.Origin] {
					delete(failed, b.Origin)
					durable[b.Origin] = b.To
				}
			}
			in.written(batches, durable.Clone(), failed, now)
		}
		for len(in.waiting) > 0 {
			in.written(in.take(now), durable, nil, now)
		}
		if in.bytes != 0 || in.rows != 0 {
			t.Fatalf("%d bytes, %d rows are left of nothing", in.bytes, in.rows)
		}
	})
}

func TestPuller(t *testing.T) {
	now := time.Unix(1000, 0)
	none := func(replica.Origin) bool { return false }
	p := newPuller(100)
	mine := replica.Vector{origin(1): 1}
	links := []neighbour{{1, replica.Vector{origin(1): 400, origin(2): 3}}, {2, replica.Vector{origin(1): 500}}}
	expect := func(what string, want []pull) {
		t.Helper()
		if diff := cmp.Diff(want, p.next(mine, links, none, now), cmp.AllowUnexported(pull{})); diff != "" {
			t.Errorf("%s (-want +got)\n%s", what, diff)
		}
	}
	expect("the one that has most", []pull{{2, []replica.Origin{origin(1)}}})
	now = now.Add(time.Second)
	expect("it is coming", nil)
	now = now.Add(3 * time.Second)
	expect("what nobody sends is asked for", []pull{{1, []replica.Origin{origin(2)}}})
	mine[origin(1)], mine[origin(2)] = 50, 3
	now = now.Add(12 * time.Second)
	expect("it goes on", nil)
	links[1].knows[origin(1)] = 501
	now = now.Add(14 * time.Second)
	expect("slowly, and it tells of even more", nil)
	links[1].knows[origin(1)] = 500
	now = now.Add(2 * time.Second)
	expect("the next one, after silence", []pull{{1, []replica.Origin{origin(1)}}})
	links = links[1:]
	expect("the link is gone", []pull{{2, []replica.Origin{origin(1)}}})
	mine[origin(1)] = 460
	expect("near enough", nil)
	for i, seconds := range []int64{3, 6, 12, 24, 48, 60, 60} {
		now = now.Add(time.Duration(seconds)*time.Second - time.Millisecond)
		expect("not yet", nil)
		now = now.Add(time.Millisecond)
		expect("the rest does not come "+string(rune('0'+i)), []pull{{2, []replica.Origin{origin(1)}}})
	}
	mine[origin(1)] = 500
	expect("all here", nil)
	if len(p.stuck) != 0 {
		t.Errorf("remembers %v", p.stuck)
	}
}

func TestPullerSkips(t *testing.T) {
	now := time.Unix(1000, 0)
	p := newPuller(100)
	all := func(replica.Origin) bool { return true }
	for range 100 {
		if got := p.next(replica.Vector{}, []neighbour{{1, replica.Vector{origin(1): 500}}}, all, now); got != nil {
			t.Fatalf("asks for %v although it is not wanted", got)
		}
		now = now.Add(time.Second)
	}
}

func TestAdverts(t *testing.T) {
	a, b := origin(1), origin(2)
	tests := []struct {
		name       string
		mine, told replica.Vector
		again      map[replica.Origin]bool
		want       []wire.Advert
	}{
		{"only news", replica.Vector{a: 2, b: 3}, replica.Vector{a: 2, b: 1}, nil, []wire.Advert{{Vector: replica.Vector{b: 3}}}},
		{"again", replica.Vector{a: 2}, replica.Vector{a: 2}, map[replica.Origin]bool{a: true}, []wire.Advert{{Vector: replica.Vector{a: 2}}}},
		{"again what is not known at all", nil, nil, map[replica.Origin]bool{a: true}, []wire.Advert{{Vector: replica.Vector{a: 0}}}},
		{
			"news and again are two", replica.Vector{a: 2}, replica.Vector{a: 1}, map[replica.Origin]bool{a: true},
			[]wire.Advert{{Vector: replica.Vector{a: 2}}, {Vector: replica.Vector{a: 2}}},
		},
		{"nothing", replica.Vector{a: 2}, replica.Vector{a: 2}, nil, nil},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, adverts(tt.mine, tt.told, tt.again)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New without a store: no error")
	}
	for _, change := range []func(*Options){
		func(o *Options) { o.Interval = -1 }, func(o *Options) { o.AdvertInterval = -1 }, func(o *Options) { o.Inbox = -1 },
		func(o *Options) { o.Batch.Rows = replica.MaxBatchRows + 1 }, func(o *Options) { o.Batch.Bytes = replica.MaxBatchBytes },
	} {
		o := Options{Store: newMemStore(1), Log: quiet()}
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("New with %+v: no error", o)
		}
	}
}
