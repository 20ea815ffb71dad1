//go:build linux

package cluster

import (
	"net/http"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/farm"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// certificateTime is enough for a farm to become one before a certificate ends,
// on a busy machine too.
const certificateTime = 40 * time.Second

// TestIdentities: who does not belong is kept out, both sides say why, and the
// others go on.
func TestIdentities(t *testing.T) {
	t.Parallel()
	two := []int{0, 1}
	load := []route{{create: 0, read: 1, rate: 5}}
	var ends time.Time
	for _, sc := range []scenario{
		{
			name: "another CA", topology: farm.Full(3), together: two, loads: load,
			each: func(t *testing.T, node int, s *farm.Settings) {
				if node == 2 {
					s.Authority = farm.NewAuthority(t)
				}
			},
			trouble: func(s *stage) {
				s.Members[2].Start()
				s.says(2, "ca", "node0")
				s.says(0, "not signed by a ca")
			},
			check: func(s *stage) { s.notShown(two, "node2") },
		},
		{
			name: "the key of another node", topology: farm.Full(3), together: two, loads: load,
			trouble: func(s *stage) {
				s.Twin(1, 2)
				s.Members[2].Spawn()
				s.says(0, "two running processes use the key")
				s.says(2, "two running processes use the key")
			},
		},
		{
			// While it has no certificate it works alone; with a new one for the same key it is the same node.
			name: "a certificate that expires", topology: farm.Full(3), loads: load,
			prepare: func(s *stage) {
				ends = time.Now().Add(certificateTime)
				s.Authority.Certify(s.Members[2], time.Now().Add(-time.Minute), ends)
			},
			trouble: func(s *stage) {
				s.last(time.Until(ends) + time.Second)
				s.Isolate(2) // a link that stands may stand; a new one may not
				s.last(cutTime)
				s.Heal()
				s.says(2, "expired on")
				s.says(0, "expired on")
				s.Members[2].Stop()
				s.Authority.Certify(s.Members[2], time.Now().Add(-time.Minute), time.Now().Add(24*time.Hour))
				s.Members[2].Start()
				known(s.t, "node2", []fish.Client{s.Admin(0), s.Admin(1), s.Admin(2)}, "active") // the load goes on: no two views are the same
			},
		},
	} {
		t.Run(sc.name, func(t *testing.T) { t.Parallel(); play(t, sc) })
	}
}

// notShown checks that nobody counts a stranger as a member.
func (s *stage) notShown(nodes []int, name string) {
	s.t.Helper()
	type member struct{ Name string }
	for _, node := range nodes {
		for _, m := range fish.Get[[]member](s.Admin(node), "/api/v1/node/") {
			if m.Name == name {
				s.t.Errorf("node %d shows %s as a member", node, name)
			}
		}
	}
}

// TestClocks: clocks that are off by less than a minute, and clocks that jump,
// hurt nobody; one that is off by more is told so and kept out.
func TestClocks(t *testing.T) {
	t.Parallel()
	needs.All(t, "compiles the node anew")
	binary := farm.SkewedBinary(t)
	var apart, off [3]*farm.Skew
	for _, sc := range []scenario{
		{
			name: "clocks apart", topology: farm.Chain(3), loads: []route{{create: 0, read: 2, rate: 5, unsure: true}},
			each: func(t *testing.T, node int, s *farm.Settings) {
				apart[node] = farm.NewSkew(t)
				apart[node].Set([]time.Duration{-25 * time.Second, 0, 25 * time.Second}[node])
				s.Binary, s.Env = binary, []string{apart[node].Env()}
			},
			trouble: func(s *stage) {
				s.last(3 * time.Second)
				apart[0].Set(25 * time.Second) // forwards
				apart[2].Set(-25 * time.Second)
				s.last(cutTime)
				apart[2].Set(0)
				s.last(headStart)
			},
		},
		{
			name: "a clock off by an hour", topology: farm.Full(3), together: []int{0, 1}, loads: []route{{create: 0, read: 1, rate: 5}},
			each: func(t *testing.T, node int, s *farm.Settings) {
				off[node] = farm.NewSkew(t)
				s.Binary, s.Env = binary, []string{off[node].Env()}
			},
			prepare: func(s *stage) { // else it would sign its own in the future
				s.Authority.Certify(s.Members[2], time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
			},
			trouble: func(s *stage) {
				off[2].Set(time.Hour)
				s.Members[2].Start()
				s.says(0, "clock")
				s.says(2, "clock")
			},
			// It does not stay out for ever: what it wrote, while it was alone and its clock ahead, gets the right time.
			check: func(s *stage) {
				off[2].Set(0)
				fish.EventuallyWithin(s.t, joinTime, "the node whose clock was set right has the label", func() bool {
					return s.Admin(2).Request(http.MethodGet, "/api/v1/label/"+s.label, nil).Status == http.StatusOK
				})
				s.says(2, "what it wrote then has the right time now")
				known(s.t, "node2", []fish.Client{s.Admin(0), s.Admin(1)}, "active")
				label := s.Admin(2).CreateLabel(fish.TestLabel("late", `{}`))
				fish.EventuallyWithin(s.t, joinTime, "what the node writes now is taken", func() bool {
					return s.Admin(0).Request(http.MethodGet, "/api/v1/label/"+label, nil).Status == http.StatusOK
				})
			},
		},
	} {
		t.Run(sc.name, func(t *testing.T) { t.Parallel(); play(t, sc) })
	}
}
