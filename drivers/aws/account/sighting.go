package account

import (
	"maps"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Sighting is an instance of this node, and when it was seen. Absence in one
// list is no proof that it is gone: lists lag behind (cloud.Settled).
type Sighting struct {
	cloud.Instance
	// First and Last are when the first and the last list that showed it were
	// asked for, or when its launch was answered.
	First, Last time.Time
	// Missing is when the first of the lists that lack it was asked for; zero
	// while it is in the lists, and once it is terminated.
	Missing time.Time
	// launched is when its launch was answered to this process, zero for what
	// was only seen in lists.
	launched time.Time
}

// Alive reports whether the instance may still run or be started again, as
// far as it is known. One that is missing is alive until lists are settled.
func (s Sighting) Alive() bool { return !cloud.Gone(s.State) }

// Work reports whether it is an environment, or was to be one.
func (s Sighting) Work() bool {
	p := s.Tags[cloud.TagPurpose]
	return p == "" || p == cloud.PurposeWork
}

// transient reports whether its state will change soon by itself.
func (s Sighting) transient() bool {
	switch s.State {
	case cloud.Pending, cloud.Stopping, cloud.ShuttingDown:
		return true
	}
	return !s.Missing.IsZero() && s.Alive()
}

// endedFor is how long what is terminated is remembered; EC2 does for an hour
// or so, and does not know it after that.
const endedFor = 2 * time.Hour

// sightings are those of one node, by the instance's id.
type sightings map[string]Sighting

// see is what is known after a list that was asked for at a time, and
// whether anything is different. What has ended stays ended, whatever a list
// says that lags behind.
func (old sightings) see(list []cloud.Instance, asked time.Time) (next sightings, changed bool) {
	next = maps.Clone(old)
	if next == nil {
		next = sightings{}
	}
	listed := make(map[string]bool, len(list))
	for _, inst := range list {
		listed[inst.ID] = true
		was, known := old[inst.ID]
		is := was.again(inst, asked)
		changed = changed || !known || !was.Missing.IsZero() || differs(was.Instance, is.Instance)
		next[inst.ID] = is
	}
	for id, was := range old {
		if listed[id] || !asked.After(was.Last) { // it may have begun after the list
			continue
		}
		is, forgotten := was.missed(asked)
		if forgotten {
			delete(next, id)
		} else {
			next[id] = is
		}
		changed = changed || forgotten || was.Missing.IsZero() != is.Missing.IsZero()
	}
	return next, changed
}

// missed is the sighting after a list without it, and whether that is enough
// to forget it. What is terminated is left out of most lists, and is
// remembered for longer than EC2 itself does: so that who asks late, hears
// that it has ended.
func (s Sighting) missed(asked time.Time) (next Sighting, forgotten bool) {
	if s.State == cloud.Terminated {
		return s, asked.Sub(s.Last) > endedFor
	}
	if s.Missing.IsZero() {
		s.Missing = asked
	}
	return s, asked.Sub(s.Missing) > cloud.Settled
}

// again is the sighting after a list showed it. The zero Sighting is of one
// that was not known.
func (s Sighting) again(inst cloud.Instance, asked time.Time) Sighting {
	if s.First.IsZero() {
		s.First = asked
	}
	if asked.After(s.Last) {
		s.Last = asked
	}
	if cloud.Gone(s.State) && !cloud.Gone(inst.State) || s.State == cloud.Terminated && inst.State == cloud.ShuttingDown {
		inst.State, inst.Reason = s.State, s.Reason
	}
	s.Missing = time.Time{}
	s.Instance = inst
	return s
}

// differs reports whether what others wait for is different.
func differs(a, b cloud.Instance) bool {
	return a.State != b.State || a.PrivateIP != b.PrivateIP || a.PublicIP != b.PublicIP || a.MAC != b.MAC ||
		a.Reason != b.Reason || len(a.Volumes) != len(b.Volumes) || !maps.Equal(a.Tags, b.Tags)
}
