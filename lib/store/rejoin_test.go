package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// missed makes the rows that a node wrote while another one was away: whole
// lives, of which nothing is kept, so that there can be any number.
type missed struct {
	origin replica.Origin
	label  model.UID
	uids   *model.UIDSource
	began  time.Time
	rows   []replica.Row // of lives that were begun to be handed out
	seq    uint64
}

func newMissed(node byte) *missed {
	o := replica.Origin{Node: model.UID{node, 7}, Incarnation: 1}
	return &missed{origin: o, uids: model.NewUIDSource(o.Node), began: time.Now().Add(-24 * time.Hour)}
}

func addMissed[T replica.Noun](m *missed, noun T, encode func(T) ([]byte, error)) {
	body, err := encode(noun)
	if err != nil {
		panic(err)
	}
	kind, key := replica.KeyOf(noun)
	m.seq++
	m.rows = append(m.rows, replica.Row{Kind: kind, Key: key, Body: body,
		Version: replica.Version{HLC: model.HLC(m.now().UnixNano()), Origin: m.origin, Seq: m.seq}})
}

// now goes on by a millisecond with each row.
func (m *missed) now() time.Time { return m.began.Add(time.Duration(m.seq) * time.Millisecond) }

// life adds the rows of one, closed, as BenchmarkLife leaves it.
func (m *missed) life() {
	node := m.origin.Node
	if m.label == model.NilUID {
		l := model.Label{UID: m.uids.New(m.began), Name: fmt.Sprintf("missed-%x", node[0]), Version: 1, CreatedAt: m.began, HLC: 1}
		m.label = l.UID
		addMissed(m, l, replica.EncodeLabel)
	}
	a := model.Application{UID: m.uids.New(m.now()), LabelUID: m.label, OwnerName: "u", Metadata: json.RawMessage(`{"JENKINS_AGENT":"linux-17"}`),
		CreatedAt: m.now(), HLC: model.HLC(m.now().UnixNano()), Arbiter: node}
	addMissed(m, a, replica.EncodeApplication)
	state := func(status model.Status, epoch uint32, description string) {
		addMissed(m, model.ApplicationState{UID: m.uids.New(m.now()), ApplicationUID: a.UID, Status: status, Description: description,
			CreatedAt: m.now(), HLC: model.HLC(m.now().UnixNano()), Epoch: epoch, NodeUID: node}, replica.EncodeApplicationState)
	}
	state(model.StatusNew, 0, "Just created by Fish node-1")
	state(model.StatusElected, 1, "Elected node: node-1")
	addMissed(m, model.Resource{UID: m.uids.New(m.now()), ApplicationUID: a.UID, LabelUID: m.label, NodeUID: node, Identifier: "fish-1",
		IPAddr: "172.16.1.2", Metadata: a.Metadata, CreatedAt: m.now(), UpdatedAt: m.now(), HLC: model.HLC(m.now().UnixNano())}, replica.EncodeResource)
	state(model.StatusAllocated, 1, "Driver allocated the resource")
	state(model.StatusDeallocate, 0, "Requested by user")
	state(model.StatusDeallocated, 1, "Driver deallocated the resource")
}

// next is a batch as a link hands it on.
func (m *missed) next(rows int) replica.Batch {
	for len(m.rows) < rows {
		m.life()
	}
	b := replica.Batch{Origin: m.origin, From: m.rows[0].Version.Seq - 1, Rows: slices.Clone(m.rows[:rows])}
	b.To = b.Rows[rows-1].Version.Seq
	m.rows = m.rows[rows:]
	return b
}

// ownLives are what the node does for its own users meanwhile, one life each 50
// ms, and how long its writes took.
type ownLives struct {
	mu    sync.Mutex
	took  []time.Duration
	lives sync.WaitGroup
	stop  chan struct{}
}

func runLives(b *testing.B, s *Store) *ownLives {
	o := &ownLives{stop: make(chan struct{})}
	label := newLabel(b, s).UID
	o.lives.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-o.stop:
				return
			case <-tick.C:
				o.lives.Go(func() {
					start := time.Now()
					live(b, s, label)
					o.mu.Lock()
					defer o.mu.Unlock()
					o.took = append(o.took, time.Since(start)/6) // it has six writes, one after the other
				})
			}
		}
	})
	return o
}

// p99 ends the lives.
func (o *ownLives) p99() time.Duration {
	close(o.stop)
	o.lives.Wait()
	slices.Sort(o.took)
	if len(o.took) == 0 {
		return 0
	}
	return o.took[len(o.took)*99/100]
}

// BenchmarkRejoin takes in a row per operation, in batches as from a link, while
// the node runs 20 lives a second of its own. A million of them:
//
//	go test ./lib/store -run ^$ -bench Rejoin -benchtime 1000000x
func BenchmarkRejoin(b *testing.B) {
	s := openStore(b, testOptions(b))
	m := newMissed(9)
	own := runLives(b, s)
	b.ResetTimer()
	taken := 0
	for taken < b.N {
		b.StopTimer() // another machine makes them
		var batches []replica.Batch
		for range 4 {
			batches = append(batches, m.next(500))
		}
		b.StartTimer()
		if err := s.Replicate(b.Context(), batches); err != nil {
			b.Fatal(err)
		}
		taken += 4 * 500
	}
	b.StopTimer()
	n, err := column[int](b.Context(), s.db.readers, "SELECT count(*) FROM application_states WHERE node_uid = ?", key(m.origin.Node))
	if err != nil || n[0] < taken*5/7-10 || s.Vector()[m.origin] != uint64(taken) {
		b.Errorf("%d states are here, %v, up to %d, want those of %d rows", n, err, s.Vector()[m.origin], taken)
	}
	b.ReportMetric(float64(taken)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(own.p99().Microseconds())/1000, "p99-ms-of-own-writes")
}
