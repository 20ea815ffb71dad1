package election

import (
	"fmt"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// throng is a cluster of many nodes all of which can be reached.
type throng struct {
	Alone
	nodes []model.UID
}

func (c throng) Active() []model.UID               { return c.nodes }
func (throng) Unreachable(model.UID) time.Duration { return 0 }

// newThrong returns an election of a node among 50 that decides about 2,000
// waiting applications of 50 labels, of which each node said no.
func newThrong(available int) (*Election, []model.Application) {
	e := newShelved(50)
	c := throng{Alone: Alone{Node: e.opts.Node}, nodes: []model.UID{e.opts.Node}}
	for i := range 49 {
		c.nodes = append(c.nodes, model.UID{7, byte(i)})
	}
	e.opts.Cluster, e.opts.VoteTimeout = c, 3*time.Second
	var apps []model.Application
	for i := range 2000 {
		apps = append(apps, e.enqueue(i, byte(i%50)))
	}
	for _, n := range c.nodes[1:] {
		e.hear(votesOf(n, apps, available))
	}
	return e, apps
}

func votesOf(n model.UID, apps []model.Application, available int) []model.Vote {
	votes := make([]model.Vote, len(apps))
	for i, app := range apps {
		uid := model.VoteUID(app.UID, n, 0, 0)
		votes[i] = model.Vote{UID: uid, ApplicationUID: app.UID, NodeUID: n, Available: available, Rand: model.VoteRand(uid)}
	}
	return votes
}

// BenchmarkThrong is what 2,000 applications cost that wait in a cluster of 50:
// a pass of its own, and the noes that one other node says of all of them.
func BenchmarkThrong(b *testing.B) {
	for _, starvation := range []time.Duration{time.Hour, 1} {
		b.Run(fmt.Sprintf("pass, starving after %v", starvation), func(b *testing.B) {
			e, _ := newThrong(model.VoteNo)
			e.opts.StarvationAfter = starvation
			b.ReportAllocs()
			for b.Loop() {
				e.pass(b.Context())
				e.untilNext()
			}
		})
	}
	b.Run("noes of a node", func(b *testing.B) {
		e, apps := newThrong(model.VoteNo)
		votes := votesOf(model.UID{7, 3}, apps, model.VoteNo)
		b.ReportAllocs()
		for b.Loop() {
			e.hear(votes)
			e.settle(b.Context())
		}
	})
}
