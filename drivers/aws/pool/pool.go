// Package pool decides what happens to the dedicated hosts of one pool: which
// request gets which host, and when a host is allocated, scrubbed and released.
//
// It is a state machine and nothing else: State.Step takes the time and an
// Event and returns Actions. It does no I/O, starts no goroutine, and asks no
// clock; the same steps give the same actions. Who uses it carries the actions
// out and tells their results as events: the driver at EC2, the simulator on
// paper, the tests in a hostile world. DESIGN.md has the states and invariants.
package pool

import (
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// ActionID names an action in the event that tells its result. It is never 0
// and grows with each action of one State.
type ActionID uint64

// Event is what happened: one of the types of this file.
type Event interface{ event() }

// Want asks for a host. It is answered by a Grant or a Refuse, at once or
// later. To ask again is allowed at any time and keeps the place in the queue;
// a token that has a host gets the same one again.
type Want struct {
	Token string
	// Type is the instance type that has to fit; empty: the pool's.
	Type string
	// Zones are where the host may be; none: everywhere.
	Zones []string
	// Since is when it first asked, and so its place in the queue; zero: now.
	Since time.Time
	// Until is when it gives up; zero: never.
	Until time.Time
}

// Cancel says that nothing was launched for the token, and nothing will be. Of
// a token that is not known it is no mistake.
type Cancel struct{ Token string }

// Launched tells how the launch for a Grant ended. Err nil: Instance was
// started. An error of the kind cloud.NoHostCapacity: the host refused, it is
// left alone for a while. One that leaves open whether something was started
// (see cloud.Undone) keeps the host reserved until the lists tell.
type Launched struct {
	Token    string
	Instance string
	Err      error
}

// Described tells what hosts there are: the answer to Describe, or one that
// came by itself.
type Described struct {
	// Action is the Describe that it answers, and so says what it can not know
	// of yet; 0: it came by itself, and Sent says it.
	Action ActionID
	// Sent is when the request was sent; zero without Action: the answer is of
	// this instant (a simulation knows).
	Sent time.Time
	// Hosts are those with the pool's tags, whatever their type, zone and state.
	Hosts []cloud.Host
	// Partial: hosts that are not named are as before, and of an answer that is
	// all there is to know. Else they are missing.
	Partial bool
	Err     error // the list is not known
}

// Allocated is the result of AllocateHost.
type Allocated struct {
	Action ActionID
	Host   string
	Err    error
}

// Released is the result of ReleaseHosts, as cloud.API has it.
type Released struct {
	Action   ActionID
	Released []string
	Refused  map[string]*cloud.Error
	Err      error // of the request as a whole
}

// ScrubStarted is the result of StartScrub.
type ScrubStarted struct {
	Action   ActionID
	Instance string
	Err      error
}

// ScrubEnded is the result of EndScrub: nil if the instance is ending or gone.
type ScrubEnded struct {
	Action ActionID
	Err    error
}

// Drain begins or ends the draining of the pool: nobody gets a host, and hosts
// are released as soon as they are free and old enough.
type Drain struct{ On bool }

// Own says whether this node owns the pool now. A State begins as if it did
// not. Without owning it asks for nothing at AWS, and refuses whoever wants a host.
type Own struct {
	Owner bool
	// First: nobody ever owned the pool before this process of this node, so
	// nobody can have anything under way there.
	First bool
	// Other: another node is known to own it, so that what was saved as its owner
	// is old.
	Other bool
}

// Look asks for a Describe soon, because something changed outside.
type Look struct{}

// Tick says that time passed; see State.Next.
type Tick struct{}

func (Want) event()         {}
func (Cancel) event()       {}
func (Launched) event()     {}
func (Described) event()    {}
func (Allocated) event()    {}
func (Released) event()     {}
func (ScrubStarted) event() {}
func (ScrubEnded) event()   {}
func (Drain) event()        {}
func (Own) event()          {}
func (Look) event()         {}
func (Tick) event()         {}

// Action is what is to be done: one of the types below. Those with an ID have
// a result, which is told in the event of the same name. What must not be
// forgotten of them is in State.Saved: it is to be stored before they are
// carried out. A result that never comes is taken for one that is not sure
// after Config.ActionTimeout.
type Action interface{ action() }

// Describe asks for the list of the pool's hosts, sent after this action.
type Describe struct{ ID ActionID }

// AllocateHost asks for one host. The token is the same when it is asked again.
type AllocateHost struct {
	ID          ActionID
	Slot        int // the lowest that no other host has, from 0
	Zone        string
	Type        string
	ClientToken string    // 64 hex
	Decided     time.Time // the same too, for tags: the request must not differ
	// Again: it was asked for before, maybe by an earlier process, and what came
	// of that is not known.
	Again bool
}

// ReleaseHosts asks to release the hosts, in one request.
type ReleaseHosts struct {
	ID    ActionID
	Hosts []string
}

// StartScrub asks for an instance on the host whose end has the host scrubbed.
// The token is the same when it is asked again.
type StartScrub struct {
	ID          ActionID
	Host        string
	Zone        string
	Type        string
	ClientToken string    // 64 hex
	Decided     time.Time // the same too, for tags: the request must not differ
	// Again: it was asked for before, maybe by an earlier process.
	Again bool
	// Shown: lists show by now what was made when it was asked for first.
	Shown bool
}

// EndScrub asks to terminate the instance of a StartScrub.
type EndScrub struct {
	ID       ActionID
	Host     string
	Instance string
}

// Grant gives a host to a token. The launch has to be sent before Until.
type Grant struct {
	Token string
	Host  string
	Zone  string
	Until time.Time
}

// Refuse tells a token that it gets no host, and why. It is forgotten then.
type Refuse struct {
	Token  string
	Reason string
}

// Alarm is for a person: something costs money or fails for good. The same
// alarm is not repeated while its cause lasts.
type Alarm struct {
	Host string // empty: it is about the pool
	Text string
}

func (Describe) action()     {}
func (AllocateHost) action() {}
func (ReleaseHosts) action() {}
func (StartScrub) action()   {}
func (EndScrub) action()     {}
func (Grant) action()        {}
func (Refuse) action()       {}
func (Alarm) action()        {}
