package pool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// world is AWS as the pool may meet it at its worst: it obeys the rules of
// dedicated hosts, and nothing else can be relied on. Lists are late by up to
// cloud.Settled, host by host; answers are lost; capacity comes and goes.
type world struct {
	dice   *rand.Rand
	now    time.Time
	minAge time.Duration
	lag    time.Duration // of lists at most
	kind   bool          // nothing goes wrong by chance any more
	outage bool          // no call is answered
	dry    map[string]bool
	quota  int

	hosts     []*realHost
	byToken   map[string]*realHost
	instances []*instance
	made      int
	calls     map[string]int
	tooYoung  int // releases that were refused for that
	swept     int // scrub instances that nobody ended
}

// realHost is a host as it is.
type realHost struct {
	id, typ, zone, token string
	born, gone           time.Time
	state                string
	on                   *instance // active on it
	busyUntil            time.Time // AWS calls it occupied until
	pendingSince         time.Time
	pendingFor           time.Duration // in all
	past                 []version
}

// version is what a list of its time says.
type version struct {
	since time.Time
	cloud.Host
}

// instance is one on a host.
type instance struct {
	id, token string
	scrub     bool
	host      *realHost
	born      time.Time
	end       time.Time // of itself
	active    bool
}

func newWorld(dice *rand.Rand, minAge time.Duration) *world {
	return &world{
		dice: dice, now: at("2026-02-27 22:00"), minAge: minAge, lag: cloud.Settled - time.Second, dry: map[string]bool{}, quota: 1000, byToken: map[string]*realHost{}, calls: map[string]int{},
	}
}

var errUnsure = errors.New("no answer") // as of the network: nothing is known

// chance is true so often, and never in a kind world.
func (w *world) chance(p float64) bool { return !w.kind && w.dice.Float64() < p }

func (w *world) between(a, b time.Duration) time.Duration {
	return a + time.Duration(w.dice.Int64N(int64(b-a)+1))
}

// note keeps the host's present for late lists.
func (w *world) note(h *realHost) {
	d := cloud.Host{ID: h.id, Type: h.typ, Zone: h.zone, State: h.state, AllocationTime: h.born, ClientToken: h.token, Free: 1}
	if h.on != nil {
		d.Instances, d.Free = []string{h.on.id}, 0
	}
	if h.state != cloud.HostAvailable {
		d.Free = w.dice.IntN(3) - 1
	}
	h.past = append(h.past, version{w.now, d})
	for len(h.past) > 1 && h.past[1].since.Before(w.now.Add(-2*cloud.Settled)) {
		h.past = h.past[1:]
	}
}

// set changes a host's state.
func (w *world) set(h *realHost, state string) {
	if h.state == cloud.HostPending {
		h.pendingFor += w.now.Sub(h.pendingSince)
	}
	h.state = state
	if state == cloud.HostPending {
		h.pendingSince = w.now
	}
	w.note(h)
}

// live are the hosts that are not released.
func (w *world) live() (live []*realHost) {
	for _, h := range w.hosts {
		if h.gone.IsZero() {
			live = append(live, h)
		}
	}
	return live
}

func (w *world) host(id string) *realHost {
	for _, h := range w.hosts {
		if h.id == id {
			return h
		}
	}
	return nil
}

// list is what DescribeHosts says now.
func (w *world) list() []cloud.Host {
	w.calls["list"]++
	var out []cloud.Host
	for _, h := range w.hosts {
		as := w.now
		if w.chance(0.3) {
			as = w.now.Add(-w.between(0, w.lag))
		}
		for _, v := range slices.Backward(h.past) {
			if !v.since.After(as) {
				out = append(out, v.Host)
				break
			}
		}
	}
	w.dice.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// allocate is AllocateHosts.
func (w *world) allocate(a AllocateHost) (string, error) {
	w.calls["allocate"]++
	if h := w.byToken[a.ClientToken]; h != nil {
		return h.id, nil
	}
	switch {
	case w.chance(0.05):
		return "", cloud.NewError("RequestLimitExceeded", "too many")
	case w.dry[a.Zone]:
		return "", cloud.NewError("InsufficientHostCapacity", "none in %s", a.Zone)
	case len(w.live()) >= w.quota:
		return "", cloud.NewError("HostLimitExceeded", "limit of %d", w.quota)
	}
	w.made++
	h := &realHost{id: fmt.Sprintf("h-%04d", w.made), typ: a.Type, zone: a.Zone, token: a.ClientToken, born: w.now}
	w.hosts = append(w.hosts, h)
	w.byToken[a.ClientToken] = h
	w.set(h, cloud.HostAvailable)
	return h.id, nil
}

// launch is RunInstances on a host.
func (w *world) launch(host, token string, scrub bool) (string, error) {
	w.calls["launch"]++
	for _, i := range w.instances {
		if i.token == token {
			if !i.active {
				return "", cloud.NewError("IdempotentInstanceTerminated", "was %s", i.id)
			}
			return i.id, nil
		}
	}
	h := w.host(host)
	switch {
	case h == nil || !h.gone.IsZero():
		return "", cloud.NewError("InvalidHostID.NotFound", "no %s", host)
	case h.state != cloud.HostAvailable || h.on != nil || w.chance(0.05):
		return "", cloud.NewError("InsufficientCapacityOnHost", "%s is not free", host)
	case w.chance(0.02):
		return "", cloud.NewError("InvalidParameterValue", "a label may be wrong")
	}
	w.made++
	i := &instance{id: fmt.Sprintf("i-%04d", w.made), token: token, scrub: scrub, host: h, born: w.now, active: true}
	i.end = w.now.Add(w.between(time.Minute, 3*time.Hour))
	if scrub {
		i.end = w.now.Add(48 * time.Hour) // the lease, after which it is swept
	}
	h.on = i
	w.instances = append(w.instances, i)
	w.note(h)
	return i.id, nil
}

// terminate is TerminateInstances.
func (w *world) terminate(id string) error {
	w.calls["terminate"]++
	for _, i := range w.instances {
		if i.id != id {
			continue
		}
		if w.now.Sub(i.born) < time.Minute && w.chance(0.3) {
			return cloud.NewError("InvalidInstanceID.NotFound", "no %s", id)
		}
		w.ended(i)
		return nil
	}
	return cloud.NewError("InvalidInstanceID.NotFound", "no %s", id)
}

// ended has the host of an instance scrubbed.
func (w *world) ended(i *instance) {
	if !i.active {
		return
	}
	i.active = false
	h := i.host
	h.on = nil
	if !h.gone.IsZero() {
		return
	}
	if w.minAge == 0 || h.state != cloud.HostAvailable {
		w.note(h)
		return
	}
	h.busyUntil = w.now.Add(w.between(40*time.Minute, 270*time.Minute))
	if !w.kind && w.dice.IntN(200) == 0 {
		h.busyUntil = w.now.Add(w.between(5*time.Hour, 20*time.Hour))
	}
	w.set(h, cloud.HostPending)
}

// release is ReleaseHosts.
func (w *world) release(ids []string) (released []string, refused map[string]*cloud.Error) {
	w.calls["release"]++
	refused = map[string]*cloud.Error{}
	for _, id := range ids {
		h := w.host(id)
		switch {
		case h == nil || !h.gone.IsZero():
			refused[id] = cloud.NewError("InvalidHostID.NotFound", "no %s", id)
		case w.now.Sub(h.born) < w.minAge:
			w.tooYoung++
			refused[id] = cloud.NewError("Client.HostMinAllocationPeriodUnexpired", "You can release this host any time after %s.",
				h.born.Add(w.minAge).Format(time.RFC3339Nano))
		case h.on != nil || h.state == cloud.HostPending || w.chance(0.1):
			refused[id] = cloud.NewError("Client.InvalidHost.Occupied", "it is occupied")
		case w.chance(0.05):
			refused[id] = cloud.NewError([]string{"InternalError", "SomethingNew"}[w.dice.IntN(2)], "no reason")
		default:
			w.releaseNow(h, cloud.HostReleased)
			released = append(released, id)
		}
	}
	return released, refused
}

func (w *world) releaseNow(h *realHost, state string) {
	if h.on != nil {
		h.on.active, h.on = false, nil
	}
	w.set(h, state)
	h.gone = w.now
}

// pass lets the world go on by itself up to a time.
func (w *world) pass(to time.Time) {
	w.now = to
	for _, h := range w.hosts {
		if i := h.on; i != nil && !i.end.After(w.now) {
			if i.scrub {
				w.swept++
			}
			w.ended(i)
		}
		if h.gone.IsZero() && h.state == cloud.HostPending && !h.busyUntil.After(w.now) {
			w.set(h, cloud.HostAvailable)
		}
		if h.gone.IsZero() && h.state == "under-assessment" && (w.kind || w.dice.IntN(20) == 0) {
			w.set(h, cloud.HostAvailable)
		}
	}
	// A released host is listed as such for an hour.
	w.hosts = slices.DeleteFunc(w.hosts, func(h *realHost) bool { return !h.gone.IsZero() && w.now.Sub(h.gone) > time.Hour })
	w.instances = slices.DeleteFunc(w.instances, func(i *instance) bool { return !i.active && w.now.Sub(i.end) > 24*time.Hour })
}

// strike is a misfortune of its own accord.
func (w *world) strike() {
	live := w.live()
	switch w.dice.IntN(6) {
	case 0:
		w.dry["a"] = w.dice.IntN(4) == 0
	case 1:
		w.dry["b"] = w.dice.IntN(4) == 0
	case 2:
		w.quota = 1 + w.dice.IntN(12)
	case 3:
		w.outage = w.dice.IntN(6) == 0
	case 4, 5:
		if len(live) == 0 {
			return
		}
		h := live[w.dice.IntN(len(live))]
		switch {
		case h.state == cloud.HostAvailable && h.on == nil && w.dice.IntN(4) > 0:
			w.set(h, "under-assessment")
		case h.state == cloud.HostAvailable && w.dice.IntN(8) == 0:
			w.set(h, cloud.HostPermanentFailure)
		case h.state == cloud.HostPermanentFailure && w.dice.IntN(4) == 0:
			w.releaseNow(h, cloud.HostReleasedFailure)
		case w.dice.IntN(40) == 0:
			w.releaseNow(h, cloud.HostReleased) // somebody did that by hand
		}
	}
}
