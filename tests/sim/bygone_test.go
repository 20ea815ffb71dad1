package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/bygone"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// remember makes what asks others for applications that may have closed.
func (p *process) remember(log *slog.Logger) (cleared func(app model.UID, reachable bool) bool) {
	p.farm.asked.Store(p.uid, p)
	p.bygone = bygone.New(bygone.Options{
		Node: p.uid, Store: p.rows, Ready: p.cluster.Ready, Unreachable: p.cluster.Unreachable, Ask: p.askFates,
		Name: model.UID.String, Logger: log, Now: p.now,
	})
	return p.bygone.Cleared
}

// lookBack looks after what is old.
func (p *process) lookBack(ctx context.Context) {
	if p.farm.retention > 0 {
		p.work.Go(func() { _ = p.store.RunMaintenance(ctx) })
	}
	_ = p.bygone.Run(ctx)
}

// askFates asks another node, to which a connection has to be made first.
func (p *process) askFates(ctx context.Context, node model.UID, traces []store.Trace) ([]store.Fate, error) {
	conn, err := p.cluster.Dial(ctx, node)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // it only carried a word
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	nothing, err := replica.Vector{}.MarshalBinary() // what every member says that it has
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(nothing))), nothing...)); err != nil { //nolint:gosec // it is short
		return nil, err
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return nil, err
	}
	q, ok := p.farm.asked.Load(node)
	if !ok || q.(*process).dead.Load() {
		return nil, errors.New("nobody answers")
	}
	q.(*process).stand()
	return q.(*process).store.Fates(ctx, traces)
}

// create makes an application on the node.
func (m *member) create(label model.Label) model.UID {
	m.farm.t.Helper()
	e, err := m.p.store.CreateApplication(context.Background(), model.Application{LabelUID: label.UID, OwnerName: "u", Metadata: []byte("{}")})
	if err != nil {
		m.farm.t.Fatal(err)
	}
	return e.Application.UID
}

// end asks the node to end an application.
func (m *member) end(app model.UID) {
	m.farm.t.Helper()
	_, err := m.p.store.Update(context.Background(), app, func(e *model.Entry) (model.Change, error) { return model.RequestRelease(e, "u") })
	if err != nil {
		m.farm.t.Fatal(err)
	}
}

// want waits until the node shows a status; "" for none.
func (m *member) want(app model.UID, status model.Status, within time.Duration) {
	m.farm.t.Helper()
	if _, ok := m.farm.until(within, 10*time.Millisecond, func() bool { return m.status(app) == status }); !ok {
		m.farm.t.Fatalf("node %d shows %s as %q, want %q", m.index, app, m.status(app), status)
	}
}

// grantedTo is the index of the node that the application was granted to, as
// another one knows; -1 for none.
func (m *member) grantedTo(app model.UID) int {
	e, err := m.p.store.Application(context.Background(), app)
	if err != nil || e.Fold.Grant == nil {
		return -1
	}
	return slices.IndexFunc(m.farm.nodes, func(n *member) bool { return n.uid == e.Fold.Grant.Decision.Winner })
}

// TestAwayForLongerThanRetention: a node is cut off while applications that it
// knows of end, and until nobody has a row of them any more. Then one that ran
// them is switched off and retired, and one joins. Nothing of them runs again,
// none stays open, and all have the same rows.
func TestAwayForLongerThanRetention(t *testing.T) {
	for _, tt := range []struct {
		name   string
		forced bool
		queue  int // applications that wait behind those that ran
	}{{"retired", false, 10}, {"retired by force", true, 10}, {"retired by force, with nothing else to do", true, 0}} {
		t.Run(tt.name, func(t *testing.T) {
			play(t, 5, 1, func(f *farm) { awayForLong(f, tt.forced, tt.queue) })
		})
	}
}

func awayForLong(f *farm, forced bool, queue int) {
	f.retention = 20 * time.Minute
	away, heir, young := f.nodes[0], f.nodes[1], f.nodes[4]
	away.machine.limits.CPU = 2 // what is large runs elsewhere
	for _, m := range f.nodes {
		m.machine.slow = func() time.Duration { return 5 * time.Second }
	}
	for _, m := range f.nodes[:4] {
		m.start()
	}
	f.until(time.Minute, time.Second, func() bool { return len(away.p.cluster.Active()) == 4 })
	large, small := f.label(heir, "large", definition(3, 1, "")), f.label(heir, "small", definition(1, 1, ""))
	time.Sleep(time.Second)

	own := onNode(f, away, small) // runs there, ends and is forgotten there while it is cut off
	theirs := heir.create(large)  // granted, as far as it knows
	granted := away.create(large) // the same, and it is the arbiter
	var waits []model.UID         // nobody has room for most of them
	for i := range queue {
		waits = append(waits, []*member{away, heir}[i%2].create(large))
	}
	for _, m := range f.nodes[:4] {
		m.want(granted, model.StatusElected, time.Minute)
		m.want(theirs, model.StatusElected, time.Minute)
	}
	executor := f.nodes[away.grantedTo(granted)]
	f.split(func(i int) bool { return i == 0 }, 1)

	for _, app := range []model.UID{theirs, granted} {
		heir.want(app, model.StatusAllocated, time.Minute)
	}
	for _, app := range append([]model.UID{theirs, granted}, waits...) {
		heir.end(app)
	}
	away.end(own)
	away.want(own, model.StatusDeallocated, time.Minute)
	time.Sleep(45 * time.Minute)
	heir.want(granted, "", time.Minute)
	away.want(own, "", time.Minute)
	if executor == heir {
		heir = f.nodes[2]
	}
	executor.kill(true)
	f.split(func(i int) bool { return i == 0 }, -1)
	young.start()
	time.Sleep(5 * time.Second)
	if _, err := heir.p.store.CreateRetirement(context.Background(), model.Retirement{
		NodeUID: executor.uid, Successor: heir.uid, Forced: forced,
	}); err != nil {
		f.t.Fatal(err)
	}
	time.Sleep(45 * time.Minute)
	for _, m := range f.nodes {
		if m.p == nil {
			continue
		}
		for _, e := range m.p.store.Open() {
			f.t.Errorf("node %d holds %s of node %s for open: %s", m.index, e.Application.UID, e.Application.Arbiter, e.Fold.Status())
		}
		if want, got := heir.p.digest(), m.p.digest(); !maps.Equal(want, got) {
			f.t.Errorf("node %d has %d rows, node %d %d", m.index, len(got), heir.index, len(want))
		}
	}
	f.look()
	if f.world.running() != 0 || !f.world.ran(granted) || !f.world.ran(theirs) || !f.world.ran(own) {
		f.t.Errorf("%d environments are left; want that all three have run", f.world.running())
	}
}

// onNode makes an application that runs on the node.
func onNode(f *farm, m *member, label model.Label) model.UID {
	f.t.Helper()
	for range 50 {
		app := m.create(label)
		m.want(app, model.StatusAllocated, time.Minute)
		if m.grantedTo(app) == m.index {
			return app
		}
		m.end(app)
	}
	f.t.Fatalf("node %d is never granted anything", m.index)
	return model.NilUID
}
