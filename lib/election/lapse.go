package election

import (
	"errors"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// A node whose database was put back, or may have been, has forgotten what it
// granted and began since the copy. Until it has heard that from all others it
// must not decide as if nothing had happened: see lib/recall.

// recall is what the election needs of it.
type recall interface {
	// Lapsed reports whether this node may have forgotten something.
	Lapsed() bool
	// Forgot reports whether what was decided about an application may be among it.
	Forgot(app model.Application) bool
	// Heard reports whether this node knows all that another one knew since.
	Heard(node model.UID) bool
}

const (
	forgetful = "the database of this node, which decides, was put back, or its system crashed: it grants nothing of before until it has heard from " +
		"every member. Start those that can not be reached, or retire who is gone for good (aquarium-fish cluster retire)"
	unheard = "the database of this node was put back, or its system crashed: it runs nothing of before until it has heard from the node that decides"
)

// ErrForgetful says that a node can not give away what it may have forgotten.
var ErrForgetful = errors.New("this node may have forgotten grants, as its database was put back or its system crashed, and has not heard from every member since")

// lapsed reports whether this node may have forgotten something.
func (e *Election) lapsed() bool { return e.opts.Recall != nil && e.opts.Recall.Lapsed() }

// remember adds to a standpoint what this node may have forgotten, also what
// turns out to be after it was taken. An available cluster, which goes on
// without a silent node, waits no longer for it here. Caller holds mu.
func (e *Election) remember(s *Standpoint, now time.Time) {
	if e.opts.Recall == nil {
		return
	}
	switch lapsed := e.lapsed(); {
	case !lapsed:
		e.lapsedAt = time.Time{}
	case e.lapsedAt.IsZero():
		e.lapsedAt = now
	}
	patient := s.Safety != Available || e.lapsedAt.IsZero() || now.Sub(e.lapsedAt) < silentAfter
	reachable := s.CoveredReachable
	s.Forgot = func(app model.Application) bool { return e.opts.Recall.Forgot(app) && (patient || !reachable()) }
	s.Heard = e.opts.Recall.Heard
}

// forgot reports whether what was decided about an application may be what this
// node does not know any more.
func (s Standpoint) forgot(app model.Application) bool { return s.Forgot != nil && s.Forgot(app) }

// uninformed reports whether this node must not promise to run an application
// that another one decides. It may have been granted it, and have run it, in
// what it forgot; so it has to know first what its arbiter granted. What came of
// grants of which a retired node was the author any member may know.
func (s Standpoint) uninformed(app model.Application, decider model.UID) bool {
	return s.forgot(app) && (model.Arbiter(app, nil, s.Handovers) != decider || !s.Heard(decider))
}

// takeoverHindrance is why this node has no part in deciding in place of a
// silent arbiter; "" if it has. decides says that it is the one who would.
func (s Standpoint) takeoverHindrance(app model.Application, decides bool) string {
	switch {
	case decides && !s.Ready:
		return notReady
	case decides && s.forgot(app):
		return forgetful
	case s.forgot(app):
		return unheard
	case decides && !s.cleared(app.UID, true):
		return asksForAnEnd
	}
	return ""
}
