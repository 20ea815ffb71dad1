package election

import (
	"bytes"
	"crypto/sha256"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Safety is what an election does about a node that is silent.
type Safety string

// The choices of election.safety.
const (
	// Strict waits for it: whatever the network does, no application is run
	// twice.
	Strict Safety = "strict"
	// Available goes on without it after silentAfter. An application runs twice
	// if the silent node lives, cut off, and had begun it.
	Available Safety = "available"
)

// silentAfter is how long nothing may be heard of a node before an available
// cluster goes on without it: most cuts are shorter.
const silentAfter = 5 * time.Minute

// Role is who decides about an application, as this node sees it.
type Role struct {
	// Decider may be another node; NilUID where nobody is left.
	Decider model.UID
	// Takeover says that it decides in place of a silent arbiter.
	Takeover bool
	// Replaces is the epoch of a grant whose winner is silent, 0 for none.
	Replaces uint32
	// Asleep is why nobody needs this node's vote now, for the user; "" if
	// somebody does.
	Asleep string
}

// Standpoint is what a node knows of the others at one moment.
type Standpoint struct {
	Node        model.UID
	Safety      Safety
	Retirements []model.Retirement
	Handovers   []model.Handover
	// Active are the nodes whose votes count.
	Active []model.UID
	// Silent is how long nothing was heard of a node, 0 if it can be reached.
	Silent func(node model.UID) time.Duration
	// Ready says that this node has caught up.
	Ready bool
	// Covered says that it knows all that every member that is not retired knew
	// when the newest retirement came here.
	Covered func() bool
	// CoveredReachable is Covered but for the members that can not be reached.
	CoveredReachable func() bool
	// Cleared says that every member, or every one that can be reached, knows of
	// no end of the application. Nil: there is nobody else.
	Cleared func(app model.UID, reachable bool) bool
	// Forgot says that what was decided about an application may be among what
	// this node forgot, Heard that it knows all again that a node knew. Nil: it
	// forgets nothing.
	Forgot func(app model.Application) bool
	Heard  func(node model.UID) bool
}

// RoleOf says who decides about the application, and whether there is anything
// to decide: it waits, or its winner is silent.
func RoleOf(entry *model.Entry, s Standpoint) (role Role, open bool) {
	app, f := entry.Application, entry.Fold
	role.Decider = s.arbiter(app)
	if open = f.Waiting(); !open {
		if role.Replaces = s.abandoned(f); role.Replaces == 0 {
			return role, false
		}
	}
	if role.Decider == s.Node {
		if role.Asleep = s.hindrance(app); role.Asleep == "" && role.Replaces > 0 && !s.cleared(app.UID, true) {
			role.Asleep = asksForAnEnd
		}
		return role, true
	}
	silent := silentAfter // of nobody
	if role.Decider != model.NilUID {
		silent = s.Silent(role.Decider)
	}
	switch {
	case silent == 0:
		if s.uninformed(app, role.Decider) {
			role.Asleep = unheard
		}
	case s.Safety != Available || silent < silentAfter || f.Grant != nil || len(s.Active) == 0:
		role.Asleep = "the node that decides, its arbiter, can not be reached"
	default:
		role.Decider, role.Takeover = nearest(app.UID, s.Active), true
		role.Asleep = s.takeoverHindrance(app, role.Decider == s.Node)
	}
	return role, true
}

const (
	notReady = "this node has not caught up with the others yet"
	// uninherited: lib/recall and lib/bygone tell the log.
	uninherited = "this node decides as a successor, and waits until it knows all that every other member knows: who can not be reached, or is named by its log, keeps it waiting"
	// asksForAnEnd: while this node was away itself, what it would decide again may have run, ended and been removed by all.
	asksForAnEnd = "this node decides in place of a silent one, and asks first whether any other knows that the application has ended"
)

func (s Standpoint) retired(node model.UID) bool {
	_, retired := model.Retired(node, s.Retirements)
	return retired
}

func (s Standpoint) arbiter(app model.Application) model.UID {
	return model.Arbiter(app, s.Retirements, s.Handovers)
}

// hindrance is why this node, the arbiter, may not decide now. The successor of
// a retired node waits until it knows everything: its predecessor may have
// granted. Who was handed the role has acknowledged all grants before that.
func (s Standpoint) hindrance(app model.Application) string {
	switch {
	case !s.Ready:
		return notReady
	case s.forgot(app):
		return forgetful
	case model.Arbiter(app, nil, s.Handovers) != s.Node && !s.informed(app):
		return uninherited
	}
	return ""
}

// cleared reports whether the application can be granted again as far as the
// others tell: rows that told of its end may be gone everywhere, and then it
// looks as if it waited, although all is covered.
func (s Standpoint) cleared(app model.UID, reachable bool) bool {
	return s.Cleared == nil || s.Cleared(app, reachable)
}

// informed reports whether this node, the successor of a retired one, knows
// what there is to know. Where an operator forced the retirement, who can not
// be reached is not waited for: that is what was asked for.
func (s Standpoint) informed(app model.Application) bool {
	node := model.Arbiter(app, nil, s.Handovers)
	for range len(s.Retirements) {
		r, retired := model.Retired(node, s.Retirements)
		if retired && r.Forced {
			return s.CoveredReachable() && s.cleared(app.UID, true)
		}
		node = r.Successor
	}
	return s.Covered() && s.cleared(app.UID, false)
}

// abandoned is the epoch of the grant that an available cluster gives up,
// because its winner is silent and nobody heard that it began. 0 for none.
func (s Standpoint) abandoned(f model.Fold) uint32 {
	g := f.Grant
	if s.Safety != Available || g == nil || g.Decision == nil || f.Allocated != nil || f.Request != nil || f.Final {
		return 0
	}
	if g.Decision.Winner == s.Node || s.Silent(g.Decision.Winner) < silentAfter {
		return 0
	}
	return g.Epoch
}

// nearest is the node with the highest rendezvous hash with the application:
// all who know the same nodes name the same one, and many applications spread
// over all of them. NilUID if there is none.
func nearest(app model.UID, nodes []model.UID) model.UID {
	var best model.UID
	var highest [sha256.Size]byte
	var both [2 * len(app)]byte
	copy(both[:], app[:])
	for _, node := range nodes {
		copy(both[len(app):], node[:])
		hash := sha256.Sum256(both[:])
		if best == model.NilUID || bytes.Compare(hash[:], highest[:]) > 0 {
			best, highest = node, hash
		}
	}
	return best
}
