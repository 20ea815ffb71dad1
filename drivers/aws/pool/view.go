package pool

import (
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// View is a host as a person sees it.
type View struct {
	ID, Type, Zone string
	Phase          Phase
	AWS            string    // the state that AWS told last
	Since          time.Time // it is in the phase
	Allocated      time.Time // it is paid for; of an open request: when that was decided
	Token          string    // it is reserved or busy for, as far as known
	Scrub          string    // the instance that is to have it scrubbed
	// Release is when it is released if nobody wants it; zero: not to be foreseen.
	Release time.Time
	Why     string // it is in the phase, or not usable
	// Unpaid is how long it was seen pending, which is not paid for.
	Unpaid time.Duration
}

// Accounting is where the hosts are: the hosts that the account has or may
// have, each once.
type Accounting struct {
	// Phases are how many are in each; Requested has the open requests too.
	Phases map[Phase]int
	// Total is the sum of Phases. Paid are those that AWS takes money for, or
	// may: all but the lost, and those that were pending when last seen.
	Total, Paid int
	// Open are the requests without a host, Ghosts the released hosts that
	// lists still show as ours. Both count for the maximum.
	Open, Ghosts int
	// Waiting are the requests that wait.
	Waiting int
}

// Durations are the observed scrubs.
type Durations struct {
	Count    int // since the State was made, or saved
	P50, P95 time.Duration
}

// Request is an open request for a host: whether there is one is not known.
type Request struct {
	Slot        int    `json:"slot"`
	Generation  uint64 `json:"generation"`
	Zone        string `json:"zone"`
	Type        string `json:"type"`
	ClientToken string `json:"client_token"`
	// Decided is when, by the clock of then: what is repeated has to be the same.
	Decided time.Time `json:"decided"`
}

// Reservation is a host that belongs to a token.
type Reservation struct {
	Token string    `json:"token"`
	Host  string    `json:"host"`
	Zone  string    `json:"zone"`
	Type  string    `json:"type"`
	Until time.Time `json:"until"`
	// Launch is when a launch may last have been sent; zero: it is not known of any.
	Launch time.Time `json:"launch"`
}

// Scrub is an instance that may be on a host to have it scrubbed.
type Scrub struct {
	Host        string    `json:"host"`
	Zone        string    `json:"zone"`
	Type        string    `json:"type"`
	ClientToken string    `json:"client_token"`
	Instance    string    `json:"instance,omitempty"` // empty: not known
	Since       time.Time `json:"since"`
	// Decided is Since as it was told first: what is repeated has to be the same.
	Decided time.Time `json:"decided,omitzero"`
}

// KnownHost is a host, of which a list that is late says less than is known.
type KnownHost struct {
	ID string `json:"id"`
	// Type and Zone say whom it will serve, before a list has it.
	Type string `json:"type,omitempty"`
	Zone string `json:"zone,omitempty"`
	// Allocated is since when it is paid for; zero: no list told it yet.
	Allocated time.Time `json:"allocated,omitzero"`
	// Busy is when something on it was first seen; zero: never.
	Busy time.Time `json:"busy"`
	// Given: the pool promised it to a token since it last was free.
	Given bool `json:"given,omitempty"`
}

// Saved is what a restart must not forget. It is to be stored whenever
// Revision differs, before the actions of the step are carried out.
type Saved struct {
	// Owned: the node owned the pool. One that did not know about everything
	// that is under way, and waits for Config.Settled before it acts.
	Owned bool `json:"owned"`
	// Quarantine is until when that wait lasts; zero: there is none. A node that
	// is restarted meanwhile has heard of everything since, and waits for the rest of it.
	Quarantine   time.Time     `json:"quarantine,omitzero"`
	Draining     bool          `json:"draining"`
	Generation   uint64        `json:"generation"`
	Requests     []Request     `json:"requests"`
	Reservations []Reservation `json:"reservations"`
	Scrubs       []Scrub       `json:"scrubs"`
	// Hosts are all that are not lost: lists may not have them yet.
	Hosts []KnownHost `json:"hosts"`
	// Releasing are hosts that may be released while lists still show them.
	Releasing  []string        `json:"releasing"`
	ScrubTimes []time.Duration `json:"scrub_times"` // the last ones, oldest first
	ScrubCount int             `json:"scrub_count"`
}

// Holder is the host that the token has, and whether it has one: reserved for
// it, or busy with it.
func (s *State) Holder(token string) (host string, ok bool) {
	h := s.tokens[token]
	if h == nil || h.phase != Reserved && h.phase != Busy {
		return "", false
	}
	return h.id, true
}

// Accounting says where all hosts are.
func (s *State) Accounting() Accounting {
	a := Accounting{Phases: map[Phase]int{}, Open: len(s.requests), Ghosts: s.listedGhosts, Waiting: s.queue.len()}
	for i, n := range s.count {
		a.Phases[Phase(i)] = n
	}
	a.Phases[Requested] += a.Open
	a.Total = len(s.hosts) + a.Open
	a.Paid = a.Total
	for _, h := range s.hosts {
		if h.lost || h.aws == cloud.HostPending {
			a.Paid--
		}
	}
	return a
}

// Views are the hosts for people, by id, after them the open requests.
func (s *State) Views() []View {
	var all []View
	for _, h := range s.hosts {
		v := View{
			ID: h.id, Type: h.typ, Zone: h.zone, Phase: h.phase, AWS: h.aws, Since: s.outer(h.since), Allocated: h.allocated,
			Token: h.holder, Why: s.why(h), Unpaid: h.unpaid,
		}
		if v.Allocated.IsZero() { // no list has it yet
			v.Allocated = v.Since
		}
		if h.scrub != nil {
			v.Scrub = h.scrub.Instance
		}
		if s.leaves(h) {
			v.Release = s.outer(s.releaseFrom(h, s.idleDelay(h)))
		}
		all = append(all, v)
	}
	for _, r := range s.requests {
		all = append(all, View{Type: r.Type, Zone: r.Zone, Since: s.outer(r.tried), Allocated: r.Decided,
			Why: fmt.Sprintf("asked for %d times, and the answer is not known", r.tries)})
	}
	return all
}

// leaves reports whether the time of a host's release can be foreseen.
func (s *State) leaves(h *host) bool {
	if h.allocated.IsZero() || s.cfg.ReportOnly {
		return false
	}
	switch h.phase {
	case Requested, Unknown, Lost:
		return false
	case Failed:
		return !h.occupied
	}
	return true
}

// why is why a host is in its phase, for people.
func (s *State) why(h *host) string {
	switch h.phase {
	case Requested:
		return "allocated, and not in AWS's lists yet"
	case Reserved:
		if h.res != nil && h.res.launch.IsZero() {
			return "granted, and no launch was told of yet"
		}
		return "its launch is not in AWS's lists yet"
	case Scrubbing:
		return h.whyScrubbing()
	case Settling:
		return "AWS says that it is available since a moment"
	case Resting:
		return h.restWhy
	case Failed:
		return "AWS says that it failed for good"
	case Unknown:
		return "AWS calls its state " + h.aws
	case Lost:
		return "AWS does not list it any more"
	case Busy:
		if h.alarmed&alarmStrange != 0 {
			return "the pool gave it to nobody for what is on it since " + s.outer(h.busy).Format(time.RFC3339)
		}
	}
	if h.missing > 0 {
		return "the last list has it not"
	}
	return ""
}

func (h *host) whyScrubbing() string {
	switch {
	case h.scrub != nil && h.scrub.ended:
		return "idle, to be scrubbed: its instance ended"
	case h.scrub != nil:
		return "idle, to be scrubbed: an instance is started and ended on it"
	}
	return "AWS scrubs it, unpaid"
}

// Owner reports whether this node owns the pool, as far as the State was told.
func (s *State) Owner() bool { return s.owner }

// Draining reports whether the pool is being drained.
func (s *State) Draining() bool { return s.draining }
