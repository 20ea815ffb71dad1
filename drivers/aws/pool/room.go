package pool

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Room is what requests more for the pool's type could be served with at one
// moment. It travels between nodes of different versions: a field that is there
// keeps its meaning.
type Room struct {
	// Free are the hosts that are free, or on their way, by zone.
	Free map[string]int `json:"free,omitempty"`
	// New is how many hosts more may be allocated, each in any of Zones.
	New   int      `json:"new,omitempty"`
	Zones []string `json:"zones,omitempty"`
	// Waiting are those who asked before.
	Waiting []Waiting `json:"waiting,omitempty"`
	// Why is why there may be none for who asks now, for people.
	Why string `json:"why,omitempty"`
}

// Waiting are requests that are content with the same zones; with any, if there
// are none.
type Waiting struct {
	Zones []string `json:"zones,omitempty"`
	N     int      `json:"n"`
}

// Capacity is how many requests more for the pool's type could be served now,
// wherever.
func (s *State) Capacity() int { return s.Room().For(nil) }

// Room is what there is for requests for the pool's type. There is none while the
// pool may not act, or does not know what there is.
func (s *State) Room() Room {
	r := Room{Why: s.whyNone()}
	if !s.acts() || s.draining || s.blind() {
		return r
	}
	r.Free = map[string]int{}
	for _, h := range s.hosts {
		if (h.phase == Available || h.phase == Requested) && h.missing == 0 && h.typ == s.cfg.Type {
			r.Free[h.zone]++
		}
	}
	if s.doubtful() == nil {
		s.obtainable(&r)
	}
	r.Waiting = s.queue.kinds(s.cfg.Type)
	return r
}

// obtainable adds the hosts that are asked for, or may be.
func (s *State) obtainable(r *Room) {
	for _, q := range s.requests {
		if q.comes != nil && q.Type == s.cfg.Type {
			r.Free[q.Zone]++
		}
	}
	if s.allocate.pause.After(s.now) {
		return
	}
	if r.Zones = s.wetZones(); len(r.Zones) > 0 {
		r.New = max(0, s.cfg.Max-s.live())
	}
}

// kinds are those who wait for a type, by their zones.
func (q *queue) kinds(typ string) []Waiting {
	byZones := map[string]Waiting{}
	for _, w := range q.order {
		if w.Type != typ {
			continue
		}
		zones := slices.Compact(slices.Sorted(slices.Values(w.Zones)))
		key := strings.Join(zones, " ")
		byZones[key] = Waiting{zones, byZones[key].N + 1}
	}
	return slices.SortedFunc(maps.Values(byZones), func(a, b Waiting) int { return slices.Compare(a.Zones, b.Zones) })
}

// For is how many requests more could be served in one of the zones; in any, if
// there are none. Who waits is served before, with what leaves the most.
func (r Room) For(zones []string) int {
	all := r.fit(zones)
	if len(r.Waiting) == 0 || all == 0 { // as most often, and it is asked at each step
		return all
	}
	return r.served(append(slices.Clone(r.Waiting), Waiting{zones, all})) - r.served(r.Waiting)
}

// fit is how many hosts there are in the zones, and may be, whoever waits.
func (r Room) fit(zones []string) (n int) {
	for zone, free := range r.Free {
		if within(zones, zone) {
			n += free
		}
	}
	if anyWithin(zones, r.Zones) {
		n += r.New
	}
	return n
}

// served is how many of the requests could be served together.
func (r Room) served(kinds []Waiting) (n int) {
	s := sharing{r, kinds, maps.Clone(r.Free), make([]map[string]int, len(kinds))}
	if s.left == nil {
		s.left = map[string]int{}
	}
	s.left[anew] = r.New
	for i, kind := range kinds {
		s.took[i] = map[string]int{}
		for want := kind.N; want > 0; {
			got := s.give(i, want, map[string]bool{})
			if got == 0 {
				break
			}
			want -= got
			n += got
		}
	}
	return n
}

// anew stands for a zone where it is about hosts that are to be allocated: in
// which zone that is done is decided then.
const anew = ""

// sharing is what is left of a Room when its hosts are given to requests.
type sharing struct {
	Room
	kinds []Waiting
	left  map[string]int   // hosts, by zone
	took  []map[string]int // the same, of each kind
}

// give gives a kind up to so many hosts, of one zone, and returns how many.
// Where all are taken that would do, another kind makes do with others. Zones in
// seen were tried.
func (s *sharing) give(kind, want int, seen map[string]bool) int {
	for zone, left := range s.left {
		if seen[zone] || !s.does(zone, kind) {
			continue
		}
		seen[zone] = true
		if got := min(want, left); got > 0 {
			s.left[zone] -= got
			s.took[kind][zone] += got
			return got
		}
		for other, took := range s.took {
			if other == kind || took[zone] == 0 {
				continue
			}
			if got := s.give(other, min(want, took[zone]), seen); got > 0 {
				took[zone] -= got
				s.took[kind][zone] += got
				return got
			}
		}
	}
	return 0
}

// does reports whether a host of the zone will do for a kind.
func (s *sharing) does(zone string, kind int) bool {
	if zone == anew {
		return anyWithin(s.kinds[kind].Zones, s.Zones)
	}
	return within(s.kinds[kind].Zones, zone)
}

// Trouble is why a request in one of the zones would have to wait, for people.
func (r Room) Trouble(zones []string) string {
	var elsewhere []string
	for _, zone := range slices.Sorted(maps.Keys(r.Free)) {
		if r.Free[zone] > 0 && !within(zones, zone) {
			elsewhere = append(elsewhere, zone)
		}
	}
	switch {
	case r.New > 0 && !anyWithin(zones, r.Zones):
		return "of the zones asked for it can allocate in none, but in " + strings.Join(r.Zones, ", ")
	case len(elsewhere) > 0:
		return fmt.Sprintf("its free hosts are in %s, and %s", strings.Join(elsewhere, ", "), r.Why)
	}
	return r.Why
}

// Grew reports whether there is more than before for somebody.
func (r Room) Grew(before Room) bool {
	for _, room := range []Room{before, r} {
		for _, zone := range slices.Concat(room.Zones, slices.Collect(maps.Keys(room.Free))) {
			if one := []string{zone}; r.For(one) > before.For(one) {
				return true
			}
		}
	}
	return r.For(nil) > before.For(nil)
}

// within reports whether a zone is one of those that will do, which are all if
// there are none.
func within(zones []string, zone string) bool { return len(zones) == 0 || slices.Contains(zones, zone) }

func anyWithin(zones, of []string) bool {
	return slices.ContainsFunc(of, func(zone string) bool { return within(zones, zone) })
}

// whyNone is why who asks now may get no host.
func (s *State) whyNone() string {
	if why := s.closed(); why != "" {
		return why
	}
	switch {
	case s.look.failures > 0 && (s.blind() || !s.quarantine.IsZero() && !s.quarantine.After(s.now)):
		return "the hosts can not be listed: " + s.look.why
	case s.blind():
		return "the hosts are not listed yet"
	case !s.quarantine.IsZero():
		return fmt.Sprintf("the pool was taken over lately: until %s it waits for what others may have begun there",
			s.outer(s.quarantine).UTC().Format(time.RFC3339))
	case s.allocate.pause.After(s.now):
		return s.allocate.why
	case s.live() >= s.cfg.Max:
		return s.full()
	case len(s.wetZones()) == 0:
		return "AWS has no capacity for " + s.cfg.Type + " in the zones: " + s.allocate.dryWhy
	case s.doubtful() != nil:
		return s.whyDoubtful(s.doubtful())
	}
	return "hosts are on their way"
}

// full says what the hosts of a pool do that may have no more of them.
func (s *State) full() string {
	var parts []string
	for i, n := range s.count {
		if phase := Phase(i); phase == Requested {
			n += len(s.requests)
		} else if phase == Lost {
			continue
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, Phase(i)))
		}
	}
	if s.listedGhosts > 0 {
		parts = append(parts, fmt.Sprintf("%d released, and still listed", s.listedGhosts))
	}
	text := fmt.Sprintf("it has %d hosts, and may have %d", s.live(), s.cfg.Max)
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	return text
}
