// Package status holds what a node tells people about its cluster: who belongs
// to it, how the members are connected, and how far they are. lib/cluster
// fills it in from memory, lib/api shows it. The types are plain values of one
// moment and know no JSON.
package status

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// State is how a member stands. Clients see it: a value never changes its
// meaning.
type State string

// The states.
const (
	// StateActive: its votes count.
	StateActive State = "active"
	// StateInactive: it can be reached, but is unhealthy, not ready or in
	// maintenance.
	StateInactive State = "inactive"
	// StateUnreachable: nothing leads to it, or it has been silent for too long.
	StateUnreachable State = "unreachable"
	// StateStopped: it said that it stops, and cannot be reached.
	StateStopped State = "stopped"
	// StateRetired: an administrator took it out for good; its key is refused.
	StateRetired State = "retired"
)

// Status is the cluster as one node sees it.
type Status struct {
	// Cluster tells this cluster from others: the first 8 bytes of the hash of
	// its CA's public key, in hex.
	Cluster string
	// Node is who sees it so.
	Node model.UID
	// Ready says that the node has caught up; Reason why it has not.
	Ready  bool
	Reason string
	// Members are all, the node itself and retired ones included.
	Members []Member
	// Links are those between any two members, each once.
	Links []Link
	// Components are the groups of members that reach each other, the node's
	// own first.
	Components [][]model.UID
	// Ownership says who owns each shared outside thing.
	Ownership []Ownership
}

// Member is one node of the cluster.
type Member struct {
	UID      model.UID
	Name     string
	Address  string // host:port where other members reach it
	Location string
	State    State
	// LastSeen is its last sign of life, by the clock of who tells; zero if
	// there was none since that one started.
	LastSeen time.Time
	// Neighbour: it has a link to who tells.
	Neighbour bool

	Version                  string // of its program
	ProtocolMin, ProtocolMax uint16
	Incarnation              uint32

	Healthy     bool // its database takes writes and its loops go round
	Ready       bool // it has caught up and votes
	Maintenance bool // it takes nothing new
	Signer      bool // it holds the CA's key
	Safety      string

	Applications int // that it runs
	Load         Load
	// Lag is how many of its rows who tells does not have yet.
	Lag uint64
	// ClockOffset is how far its clock is ahead; nil if nobody knows.
	ClockOffset *time.Duration
	// CertificateExpires is zero if unknown.
	CertificateExpires time.Time
}

// Load is how busy a member is, in percent.
type Load struct{ CPU, Memory, Disk uint8 }

// Link is a connection between two neighbours.
type Link struct {
	From, To model.UID
	RTT      time.Duration // 0: not measured yet
	// Bridge: without it the cluster falls apart.
	Bridge bool
}

// Ownership says who owns a shared outside thing, such as a pool; NilUID:
// nobody yet.
type Ownership struct {
	Thing string
	Node  model.UID
}

// Reachable says that there is a way to the member now, as far as is known.
func (m Member) Reachable() bool { return m.State == StateActive || m.State == StateInactive }

// MakerOf returns the member that made the UID. A retired one is nobody:
// what was known of it is known without it.
func MakerOf(members []Member, uid model.UID) (Member, bool) {
	i := slices.IndexFunc(members, func(m Member) bool { return m.State != StateRetired && model.SamePrefix(m.UID, uid) })
	if i < 0 {
		return Member{}, false
	}
	return members[i], true
}

// Find finds a member by its UID or name. Of a name that a retired member had
// too, it is the other one's.
func Find(members []Member, ref string) (Member, bool) {
	found, ok := Member{}, false
	for _, m := range members {
		if !strings.EqualFold(m.UID.String(), ref) && m.Name != ref {
			continue
		}
		if m.State != StateRetired {
			return m, true
		}
		found, ok = m, true
	}
	return found, ok
}

// Sort orders members by name, then UID.
func Sort(members []Member) {
	slices.SortFunc(members, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), bytes.Compare(a.UID[:], b.UID[:]))
	})
}
