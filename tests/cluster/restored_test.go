//go:build linux

package cluster

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/farm"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// old is a farm of which node 1 gets its database of some time ago back.
type old struct {
	*farm.Farm
	t      *testing.T
	labels map[string]string // by the node_filter of their one definition
}

// run is a label that only nodes with the identifier run.
func (o *old) run(identifier string) string {
	o.t.Helper()
	if o.labels[identifier] == "" {
		o.labels[identifier] = o.Admin(0).CreateLabel(fmt.Sprintf(
			`{"name":%q,"version":1,"definitions":[{"driver":"test","options":{},"resources":{"cpu":1,"ram":1,"node_filter":[%q]}}]}`, identifier, identifier))
		for node := range o.Members {
			fish.EventuallyWithin(o.t, joinTime, "the label is everywhere", func() bool {
				return o.Admin(node).Request(http.MethodGet, "/api/v1/label/"+o.labels[identifier], nil).Status == http.StatusOK
			})
		}
	}
	return o.labels[identifier]
}

func (o *old) drain(node int, on bool) {
	o.t.Helper()
	fish.Post[struct{}](o.Admin(node), "/api/v1/node/this/drain", fmt.Sprintf(`{"enable":%t}`, on))
}

// shows waits until a node shows the status; a 503 on the way is no finding.
func (o *old) shows(node int, app, status string) {
	o.t.Helper()
	fish.EventuallyWithin(o.t, restTime, fmt.Sprintf("node %d shows %s as %s", node, app, status), func() bool {
		got := o.Admin(node).Request(http.MethodGet, "/api/v1/application/"+app+"/state", nil)
		return got.Status == http.StatusOK && strings.Contains(string(got.Body), `"`+status+`"`)
	})
}

// explains waits until node 1 says that it has to hear from the others first.
func (o *old) explains(app string) {
	o.t.Helper()
	fish.EventuallyWithin(o.t, restTime, "node 1 explains why "+app+" waits", func() bool {
		got := o.Admin(1).Request(http.MethodGet, "/api/v1/application/"+app+"/explain", nil)
		return got.Status == http.StatusOK && strings.Contains(string(got.Body), "heard from every member") &&
			strings.Contains(string(got.Body), "aquarium-fish cluster retire")
	})
}

// runs reports on which nodes the application was started.
func (o *old) runs(app string) (nodes []string) {
	for _, e := range o.Ledger() {
		if e.Application == app && e.Event == "started" {
			nodes = append(nodes, e.Node)
		}
	}
	return nodes
}

// TestAnOldDatabaseAmongOthers: what was decided and run between the copy and
// its return is done once, although the node that decided, or ran it, knows
// nothing of it, and one of those who know is away. What waits for that one says
// so, what is new goes on, and all does when that one is back.
func TestAnOldDatabaseAmongOthers(t *testing.T) {
	t.Parallel()
	identifiers := []string{"zero, even", "one", "two, even"}
	o := &old{t: t, labels: map[string]string{}, Farm: farm.Start(t, farm.Options{
		Topology: farm.Full(3),
		Each:     func(node int, s *farm.Settings) { s.Config = "node_identifiers: [" + identifiers[node] + "]\n" },
	})}
	o.Together(joinTime)
	for _, identifier := range []string{"zero", "one", "even"} {
		o.run(identifier)
	}
	for node := range o.Members {
		o.drain(node, true)
	}
	// All of these wait in the copy. Node 1 decides about the first two.
	elsewhere := o.Admin(1).CreateApplication(o.run("even"), `{}`)
	waits := o.Admin(1).CreateApplication(o.run("zero"), `{}`)
	lives := o.Admin(0).CreateApplication(o.run("one"), `{}`)
	ended := o.Admin(0).CreateApplication(o.run("one"), `{}`)
	for _, app := range []string{elsewhere, waits, lives, ended} {
		for node := range o.Members {
			o.shows(node, app, "NEW")
		}
	}
	o.Members[1].Stop()
	backup := o.Members[1].Backup()
	o.Members[1].Start()

	// What the copy does not know, and then what node 0 does not know either.
	o.drain(1, false)
	o.shows(2, lives, "ALLOCATED")
	o.shows(0, ended, "ALLOCATED")
	o.Admin(0).Deallocate(ended)
	o.shows(0, ended, "DEALLOCATED")
	o.shows(0, lives, "ALLOCATED")
	o.Members[0].Kill()
	o.drain(2, false)
	o.shows(1, elsewhere, "ALLOCATED")
	o.Admin(1).Deallocate(elsewhere)
	o.shows(1, elsewhere, "DEALLOCATED")
	o.shows(2, elsewhere, "DEALLOCATED")
	o.Members[1].Kill()
	o.Members[2].Kill()

	o.Members[1].Restore(backup)
	o.Members[0].Start()
	o.Members[1].Start()
	o.drain(0, false)
	o.drain(1, false)
	o.Together(joinTime, 0, 1)
	for range 2 { // also when it dies over it
		o.shows(1, lives, "ALLOCATED") // node 0 knows
		o.explains(elsewhere)
		o.explains(waits)
		// What is new waits for nobody, whoever decides about it or runs it.
		for creator, identifier := range map[int]string{0: "one", 1: "even"} {
			app := o.Admin(creator).CreateApplication(o.run(identifier), `{}`)
			o.shows(creator, app, "ALLOCATED")
			o.Admin(creator).Deallocate(app)
			o.shows(creator, app, "DEALLOCATED")
		}
		o.shows(1, elsewhere, "NEW")
		o.shows(1, waits, "NEW")
		o.Members[1].Kill()
		o.Members[1].Start()
		o.Together(joinTime, 0, 1)
	}
	if left := o.Members[1].Environments(); len(left) != 1 {
		t.Errorf("node 1 has the environments %v, want the one that its database did not know", left)
	}

	o.Members[2].Start()
	o.Together(joinTime)
	o.shows(1, elsewhere, "DEALLOCATED")
	o.shows(1, waits, "ALLOCATED")
	o.Admin(2).Deallocate(waits)
	o.Admin(2).Deallocate(lives)
	o.Verify(restTime)
	for app, what := range map[string]string{elsewhere: "ran elsewhere", waits: "waited", lives: "lives", ended: "ended"} {
		if nodes := slices.Compact(o.runs(app)); len(nodes) != 1 {
			t.Errorf("what %s was started on %v, want on one node", what, nodes)
		}
	}
}
