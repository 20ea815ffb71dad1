//go:build linux

package cluster

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/tests/farm"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// upgradeTime is how long a farm of two versions works before the next node is
// upgraded.
const upgradeTime = 3 * time.Second

// TestUpgrade: nodes of neighbouring versions are one farm, while the one takes
// the place of the other under load.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	needs.Machine(t, "to make network name spaces")
	previous, today, later := farm.PreviousBinary(t), os.Getenv(fish.BinaryEnv), farm.LaterBinary(t)
	load := []route{{create: 0, read: 2, rate: 10, silent: true, unsure: true}}
	for _, sc := range []scenario{
		{
			name: "from the version before", topology: farm.Full(3), loads: load,
			each: func(_ *testing.T, _ int, s *farm.Settings) { s.Binary = previous },
			trouble: func(s *stage) {
				for node := range s.Members {
					s.upgrade(node, today)
				}
			},
		},
		{
			// The one in the middle is of today all the time that it matters: all that the two say to each other goes
			// through it.
			name: "to the version after and back", topology: farm.Chain(3), loads: load,
			trouble: func(s *stage) {
				s.upgrade(0, later)
				s.upgrade(2, later)
				s.changedBy(1, "someone", s.madeBy(0, "someone"))
				s.upgrade(1, later)
				for _, node := range []int{2, 0, 1} {
					s.upgrade(node, today)
				}
			},
			rows: (*stage).laterRows,
		},
	} {
		t.Run(sc.name, func(t *testing.T) { t.Parallel(); play(t, sc) })
	}
}

// upgrade restarts a node with another binary, which may be an older one.
func (s *stage) upgrade(node int, binary string) {
	s.t.Helper()
	m := s.Members[node]
	m.Stop()
	m.Upgrade(binary)
	m.Start()
	s.last(upgradeTime)
	type member struct {
		Self     bool
		Protocol int `json:"protocol_max"`
	}
	for _, got := range fish.Get[struct{ Members []member }](s.Admin(node), "/api/v1/cluster/").Members {
		if want := 1 + strings.Count(binary, "later"); got.Self && got.Protocol != want {
			s.t.Errorf("node %d speaks version %d, want %d: it is of another version than it should be", node, got.Protocol, want)
		}
	}
}

// madeBy has a node make a user, and returns the password.
func (s *stage) madeBy(node int, name string) string {
	s.t.Helper()
	got := s.Admin(node).Request(http.MethodPost, "/api/v1/user/", fmt.Appendf(nil, `{"name":%q,"password":"first"}`, name))
	if got.Status != http.StatusOK {
		s.t.Fatalf("make user: %d %s", got.Status, got.Body)
	}
	return "first"
}

// changedBy has a node change a user as soon as it knows of it.
func (s *stage) changedBy(node int, name, password string) {
	s.t.Helper()
	fish.EventuallyWithin(s.t, joinTime, "the user is known", func() bool {
		return s.Admin(node).As(name, password).Request(http.MethodGet, "/api/v1/user/me/", nil).Status == http.StatusOK
	})
	got := s.Admin(node).Request(http.MethodPost, "/api/v1/user/", fmt.Appendf(nil, `{"name":%q,"password":"second"}`, name))
	if got.Status != http.StatusOK {
		s.t.Fatalf("change user: %d %s", got.Status, got.Body)
	}
}

// laterRows: what the later version wrote is in all databases, also of what
// today's has changed since.
func (s *stage) laterRows(rows map[string]string) {
	s.t.Helper()
	unknown := 0
	for name, row := range rows {
		if strings.HasPrefix(name, fmt.Sprint(farm.LaterKind)) && strings.HasSuffix(row, farm.LaterBody) {
			unknown++
		}
	}
	if unknown < 20 {
		s.t.Errorf("%d rows of a kind that today's version does not know, want one for each application of the time", unknown)
	}
	if user := rows[farm.RowName(replica.KindUser, []byte("someone"))]; !strings.Contains(user, farm.LaterField) {
		s.t.Errorf("what the later version wrote of the user is gone: %s", user)
	} else if !strings.Contains(user, s.uids[1]) {
		s.t.Errorf("the user was not changed by node 1, %s: %s", s.uids[1], user)
	}
	s.t.Logf("%d rows, %d of a kind that today's version does not know", len(rows), unknown)
}
