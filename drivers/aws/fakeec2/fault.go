package fakeec2

import (
	"path"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Fault is something that goes wrong with calls.
type Fault struct {
	Action string // a pattern of path.Match, such as "Describe*"; empty: any
	Who    string // calls of this client, as said with As; empty: anybody's
	Skip   int    // so many calls pass first
	Times  int    // how often it happens; 0 is once, negative for ever

	// Done lets the service do the call all the same.
	Done bool
	// Hang lets no answer come: the caller waits as long as his context lets
	// him, or a minute.
	Hang bool
	// Err is what the caller gets; if nil, ErrLost with Done and ErrUnreachable without.
	Err error
}

// Storm is what goes wrong by chance; each number is the share of calls.
type Storm struct {
	Unreachable float64 // not done, and no answer of the service: the caller may know or not
	Lost        float64 // done, and no answer of the service
	Throttled   float64 // not done: RequestLimitExceeded
	Internal    float64 // InternalError, done or not
}

type faults struct {
	orders  []*Fault
	outage  time.Time // nobody reaches the service until then
	storm   Storm
	lag     Range
	latency Range
}

// verdict is what becomes of a call.
type verdict struct {
	undone bool // it does not reach the service, or is refused at its door
	hang   bool
	err    error // what the caller gets instead of the answer
}

// Inject lets calls go wrong from now on, until heal is called.
func (c *Cloud) Inject(f Fault) (heal func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.Times == 0 {
		f.Times = 1
	}
	order := &f
	c.faults.orders = append(c.faults.orders, order)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.faults.orders = slices.DeleteFunc(c.faults.orders, func(o *Fault) bool { return o == order })
	}
}

// Outage lets nobody reach the service for a while.
func (c *Cloud) Outage(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.outage = c.catchUp().Add(d)
}

// SetStorm lets calls go wrong by chance; the zero Storm ends it.
func (c *Cloud) SetStorm(s Storm) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.storm = s
}

// SetLag lets lists lag behind what happened, each thing and each call by its
// own time within the range: one list may show what the next does not. What is
// younger than that is NotFound to calls that name it. The range ends at 15
// minutes at most.
func (c *Cloud) SetLag(lag Range) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.lag = Range{min(lag.Min, remembered), min(lag.Max, remembered)}
}

// SetLatency lets each call take a time within the range, one half before it is
// done and one half after.
func (c *Cloud) SetLatency(latency Range) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.latency = latency
}

// latency is how long the request and its reply are on their way.
func (c *Cloud) latency() (request, reply time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.faults.latency.pick(c.random)
	return all / 2, all - all/2
}

// lagging is by how much somebody sees a thing late.
func (a *account) lagging() time.Duration { return a.faults.lag.pick(a.random) }

// judge says what becomes of a call at the door of the service.
func (a *account) judge(call Call, now time.Time) verdict {
	if now.Before(a.faults.outage) {
		return verdict{undone: true, err: a.silence()}
	}
	order := a.ordered(call)
	if order != nil && !order.Done {
		return order.verdict()
	}
	a.counts[call.Action]++
	if !a.admit(call.Action, now, 1) {
		return verdict{undone: true, err: errThrottled()}
	}
	if order != nil {
		return order.verdict()
	}
	return a.faults.storm.judge(a)
}

// silence is how it shows that the service is not there: the one time nobody
// answers, the other time a connection is taken and breaks.
func (a *account) silence() error {
	if a.random.IntN(2) == 0 {
		return ErrLost
	}
	return ErrUnreachable
}

// ordered is the fault that is meant for the call, if any.
func (a *account) ordered(call Call) *Fault {
	for _, f := range a.faults.orders {
		if f.Times == 0 || f.Who != "" && f.Who != call.Who {
			continue
		}
		if fits, err := path.Match(f.Action, call.Action); err == nil && f.Action != "" && !fits {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		return f
	}
	return nil
}

func (f *Fault) verdict() verdict {
	v := verdict{undone: !f.Done, hang: f.Hang, err: f.Err}
	switch {
	case v.err != nil || f.Hang:
	case f.Done:
		v.err = ErrLost
	default:
		v.err = ErrUnreachable
	}
	return v
}

func (s Storm) judge(a *account) verdict {
	if s == (Storm{}) {
		return verdict{}
	}
	chance := a.random.Float64()
	for _, one := range []struct {
		share float64
		verdict
	}{
		{s.Unreachable, verdict{undone: true, err: a.silence()}},
		{s.Lost, verdict{err: ErrLost}},
		{s.Throttled, verdict{undone: true, err: errThrottled()}},
		{s.Internal, verdict{undone: a.random.IntN(2) == 0, err: errInternal()}},
	} {
		if chance < one.share {
			return one.verdict
		}
		chance -= one.share
	}
	return verdict{}
}

func errThrottled() error {
	return cloud.NewError("RequestLimitExceeded", "Request limit exceeded.")
}

func errInternal() error {
	e := cloud.NewError("InternalError", "An internal error has occurred")
	e.Unsure = true
	return e
}
