package pool

import "time"

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
	Slot        int       `json:"slot"`
	Generation  uint64    `json:"generation"`
	Zone        string    `json:"zone"`
	Type        string    `json:"type"`
	ClientToken string    `json:"client_token"`
	Decided     time.Time `json:"decided"`
	// Tried is when it was last sent.
	Tried time.Time `json:"tried"`
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
}

// Saved is what a restart must not forget. It is to be stored whenever
// Revision differs, before the actions of the step are carried out.
type Saved struct {
	// Owned: the node owned the pool. One that did not know about everything
	// that is under way, and waits for Config.Settled before it acts.
	Owned        bool          `json:"owned"`
	Draining     bool          `json:"draining"`
	Generation   uint64        `json:"generation"`
	Requests     []Request     `json:"requests"`
	Reservations []Reservation `json:"reservations"`
	Scrubs       []Scrub       `json:"scrubs"`
	// Releasing are hosts that may be released while lists still show them.
	Releasing  []string        `json:"releasing"`
	ScrubTimes []time.Duration `json:"scrub_times"` // the last ones, oldest first
	ScrubCount int             `json:"scrub_count"`
}
