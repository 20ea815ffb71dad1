package api

import (
	"net/http"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestAbsenceIsNeverGuessed: whoever is asked, whoever is cut off from whom and
// whoever has not caught up: what exists is never denied, and what does not is
// denied only by who knows.
func TestAbsenceIsNeverGuessed(t *testing.T) {
	f := newFarm(t)
	var exists, never []model.UID
	for _, n := range f.all {
		exists = append(exists, n.application(t, n.label(t, "linux"), "alice").Application.UID)
		never = append(never, model.NewUIDSource(n.uid).New(time.Now()))
	}
	rapid.Check(t, func(r *rapid.T) {
		for _, n := range f.all {
			ready := rapid.Bool().Draw(r, "ready")
			var gone []model.UID
			for _, other := range f.all {
				if other != n && rapid.Bool().Draw(r, "cut") {
					gone = append(gone, other.uid)
				}
			}
			n.net().set(func(c *fakeCluster) { c.ready, c.gone = ready, gone })
			n.api.handlers.members.Close() // a cut ends connections
		}
		asked := rapid.IntRange(0, 2).Draw(r, "asked")
		maker := rapid.IntRange(0, 2).Draw(r, "maker")
		suffix := rapid.SampledFrom([]string{"", "/state", "/explain"}).Draw(r, "route")
		at := f.all[asked]
		status := at.do(t, call{user: "alice", path: "/api/v1/application/" + exists[maker].String() + suffix}).status
		if status != http.StatusOK && status != http.StatusServiceUnavailable || asked == maker && status != http.StatusOK {
			r.Errorf("what %d made is %d on %d", maker, status, asked)
		}
		status = at.do(t, call{user: "alice", path: "/api/v1/application/" + never[maker].String() + suffix}).status
		knows := f.all[maker].net().Ready() && at.net().Ready()
		if status != http.StatusNotFound && status != http.StatusServiceUnavailable || status == http.StatusNotFound && !knows {
			r.Errorf("what %d never made is %d on %d", maker, status, asked)
		}
	})
}
