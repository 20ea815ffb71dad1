package pool

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
)

// indexed is that the lists of the index, and what is expected, are what going
// through all hosts finds.
func indexed(s *State) error {
	var free, releasing, scrubbed []*host
	var comes []*coming
	for _, r := range s.requests {
		if r.comes != nil {
			comes = append(comes, r.comes)
		}
	}
	for _, h := range s.hosts {
		if h.phase == Available {
			free = append(free, h)
		}
		if h.releasing != nil {
			releasing = append(releasing, h)
		}
		if h.scrub != nil {
			scrubbed = append(scrubbed, h)
		}
		if h.comes != nil {
			comes = append(comes, h.comes)
		}
		if at, ok := s.returns(h); ok != (h.comes != nil) {
			return fmt.Errorf("host %s is %v: it comes %v, and is expected %v", h.id, h.phase, ok, h.comes != nil)
		} else if c := h.comes; ok && (c.host != h || c.request != nil || !c.at.Equal(at) || c.typ != h.typ || c.zone != h.zone) {
			return fmt.Errorf("host %s comes at %v, and is expected as %+v", h.id, at, c)
		}
	}
	slices.SortFunc(free, func(a, b *host) int {
		switch {
		case a.failures != b.failures:
			return a.failures - b.failures
		case !a.allocated.Equal(b.allocated):
			return b.allocated.Compare(a.allocated)
		}
		return compare(a.id, b.id)
	})
	byTime := slices.Clone(comes)
	slices.SortStableFunc(byTime, func(a, b *coming) int { return a.at.Compare(b.at) })
	for _, list := range []struct {
		name string
		same bool
	}{
		{"free", slices.Equal(s.index.free, free)}, {"releasing", slices.Equal(s.index.releasing, releasing)},
		{"scrubbed", slices.Equal(s.index.scrubbed, scrubbed)}, {"coming", slices.Equal(s.supply.coming, comes)},
		{"coming, by time", slices.Equal(s.supply.byTime, byTime)},
	} {
		if !list.same {
			return fmt.Errorf("the index of what is %s differs from what going through all hosts finds", list.name)
		}
	}
	return nil
}

// planned is that those who wait count on what they would if that was found
// anew in each step: by going through the queue, and for each through all hosts.
func planned(s *State) error {
	due := s.due
	defer func() { s.due = due }()
	want := reference(s)
	s.plan()
	got := demanded{counts: map[string]string{}, next: s.supply.next()}
	for _, w := range s.queue.order {
		if c := w.on; c != nil {
			got.counts[w.Token] = c.name()
			if c.by != w || c.place != w.place {
				return fmt.Errorf("%s counts on %s, on which counts %+v", w.Token, c.name(), c.by)
			}
		}
	}
	if n := len(s.queue.order); s.supply.planned != n || s.supply.without != n-len(got.counts) {
		return fmt.Errorf("of %d who wait %d are planned, %d without a host; %d have one", n, s.supply.planned, s.supply.without, len(got.counts))
	}
	s.due = time.Time{}
	resend, zones := s.demand()
	got.due, got.zones = s.due, zones
	for _, r := range resend {
		got.resend = append(got.resend, r.ClientToken)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(demanded{})); diff != "" {
		return fmt.Errorf("the plan: -found anew +kept:\n%s", diff)
	}
	return nil
}

// demanded is what those who wait need, and count on.
type demanded struct {
	counts        map[string]string
	next, due     time.Time
	resend, zones []string
}

func (c *coming) name() string {
	if c.request != nil {
		return "request " + c.request.ClientToken
	}
	return "host " + c.host.id
}

// reference finds it as the pool did before it kept a plan.
func reference(s *State) demanded {
	d := demanded{counts: map[string]string{}}
	var known []coming
	for _, r := range s.requests {
		if r.comes != nil {
			known = append(known, coming{request: r, typ: r.Type, zone: r.Zone})
		}
	}
	for _, h := range s.hosts {
		c := coming{host: h, typ: h.typ, zone: h.zone}
		switch {
		case h.phase == Requested:
		case s.cfg.Patience == 0 || h.missing > 0:
			continue
		case h.phase == Settling:
			c.at = h.settle
		case h.phase == Resting:
			c.at = h.rest
		case h.phase == Scrubbing && !h.pending.IsZero():
			if c.at = h.pending.Add(s.ScrubTimes().P95 + s.cfg.PendingToAvailable); !c.at.After(s.now) {
				continue
			}
		default:
			continue
		}
		known = append(known, c)
	}
	room, idle := s.cfg.Max-s.live(), s.cfg.Max-s.live() <= 0 && len(s.requests) == 0
	for _, w := range s.queue.order {
		patience := w.since.Add(s.cfg.Patience)
		i := slices.IndexFunc(known, func(c coming) bool { return !c.at.After(patience) && w.fits(c.typ, c.zone) })
		if i < 0 {
			zone := slices.IndexFunc(s.wetZones(), func(zone string) bool { return w.fits(s.cfg.Type, zone) })
			if room > 0 && zone >= 0 {
				d.zones = append(d.zones, s.wetZones()[zone])
				room--
			}
			continue
		}
		c := known[i]
		known = slices.Delete(known, i, i+1)
		d.counts[w.Token] = c.name()
		if !c.at.IsZero() {
			d.next = earlier(d.next, c.at)
		}
		if c.request != nil && s.live() <= s.cfg.Max {
			d.resend = append(d.resend, c.request.ClientToken)
		}
	}
	if !idle && d.next.After(s.now) {
		d.due = d.next
	}
	return d
}
