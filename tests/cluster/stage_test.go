//go:build linux

package cluster

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/tests/farm"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const (
	// joinTime is for a farm to become one: far more than it takes, as other
	// tests keep the machine busy.
	joinTime = 60 * time.Second
	// restTime is for a farm to come to rest after trouble: the retries of
	// drivers and dialled addresses have had their turn.
	restTime = 2 * time.Minute
	// cutTime is longer than it takes to notice that a node is silent (8 s).
	cutTime = 12 * time.Second
	// headStart has a load run before trouble begins.
	headStart = 2 * time.Second
	// slowShare is of how many applications one may be answered with 503 where
	// nothing is wrong, but that the machine is slow.
	slowShare = 10
	// lateShare is of how many one request may have no answer at all within the
	// half minute for which clients wait.
	lateShare = 50
	// diskMB is the size of a disk that is filled: the database's log alone takes
	// 32 MB before it is emptied.
	diskMB = 96
)

// scenario is one kind of trouble for a farm under load.
type scenario struct {
	name     string
	topology farm.Topology
	each     func(t *testing.T, node int, s *farm.Settings)
	// prepare is before any node runs. It may be nil.
	prepare func(s *stage)
	// together are the nodes that become one farm, and are judged; nil is all.
	together []int
	loads    []route
	trouble  func(s *stage)
	// check holds what is special about the scenario, when all has come to
	// rest. It may be nil.
	check func(s *stage)
	// rows looks into what all databases hold in the end, see sameRows. It may
	// be nil.
	rows func(s *stage, rows map[string]string)
}

// route is who is asked for applications, and of whom they are asked about and
// given back, by the numbers of the nodes.
type route struct {
	create, read int
	rate         int  // applications/s
	silent       bool // nodes of the route may be killed or stopped: requests without an answer are no finding
	unsure       bool // one of the two may be cut off from the other: it may say 503, and nothing else
	broken       bool // they may be unable to write, and say so
}

// stage is a scenario that is played.
type stage struct {
	*farm.Farm
	t       *testing.T
	label   string
	results []*farm.LoadResult // of the loads, in their order
	uids    []string           // of the nodes, at the end
}

// play makes the farm, has the loads run through the trouble, and holds all to
// what is always true.
func play(t *testing.T, sc scenario) {
	t.Helper()
	f := farm.New(t, farm.Options{
		Topology: sc.topology, Namespaces: true, DriverCfg: "delay_allocate: 50ms",
		Each: func(node int, settings *farm.Settings) {
			if sc.each != nil {
				sc.each(t, node, settings)
			}
		},
	})
	s := &stage{Farm: f, t: t}
	if sc.together == nil {
		sc.together = f.All()
	}
	if sc.prepare != nil {
		sc.prepare(s)
	}
	for _, node := range sc.together {
		f.Members[node].Start()
	}
	f.Together(joinTime, sc.together...)
	s.makeLabel(sc.together)
	wait := s.load(sc.loads)
	s.last(headStart)
	sc.trouble(s)
	wait()
	for i, r := range s.results {
		s.judge(sc.loads[i], r)
		t.Logf("%d asked for without an answer", r.ReleaseUnsure(f.Admin(sc.together[0])))
	}
	f.Verify(restTime, sc.together...)
	if sc.check != nil {
		sc.check(s)
	}
	rows := s.sameRows(sc.together)
	if sc.rows != nil {
		sc.rows(s, rows)
	}
}

// sameRows stops the nodes when none lacks anything of another one, and
// compares what is in their databases, byte for byte. It returns the rows.
func (s *stage) sameRows(nodes []int) map[string]string {
	s.t.Helper()
	s.Even(restTime, nodes...)
	for _, node := range nodes {
		s.uids = append(s.uids, fish.Get[struct{ UID string }](s.Admin(node), "/api/v1/node/this/").UID)
	}
	for _, node := range nodes {
		s.Members[node].Stop()
	}
	first := s.Members[nodes[0]].Rows(s.uids[0])
	for i, node := range nodes {
		if diff := cmp.Diff(first, s.Members[node].Rows(s.uids[i])); diff != "" {
			s.t.Errorf("node %d (-) and node %d (+) have other rows:\n%.3000s", nodes[0], node, diff)
		}
	}
	return first
}

// makeLabel makes the label of all applications, known to all.
func (s *stage) makeLabel(nodes []int) {
	s.t.Helper()
	s.label = s.Admin(nodes[0]).CreateLabel(fish.TestLabel("linux", `{}`))
	for _, node := range nodes {
		fish.EventuallyWithin(s.t, joinTime, "the label is everywhere", func() bool {
			return s.Admin(node).Request(http.MethodGet, "/api/v1/label/"+s.label, nil).Status == http.StatusOK
		})
	}
}

// load runs the loads until wait is called, and then to the end of every life.
func (s *stage) load(routes []route) (wait func()) {
	s.results = make([]*farm.LoadResult, len(routes))
	stop := make(chan struct{})
	var loading sync.WaitGroup
	for i, r := range routes {
		creator, reader := s.Admin(r.create), s.Admin(r.read)
		loading.Go(func() {
			s.results[i] = farm.RunLoad(s.t.Context(), farm.LoadOptions{
				Create: []fish.Client{creator}, Read: []fish.Client{reader}, Release: []fish.Client{reader},
				Label: s.label, Rate: r.rate, Stop: stop, RecallEvery: 7, Hold: 100 * time.Millisecond,
			})
		})
	}
	return func() {
		s.t.Helper()
		close(stop)
		loading.Wait()
	}
}

// runsAt has an application run that a node is asked for, from its request to
// its end.
func (s *stage) runsAt(node int) {
	s.t.Helper()
	c := s.Admin(node)
	app := c.CreateApplication(s.label, `{}`)
	for _, status := range []string{"ALLOCATED", "DEALLOCATED"} {
		fish.EventuallyWithin(s.t, restTime, "the application of node "+fmt.Sprint(node)+" is "+status, func() bool {
			return c.State(app).Status == status
		})
		if status == "ALLOCATED" {
			c.Deallocate(app)
		}
	}
}

// judge holds a load to what its clients may see.
func (s *stage) judge(r route, got *farm.LoadResult) {
	s.t.Helper()
	s.t.Logf("created on %d, read on %d: %v", r.create, r.read, got)
	for what, list := range map[string][]string{"false answers": got.False, "lost": got.Lost, "failed": got.Failed} {
		if len(list) > 0 {
			s.t.Errorf("%d %s, the first: %s", len(list), what, strings.Join(list[:min(3, len(list))], "\n"))
		}
	}
	if got.Ended == 0 {
		s.t.Error("no application came to its end")
	}
	if got.Refused > got.Asked/lateShare && !r.silent {
		s.t.Errorf("%d requests without an answer from nodes that nobody hurt", got.Refused)
	}
	if got.Broken > 0 && !r.broken {
		s.t.Errorf("%d errors of nodes that nobody hurt", got.Broken)
	}
	// A busy machine may take longer than the second for which a node waits for another one: rarely.
	if got.Unavailable > got.Asked/slowShare && !r.unsure && !r.silent {
		s.t.Errorf("%d times 503 from nodes that could know", got.Unavailable)
	}
}

// last lets trouble last for a while, which is what it is made of.
func (s *stage) last(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.t.Context().Done():
	}
}

// says waits until the log of the node has a line with all of the words.
func (s *stage) says(node int, words ...string) {
	s.t.Helper()
	fish.EventuallyWithin(s.t, joinTime, "the log says "+strings.Join(words, ", "), func() bool {
		stdout, stderr := s.Members[node].Lines()
		for _, line := range append(stdout, stderr...) {
			found := true
			for _, word := range words {
				found = found && strings.Contains(strings.ToLower(line), word)
			}
			if found {
				return true
			}
		}
		return false
	})
}
