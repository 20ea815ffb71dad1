package sshproxy

import (
	"errors"

	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// Reason says why an executor refuses. It travels between members: a value
// never changes its meaning.
type Reason string

// The reasons.
const (
	ReasonUnknown   Reason = "unknown"   // no such credentials
	ReasonUsed      Reason = "used"      // by another session
	ReasonExpired   Reason = "expired"   //
	ReasonGone      Reason = "gone"      // the environment is not there, or not there any more
	ReasonHostKey   Reason = "host_key"  // the environment shows another key than before
	ReasonNoLogin   Reason = "no_login"  // it has no port or address to connect to
	ReasonDial      Reason = "dial"      // its SSH server does not take the connection
	ReasonBusy      Reason = "busy"      // there are too many sessions
	ReasonNotReady  Reason = "not_ready" // the executor has not caught up after its database was put back
	ReasonClock     Reason = "clock"     // they are of a time that has not come there yet
	ReasonElsewhere Reason = "elsewhere" // another node runs it
	ReasonOther     Reason = "other"     // a fault of the executor; Text says more
)

// Refusal is a definite no of an executor. The credentials were not used by it.
type Refusal struct {
	Reason Reason `json:"reason"`
	Text   string `json:"text"`
}

// Error implements error.
func (r *Refusal) Error() string {
	if r.Text != "" {
		return r.Text
	}
	switch r.Reason {
	case ReasonUnknown:
		return "the credentials are not known"
	case ReasonUsed:
		return "the credentials were used already, ask for new ones"
	case ReasonExpired:
		return "the credentials have expired, ask for new ones"
	case ReasonGone:
		return "the environment is not there any more"
	case ReasonHostKey:
		return "the environment shows another host key than at its first use: what answers may not be the environment"
	case ReasonClock:
		return "the clocks of two nodes differ: the credentials are of a time that has not come where the environment runs"
	case ReasonBusy:
		return "too many sessions are open, try again later"
	case ReasonNotReady:
		return "the node has not caught up with its cluster yet, try again in a minute"
	case ReasonElsewhere:
		return "another node runs the environment"
	}
	return "the environment can not be reached"
}

// refusalOf makes what the store says a Refusal; other errors stay what they are.
func refusalOf(err error) error {
	for _, r := range []struct {
		err    error
		reason Reason
	}{
		{store.ErrAccessUsed, ReasonUsed}, {store.ErrAccessExpired, ReasonExpired}, {store.ErrNotFound, ReasonUnknown},
		{store.ErrNotAllocated, ReasonGone}, {store.ErrHostKey, ReasonHostKey}, {store.ErrAccessDoubt, ReasonNotReady},
		{store.ErrAccessAhead, ReasonClock},
	} {
		if errors.Is(err, r.err) {
			return &Refusal{Reason: r.reason}
		}
	}
	return err
}
