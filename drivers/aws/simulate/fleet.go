package simulate

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
)

// fleet are the hosts of a pool at AWS.
type fleet struct {
	hosts  []host  // all that there ever were
	ours   []int32 // those that are not released, by number
	inZone map[string]int
	left   []int64 // when hosts were released that may still count for the quota
}

// host is a dedicated host at AWS.
type host struct {
	id        string
	zone      string
	allocated int64
	released  int64 // 0: it is ours
	is        measure
	since     int64
	spent     amounts
	job       int32    // that is on it, if it is starting or executing
	instance  []string // that is on it: none or one
	going     bool     // its instance is ending
}

// hostPrefix is what the number of a host follows in its id.
const hostPrefix = "h-"

func newFleet() fleet { return fleet{inZone: map[string]int{}} }

// do carries an action of the pool out, as AWS would.
func (w *world) do(action pool.Action) {
	switch a := action.(type) {
	case pool.Describe:
		w.answer(pool.Described{Action: a.ID, Partial: true}) // all that changed was told
	case pool.AllocateHost:
		id, err := w.allocate(a)
		w.answer(pool.Allocated{Action: a.ID, Host: id, Err: err})
	case pool.ReleaseHosts:
		w.answer(w.release(a))
	case pool.StartScrub:
		instance, err := w.occupy(a.Host, cleaning)
		w.answer(pool.ScrubStarted{Action: a.ID, Instance: instance, Err: err})
	case pool.EndScrub:
		w.answer(pool.ScrubEnded{Action: a.ID, Err: w.endScrub(a)})
	case pool.Grant:
		w.launch(a)
	case pool.Refuse:
		w.failed = fmt.Errorf("the pool refuses job %s: %s", a.Token, a.Reason)
	}
}

func (w *world) answer(e pool.Event) { w.answers = append(w.answers, e) }

// allocate makes a host, if the account and the zone have room for it.
func (w *world) allocate(a pool.AllocateHost) (string, error) {
	if len(w.ours) >= w.Max {
		w.failed = fmt.Errorf("the pool allocates a host beyond its maximum of %d", w.Max)
		return "", w.failed
	}
	for len(w.left) > 0 && w.left[0]+seconds(w.QuotaLag) <= w.now {
		w.left = w.left[1:]
	}
	if w.Quota > 0 && len(w.ours)+len(w.left) >= w.Quota {
		return "", cloud.NewError("HostLimitExceeded", "the limit of %d hosts is reached", w.Quota)
	}
	if most, bounded := w.Capacity[a.Zone]; bounded && w.inZone[a.Zone] >= most {
		return "", cloud.NewError("InsufficientHostCapacity", "the zone %s has no host left", a.Zone)
	}
	n := int32(len(w.hosts)) //nolint:gosec // a host is a day: there are fewer than jobs
	h := host{id: hostPrefix + strconv.Itoa(len(w.hosts)), zone: a.Zone, allocated: w.now, since: w.now, is: idle}
	w.hosts = append(w.hosts, h)
	w.ours = append(w.ours, n)
	w.inZone[a.Zone]++
	w.moved = w.now
	w.meter.count[idle]++
	w.show(n)
	return h.id, nil
}

// release releases what is idle and old enough.
func (w *world) release(a pool.ReleaseHosts) pool.Released {
	r := pool.Released{Action: a.ID, Refused: map[string]*cloud.Error{}}
	for _, id := range a.Hosts {
		n, h, err := w.host(id)
		switch oldEnough := h.allocated + seconds(w.rule()); {
		case err != nil:
			r.Refused[id] = cloud.NewError("InvalidHostID.NotFound", "%v", err)
		case h.is != idle:
			r.Refused[id] = cloud.NewError("Client.InvalidHost.Occupied", "host %s is occupied", id)
		case w.now < oldEnough:
			r.Refused[id] = cloud.NewError("Client.HostMinAllocationPeriodUnexpired",
				"You can release this host any time after %s.", at(oldEnough).Format(time.RFC3339))
		default:
			h.spent[idle] += w.now - h.since
			h.since, h.released = w.now, w.now
			w.meter.count[idle]--
			i, _ := slices.BinarySearch(w.ours, n)
			w.ours = slices.Delete(w.ours, i, i+1)
			w.inZone[h.zone]--
			w.left = append(w.left, w.now)
			w.moved = w.now
			r.Released = append(r.Released, id)
			w.show(n)
		}
	}
	return r
}

// rule is AWS's own minimum, which no configuration makes longer.
func (w *world) rule() time.Duration { return min(w.MinAge, pool.MacMinAge) }

// host finds one that is ours.
func (w *world) host(id string) (int32, *host, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(id, hostPrefix))
	if err != nil || n < 0 || n >= len(w.hosts) || w.hosts[n].id != id || w.hosts[n].released != 0 {
		return 0, &host{}, fmt.Errorf("there is no host %q, or not any more", id)
	}
	return int32(n), &w.hosts[n], nil //nolint:gosec // a host is a day: there are fewer than jobs
}

// occupy starts an instance on a host that is free.
func (w *world) occupy(id string, to measure) (string, error) {
	n, h, err := w.host(id)
	if err != nil {
		return "", cloud.NewError("InvalidHostID.NotFound", "%v", err)
	}
	if h.is != idle {
		return "", cloud.NewError("InsufficientCapacityOnHost", "host %s is not free", id)
	}
	name := strconv.AppendInt(append(make([]byte, 0, 32), "i-"...), int64(n), 10)
	name = strconv.AppendInt(append(name, '-'), w.now, 10)
	h.instance = append(h.instance[:0], string(name))
	w.turn(h, to)
	if to != cleaning { // the pool knows of its own, whose end it sees
		w.show(n)
	}
	return h.instance[0], nil
}

// endScrub ends the instance that was there for the scrubbing.
func (w *world) endScrub(a pool.EndScrub) error {
	n, h, err := w.host(a.Host)
	if err != nil {
		return cloud.NewError("InvalidInstanceID.NotFound", "%v", err)
	}
	if h.is == cleaning && len(h.instance) > 0 && h.instance[0] == a.Instance && !h.going {
		h.going = true
		w.foreseeHost(n, goes, seconds(w.Shutdown))
	}
	return nil
}

// launch starts a job on the host that it was granted.
func (w *world) launch(g pool.Grant) {
	job, err := strconv.Atoi(g.Token)
	if err != nil || job < 0 || job >= len(w.jobs) || w.waits[job] != waiting {
		w.failed = errors.New("the pool grants a host to " + g.Token + ", which is no job that waits")
		return
	}
	instance, err := w.occupy(g.Host, starting)
	w.answer(pool.Launched{Token: g.Token, Instance: instance, Err: err})
	if err != nil {
		return
	}
	n, h, _ := w.host(g.Host) // it was found just now
	h.job = int32(job)        //nolint:gosec // of 20 million at most
	wait := w.now - w.jobs[job].Arrival
	if wait > math.MaxInt32 {
		w.failed = fmt.Errorf("job %d waits for 68 years: want a larger max than %d", job, w.Max)
		return
	}
	w.waits[job] = int32(wait)
	w.started++
	w.moved = w.now
	w.meter.count[queued]--
	w.foreseeHost(n, boots, w.Boot.draw(w.random))
}

// describe is what DescribeHosts says of a host.
func (w *world) describe(of int32) cloud.Host {
	h := &w.hosts[of]
	d := cloud.Host{
		ID: h.id, Type: w.Type, Zone: h.zone, State: cloud.HostAvailable, AllocationTime: at(h.allocated), Instances: h.instance,
	}
	switch {
	case h.released != 0:
		d.State, d.ReleaseTime = cloud.HostReleased, at(h.released)
	case h.is == pending:
		d.State = cloud.HostPending
	case h.is == idle:
		d.Free = 1
	}
	return d
}
