package election

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// looped is an overlay that brings back what was cast, as of another node.
type looped struct {
	Alone
	came  chan struct{}
	votes []wire.Vote
}

func (l *looped) Cast(votes []wire.Vote) {
	l.votes = append(l.votes, votes...)
	l.came <- struct{}{}
}

func (l *looped) Votes() (<-chan struct{}, func() []wire.Votes) {
	return l.came, func() []wire.Votes {
		votes := l.votes
		l.votes = nil
		if votes == nil {
			return nil
		}
		return []wire.Votes{{Node: node(3), Location: "x", Load: 7, Votes: votes}}
	}
}

func TestWired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := NewWired(&looped{came: make(chan struct{}, 1)}, Alone{})
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		signal, take := w.Votes()
		vote := sound(node(1), 3, 2, 1)
		vote.Location, vote.Load, vote.CreatedAt = "x", 7, time.Now().UTC()
		w.Cast([]model.Vote{vote})
		want := func(why string, votes []model.Vote, changed bool) {
			t.Helper()
			<-signal
			got, news := take()
			if diff := cmp.Diff(votes, got); diff != "" || news != changed {
				t.Errorf("%s: changed %v, want %v; votes (-cast +heard):\n%s", why, news, changed, diff)
			}
		}
		want("votes", []model.Vote{vote}, false)
		w.Changed()
		w.Changed() // the same news
		want("a change of members", nil, true)
		w.Cast([]model.Vote{vote})
		synctest.Wait()
		take() // for another reason
		want("votes that were taken before", nil, false)
		w.Cast([]model.Vote{vote})
		w.Changed()
		want("both at once", []model.Vote{vote}, true)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
