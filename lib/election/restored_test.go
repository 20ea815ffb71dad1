package election_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestRestoredInAQuietFarm: a database that is put back gets every row again
// although nothing new happens.
func TestRestoredInAQuietFarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(t, 1)
		h.loss = 0
		defer h.close()
		for _, n := range h.nodes {
			n.change = n.remembering
			n.start()
		}
		old := h.nodes[0].db.copy()
		app := h.nodes[1].db.create(h.label(definition(1, 1, "30s")))
		h.nodes[0].want(app, model.StatusDeallocated, time.Minute)
		time.Sleep(time.Minute) // until all is carried
		h.nodes[0].crash()
		h.nodes[0].restore(old)
		h.nodes[0].start()
		time.Sleep(10 * time.Minute)
		if diff := h.differing(); diff != "" {
			t.Error(diff)
		}
	})
}
