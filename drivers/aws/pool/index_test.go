package pool

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// TestIndex: whatever happens to hosts that many wait for, after each step the
// index is what going through all hosts finds, and who waits counts on what
// going through all who wait would give it. A second State, which nobody looks
// into, does the same all the time.
func TestIndex(t *testing.T) {
	rounds := 10 // each of as many sequences as rapid is told
	switch {
	case needs.Long():
		rounds = 200
	case testing.Short():
		rounds = 2
	}
	seen := map[string]int{}
	for range rounds {
		rapid.Check(t, func(t *rapid.T) {
			c := newCrowd(t)
			for range rapid.IntRange(1, 60).Draw(t, "steps") {
				c.move()
				c.count(seen)
			}
		})
	}
	t.Logf("%v", seen)
	if testing.Short() {
		return // too little for all of it
	}
	for _, k := range []string{"counts on a host", "without", "grant", "allocate", "resend", "scrub", "release"} {
		if seen[k] == 0 {
			t.Errorf("it never came to %q", k)
		}
	}
}

// crowd is a pool with many hosts that come and go, and many who want them.
type crowd struct {
	*rapid.T
	state, second *State
	now           time.Time
	tokens        int
	open          []Action // not answered
	seen          map[string]int
	sent          map[string]bool // hosts that were asked for
}

func newCrowd(t *rapid.T) *crowd {
	of := func(name string, all ...time.Duration) time.Duration { return rapid.SampledFrom(all).Draw(t, name) }
	cfg := Config{
		Name: "mac", Origin: "node", Type: "mac2.metal", Zones: []string{"a", "b"}, Max: rapid.IntRange(0, 14).Draw(t, "max"), MinAge: MacMinAge,
		Patience: of("patience", 0, 20*time.Minute, 2*time.Hour, 5*time.Hour), PendingToAvailable: of("settle", 0, 3*time.Minute),
		ScrubbingDelay: of("scrubbing delay", 0, 5*time.Minute), LookEvery: time.Hour, LookIdle: time.Hour,
	}
	c := &crowd{
		T: t, now: at("2026-03-02 08:00"), seen: map[string]int{}, sent: map[string]bool{},
		state: New(cfg, &Saved{Owned: true}), second: New(cfg, &Saved{Owned: true}),
	}
	c.step(Own{Owner: true})
	for n := range rapid.IntRange(0, 12).Draw(t, "hosts") {
		c.step(c.sight(n))
	}
	return c
}

// count adds up what came about.
func (c *crowd) count(seen map[string]int) {
	for _, w := range c.state.queue.order {
		if w.on != nil && w.on.host != nil {
			seen["counts on a host"]++
		}
	}
	seen["without"] += c.state.supply.without
	seen["most waiting"] = max(seen["most waiting"], c.state.queue.len())
	for k, n := range c.seen {
		seen[k] += n
	}
	clear(c.seen)
}

// step gives both an event, and checks what must hold.
func (c *crowd) step(e Event) {
	actions := c.state.Step(c.now, e)
	if again := c.second.Step(c.now, e); !reflect.DeepEqual(actions, again) {
		c.Fatalf("%T%+v: looked into it gives %+v, and else %+v", e, e, actions, again)
	}
	if a, b := c.state.Next(), c.second.Next(); !a.Equal(b) {
		c.Fatalf("%T%+v: looked into it is due at %v, and else at %v", e, e, a, b)
	}
	if err := consistent(c.state); err != nil {
		c.Fatalf("after %T%+v: %v", e, e, err)
	}
	for _, a := range actions {
		switch a := a.(type) {
		case Grant:
			c.seen["grant"]++
		case AllocateHost:
			c.seen["allocate"]++
			if c.sent[a.ClientToken] {
				c.seen["resend"]++
			}
			c.sent[a.ClientToken] = true
			c.open = append(c.open, a)
		case StartScrub, EndScrub:
			c.seen["scrub"]++
			c.open = append(c.open, a)
		case ReleaseHosts:
			c.seen["release"]++
			c.open = append(c.open, a)
		case Describe: // hosts are told of one by one
			c.open = append(c.open, a)
		}
	}
}

// move is something that happens.
func (c *crowd) move() {
	switch roll := rapid.IntRange(0, 99).Draw(c.T, "what"); {
	case roll < 30:
		c.want()
	case roll < 50:
		c.step(c.sight(rapid.IntRange(0, 11).Draw(c.T, "host")))
	case roll < 70:
		c.answer()
	case roll < 80:
		c.pass()
	case roll < 84:
		c.step(Cancel{c.token()})
	case roll < 88:
		err := rapid.SampledFrom([]error{nil, errors.New("reset"), cloud.NewError("InsufficientCapacityOnHost", "full")}).Draw(c.T, "launch")
		c.step(Launched{Token: c.token(), Instance: "i-1", Err: err})
	case roll < 93:
		c.step(c.list())
	case roll < 95:
		c.step(Drain{rapid.IntRange(0, 3).Draw(c.T, "drain") == 0})
	case roll < 97:
		c.step(Own{Owner: rapid.IntRange(0, 3).Draw(c.T, "own") > 0, Other: rapid.Bool().Draw(c.T, "other")})
	case roll < 98:
		c.restart()
	default:
		c.scrubbed()
	}
}

// token is one that waits, or waited.
func (c *crowd) token() string {
	return fmt.Sprint("t", rapid.IntRange(max(0, c.tokens-12), c.tokens).Draw(c.T, "token"))
}

// want is a request, of which many are for any host; some come once more.
func (c *crowd) want() {
	c.tokens++
	e := Want{Token: fmt.Sprint("t", c.tokens)}
	if rapid.IntRange(0, 5).Draw(c.T, "again") == 0 {
		e.Token = c.token()
	}
	e.Zones = rapid.SampledFrom([][]string{nil, nil, nil, {"a"}, {"b"}, {"c", "b"}}).Draw(c.T, "zones")
	e.Type = rapid.SampledFrom([]string{"", "", "", "mac1.metal"}).Draw(c.T, "type")
	minutes := rapid.SampledFrom([]int{0, 0, 0, 1, 30, 100, 500})
	if n := minutes.Draw(c.T, "since"); n > 0 {
		e.Since = c.now.Add(-time.Duration(n) * time.Minute)
	}
	if n := minutes.Draw(c.T, "until"); n > 0 {
		e.Until = c.now.Add(time.Duration(n) * time.Minute)
	}
	c.step(e)
}

// host is one as a list may have it.
func (c *crowd) host(n int) cloud.Host {
	h := cloud.Host{
		ID: fmt.Sprintf("h-%02d", n), Type: "mac2.metal", Zone: []string{"a", "b", "c"}[n%3], Free: 1,
		State:          rapid.SampledFrom([]string{"pending", "pending", "available", "available", "permanent-failure", "odd", "released"}).Draw(c.T, "state"),
		AllocationTime: c.now.Add(-time.Duration(rapid.SampledFrom([]int{0, 3, 20, 30}).Draw(c.T, "age")) * time.Hour),
	}
	if n%5 == 4 {
		h.Type = "mac1.metal"
	}
	if h.State == cloud.HostAvailable && rapid.IntRange(0, 3).Draw(c.T, "used") > 0 {
		h.Free, h.Instances = 0, []string{"i-1"}
	}
	return h
}

// sight is the truth about one host.
func (c *crowd) sight(n int) Event { return Described{Partial: true, Hosts: []cloud.Host{c.host(n)}} }

// list is a whole list, in which some are missing.
func (c *crowd) list() Event {
	e := Described{Sent: c.now.Add(-time.Duration(rapid.IntRange(0, 400).Draw(c.T, "seconds ago")) * time.Second)}
	if rapid.Bool().Draw(c.T, "sure") {
		e.Sent = time.Time{}
	}
	for n := range 12 {
		if c.state.byID[fmt.Sprintf("h-%02d", n)] != nil && rapid.IntRange(0, 4).Draw(c.T, "listed") > 0 {
			e.Hosts = append(e.Hosts, c.host(n))
		}
	}
	return e
}

// answer answers something that was asked, one way or another.
func (c *crowd) answer() {
	if len(c.open) == 0 {
		c.step(Look{})
		return
	}
	i := rapid.IntRange(0, len(c.open)-1).Draw(c.T, "which")
	asked := c.open[i]
	c.open = slices.Delete(c.open, i, i+1)
	err := rapid.SampledFrom([]error{
		nil, nil, nil, errors.New("reset"), cloud.NewError("InsufficientHostCapacity", "none"), cloud.NewError("RequestLimitExceeded", "too many"),
		cloud.NewError("Client.InvalidHost.Occupied", "used"),
	}).Draw(c.T, "error")
	switch a := asked.(type) {
	case Describe:
		c.step(Described{Action: a.ID, Partial: true, Err: err})
	case AllocateHost:
		e := Allocated{Action: a.ID, Err: err}
		if err == nil {
			e.Host = fmt.Sprintf("h-%02d", rapid.IntRange(0, 11).Draw(c.T, "host"))
		}
		c.step(e)
	case StartScrub:
		c.step(ScrubStarted{Action: a.ID, Instance: "i-1", Err: err})
	case EndScrub:
		c.step(ScrubEnded{Action: a.ID, Err: err})
	case ReleaseHosts:
		e := Released{Action: a.ID, Err: err}
		if err == nil {
			e.Released = a.Hosts
		}
		c.step(e)
	}
}

// pass lets time pass, to what is due or less far.
func (c *crowd) pass() {
	most := rapid.SampledFrom([]int{30, 300, 3600}).Draw(c.T, "at most")
	to := c.now.Add(time.Duration(rapid.IntRange(0, most).Draw(c.T, "seconds")) * time.Second)
	for range 20 {
		next := c.state.Next()
		if next.IsZero() || next.After(to) {
			break
		}
		c.now = later(c.now, next)
		c.step(Tick{})
	}
	c.now = later(c.now, to)
	c.step(Tick{})
}

// scrubbed has a host come back from AWS's scrub, which took so long.
func (c *crowd) scrubbed() {
	h := c.host(rapid.IntRange(0, 11).Draw(c.T, "host"))
	h.State, h.Instances, h.Free = cloud.HostPending, nil, 0
	c.step(Described{Partial: true, Hosts: []cloud.Host{h}})
	c.now = c.now.Add(time.Duration(rapid.IntRange(11, 200).Draw(c.T, "scrub")) * time.Minute)
	h.State, h.Free = cloud.HostAvailable, 1
	c.step(Described{Partial: true, Hosts: []cloud.Host{h}})
}

// restart goes on with what was saved.
func (c *crowd) restart() {
	saved := c.state.Saved()
	c.open = nil
	c.state, c.second = New(c.state.cfg, &saved), New(c.state.cfg, &saved)
	c.step(Own{Owner: true})
}
