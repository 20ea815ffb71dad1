package pool

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// request is an open request for a host.
type request struct {
	Request
	action   ActionID  // the one under way; 0: none
	tried    time.Time // until then it may have been done
	tries    int
	restored bool      // it was sent before the restart, perhaps
	comes    *coming   // its host, to those who wait; nil: it is sealed
	retry    time.Time // not again before
	doubts   int       // how many tries in a row had no answer that is sure
	why      string    // of the last of them
}

// doubtfulAfter is after how many tries without a sure answer a request is not
// counted on any more, and somebody should know. It is tried again all the same.
const doubtfulAfter = 4

// allocation is what keeps the pool from allocating.
type allocation struct {
	dry      map[string]time.Time // zone -> no capacity there, not asked before
	dryWhy   string               // as AWS said it last
	pause    time.Time            // nothing is allocated before
	why      string               // of the pause
	failures int
	decided  mark   // when hosts were last asked for
	alarmed  string // the cause that a person was told
}

// allocateHosts asks for the hosts that those who wait need beyond what there
// is and comes, never beyond the maximum.
func (s *State) allocateHosts() {
	s.timeOutRequests()
	if s.queue.len() == 0 || !s.acts() || s.draining {
		return
	}
	if s.look.listed.at.IsZero() {
		return // what there is, is not known yet
	}
	if s.allocate.pause.After(s.now) {
		s.wake(s.allocate.pause)
		return
	}
	for _, zone := range s.cfg.Zones {
		s.wake(s.allocate.dry[zone])
	}
	resend, zones := s.demand()
	for _, r := range resend {
		s.send(r)
	}
	if len(zones) == 0 {
		return
	}
	if !s.recounted() {
		if s.look.asked.seq <= s.allocate.decided.seq {
			s.look.need = s.mark()
		}
		return
	}
	for _, zone := range zones {
		s.request(zone)
	}
	s.allocate.decided = s.mark()
}

// recounted reports whether a whole list is newer than the last hosts that
// were asked for, and no old news.
func (s *State) recounted() bool {
	l := s.look.listed
	return !l.at.IsZero() && l.knows(s.allocate.decided) && s.now.Sub(l.at) <= lookTimeout
}

// demand is what those who wait need: open requests to be sent again, and the
// zones of hosts to be asked for.
func (s *State) demand() (resend []*request, zones []string) {
	room := s.cfg.Max - s.live()
	if room <= 0 && len(s.requests) == 0 {
		return nil, nil
	}
	s.plan()
	s.wake(s.supply.next())
	if s.supply.without == 0 && len(s.requests) == 0 {
		return nil, nil
	}
	wet := s.wetZones()
	for _, w := range s.queue.order {
		if c := w.on; c != nil {
			if c.request != nil && s.live() <= s.cfg.Max {
				resend = append(resend, c.request)
			}
			continue
		}
		i := slices.IndexFunc(wet, func(zone string) bool { return w.fits(s.cfg.Type, zone) })
		if room > 0 && i >= 0 {
			zones = append(zones, wet[i])
			room--
		}
	}
	return resend, zones
}

// wetZones are the zones that may have capacity, best first.
func (s *State) wetZones() []string {
	var wet []string
	for _, zone := range s.cfg.Zones {
		if !s.allocate.dry[zone].After(s.now) {
			wet = append(wet, zone)
		}
	}
	return wet
}

// request asks for one host more.
func (s *State) request(zone string) {
	s.generation++
	r := &request{Request: Request{
		Slot: s.freeSlot(), Generation: s.generation, Zone: zone, Type: s.cfg.Type, Decided: s.wall,
		ClientToken: s.newToken("host", zone),
	}}
	s.open(r)
	s.send(r)
}

// open notes that there may be the host of a request.
func (s *State) open(r *request) {
	s.requests = append(s.requests, r)
	s.supply.asked++
	r.comes = &coming{no: s.supply.asked, request: r, typ: r.Type, zone: r.Zone}
	s.provide(r.comes)
}

// seal has a request not sent again, as it is not known any more that it makes
// a host: lists tell whether an earlier try did. So nobody counts on it.
func (s *State) seal(r *request) {
	if r.comes != nil {
		s.withdraw(r.comes)
		r.comes = nil
	}
}

// send asks for the host of a request, once more if need be: the token is the
// same, and so it is the same host.
func (s *State) send(r *request) {
	if r.action != 0 || r.retry.After(s.now) {
		s.wake(r.retry)
		return
	}
	r.tries++
	r.action, r.tried = s.nextID(), s.now
	if r.tries == 1 {
		s.save()
	}
	s.emit(AllocateHost{
		ID: r.action, Slot: r.Slot, Zone: r.Zone, Type: r.Type, ClientToken: r.ClientToken, Decided: r.Decided,
		Again: r.tries > 1 || r.restored,
	})
	s.wake(s.now.Add(s.cfg.ActionTimeout))
}

// freeSlot is the lowest number that no host and no request has.
func (s *State) freeSlot() int {
	taken := make([]bool, len(s.hosts)+len(s.requests)+1)
	take := func(slot int) {
		if slot >= 0 && slot < len(taken) {
			taken[slot] = true
		}
	}
	for _, h := range s.hosts {
		take(h.slot)
	}
	for _, r := range s.requests {
		take(r.Slot)
	}
	return slices.Index(taken, false)
}

// newToken is a client token that no other request has, of this node or of
// another, even if what was saved is lost.
func (s *State) newToken(kind, about string) string {
	text := append(strconv.AppendQuote(make([]byte, 0, 128), kind), ' ')
	text = append(text, s.names...)
	text = append(strconv.AppendQuote(text, about), ' ')
	text = append(strconv.AppendUint(text, s.generation, 10), ' ')
	sum := sha256.Sum256(strconv.AppendInt(text, s.wall.UnixNano(), 10))
	return hex.EncodeToString(sum[:])
}

// allocated takes in what became of a request.
func (s *State) allocated(e Allocated) {
	i := slices.IndexFunc(s.requests, func(r *request) bool { return r.action == e.Action })
	s.look.need = s.mark()
	if e.Action == 0 || i < 0 {
		return // given up on; what it made is listed, or the request was answered by a list
	}
	r := s.requests[i]
	r.action = 0
	switch {
	case e.Err == nil && e.Host != "":
		s.allocate.failures, s.allocate.alarmed = 0, ""
		if s.byID[e.Host] == nil && s.ghosts[e.Host] == nil {
			h := s.add(e.Host, r.Type, r.Zone)
			h.slot, h.changed = r.Slot, s.mark()
		}
		s.closeRequest(r)
	case e.Err == nil || !cloud.Undone(e.Err):
		r.tried = s.now
		r.retry = s.now.Add(backoff(30*time.Second, s.cfg.Settled, r.tries))
		s.doubt(r, e.Err)
	default:
		s.seal(r)
		if r.tries == 1 && !r.restored && !cloud.IsKind(e.Err, cloud.Mismatch) {
			s.closeRequest(r)
		}
		s.refusedHost(r.Zone, e.Err)
	}
}

// refusedHost remembers what an answer says about the next request.
func (s *State) refusedHost(zone string, err error) {
	a := &s.allocate
	switch cloud.KindOf(err) {
	case cloud.NoCapacity:
		a.dry[zone], a.dryWhy = s.now.Add(s.cfg.DryTime), err.Error()
		return
	case cloud.Quota:
		a.pause = s.now.Add(s.cfg.QuotaPause)
	default:
		a.failures++
		a.pause = s.now.Add(backoff(30*time.Second, max(30*time.Second, s.cfg.QuotaPause), a.failures))
	}
	a.why = err.Error()
	cause := a.why
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		cause = e.Code // words may differ each time: a request's id, a sum, a port
	}
	if cloud.IsKind(err, cloud.Throttled) || a.alarmed == cause || !s.owner {
		return
	}
	a.alarmed = cause
	s.emit(Alarm{Text: "no host can be allocated: " + a.why})
}

// doubt notes that it is not known what came of a request.
func (s *State) doubt(r *request, err error) {
	r.why = "it does not answer"
	if err != nil {
		r.why = err.Error()
	}
	if r.doubts++; r.doubts < doubtfulAfter {
		return
	}
	const unsure = "unsure" // an alarm as long as it lasts, though each answer has another id in it
	if s.allocate.alarmed != unsure && s.owner {
		s.allocate.alarmed = unsure
		s.emit(Alarm{Text: "no host can be allocated: " + s.whyDoubtful(r)})
	}
}

func (s *State) whyDoubtful(r *request) string {
	return fmt.Sprintf("one was asked for %d times, and it is not known what came of it: %s", r.doubts, r.why)
}

// doubtful is a request that is not counted on, nil if there is none.
func (s *State) doubtful() *request {
	for _, r := range s.requests {
		if r.doubts >= doubtfulAfter {
			return r
		}
	}
	return nil
}

// timeOutRequests gives up on answers that do not come.
func (s *State) timeOutRequests() {
	for _, r := range s.requests {
		if r.action == 0 {
			continue // it is sent again when somebody waits, or ended by a list
		}
		if end := r.tried.Add(s.cfg.ActionTimeout); end.After(s.now) {
			s.wake(end)
		} else {
			r.action, r.tried = 0, s.now
			s.doubt(r, nil)
		}
	}
}

// closeRequests ends the requests that made no host: a list that must show it does not.
func (s *State) closeRequests(a answer) {
	for _, r := range slices.Clone(s.requests) {
		if r.action == 0 && !a.at.Before(r.tried.Add(s.cfg.Settled)) {
			s.closeRequest(r)
		}
	}
}

func (s *State) closeRequest(r *request) {
	i := slices.Index(s.requests, r)
	s.requests = slices.Delete(s.requests, i, i+1)
	s.seal(r)
	s.save()
}
