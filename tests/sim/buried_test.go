package sim

import (
	"context"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestRetirementLostWithItsAuthor: a node is retired at one that is cut off and
// that is gone for good before anybody heard of it. Nobody can follow either of
// them then, until an operator retires both; after that nothing is left open.
func TestRetirementLostWithItsAuthor(t *testing.T) {
	play(t, 5, 1, func(f *farm) {
		h := &history{farm: f, ledger: newLedger()}
		f.start()
		f.until(time.Minute, time.Second, f.agree)
		l := f.label(f.nodes[0], "l", definition(1, 1, "6s"))
		time.Sleep(time.Second)
		for _, m := range f.nodes {
			m.drained.Store(true) // so that all waits
		}
		gone, author, asked, heir := f.nodes[0], f.nodes[1], f.nodes[2], f.nodes[3]
		apps := []model.UID{gone.create(l), author.create(l)}
		time.Sleep(2 * time.Second)

		gone.kill(true)
		gone.retired.Store(true)
		f.split(func(i int) bool { return i == author.index }, 1)
		if _, err := author.p.store.CreateRetirement(context.Background(), model.Retirement{NodeUID: gone.uid, Successor: heir.uid}); err != nil {
			t.Fatal(err)
		}
		author.kill(true)
		author.retired.Store(true)
		f.split(func(i int) bool { return i == author.index }, -1)
		for _, m := range f.living() {
			m.undrain()
		}
		time.Sleep(2 * time.Minute)
		if got := asked.status(apps[0]); got != model.StatusNew {
			t.Errorf("%s without a successor, want that it waits", got)
		}
		h.retireAll(asked, heir, false)
		for _, app := range apps {
			asked.want(app, model.StatusDeallocated, 5*time.Minute)
		}
		f.look()
	})
}
