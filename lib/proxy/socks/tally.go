package socksproxy

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// ActionConnect is an environment's use of the proxy in the audit: Count
// connections to one destination that came to the same result.
const ActionConnect = "proxy.connect"

const (
	// tallyEvery is how often the counts of one destination are noted.
	tallyEvery = time.Minute
	// talliesKept bounds the destinations that are told apart, of all
	// environments and of one: an environment makes up as many as it likes.
	talliesKept, talliesOfOne = 1024, 64
	// others stands for the destinations that are not told apart.
	others = "others"
)

// use is who wanted to go where, and what came of it.
type use struct {
	resource    model.UID // NilUID: an environment that is not known
	owner       string
	address     string // of the client
	destination string
	result      audit.Result
}

// tally counts what is not noted yet.
type tally struct {
	since                 time.Time // when it was noted last
	count, sent, received int64
	detail                string
}

// tallies decide what is worth an event: the first connection to a destination
// at once, then counts each minute, so that nobody fills the disk with them.
// The time is passed in.
type tallies struct {
	mu    sync.Mutex
	kept  map[use]*tally    // guarded by mu
	ofOne map[model.UID]int // guarded by mu: how many of kept each environment has
}

func newTallies() *tallies {
	return &tallies{kept: map[use]*tally{}, ofOne: map[model.UID]int{}}
}

// began counts a connection, or that there is none, and returns the event to
// note now, if there is one.
func (t *tallies) began(u use, detail string, now time.Time) (audit.Event, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept, isNew := t.find(u, now)
	kept.detail = detail
	if !isNew {
		kept.count++
		return audit.Event{}, false
	}
	return u.event(tally{count: 1, detail: detail}), true
}

// moved adds the bytes of a connection that ended.
func (t *tallies) moved(u use, sent, received int64, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept, _ := t.find(u, now)
	kept.sent += sent
	kept.received += received
}

func (t *tallies) find(u use, now time.Time) (kept *tally, isNew bool) {
	if kept, ok := t.kept[u]; ok {
		return kept, false
	}
	if full := len(t.kept) >= talliesKept; full || t.ofOne[u.resource] >= talliesOfOne {
		u.destination = others
		if full || u.resource == model.NilUID {
			u.resource, u.owner, u.address = model.NilUID, "", others
		}
		if kept, ok := t.kept[u]; ok {
			return kept, false
		}
	}
	kept = &tally{since: now}
	t.kept[u] = kept
	t.ofOne[u.resource]++
	return kept, true
}

func (u use) event(t tally) audit.Event {
	e := audit.Event{
		Action: ActionConnect, User: u.owner, Address: u.address, ObjectName: u.destination, Result: u.result,
		Count: max(1, t.count), Detail: t.detail,
	}
	if u.resource != model.NilUID {
		e.ObjectUID = u.resource.String()
	}
	if t.count == 0 {
		e.Detail += "; connections noted before"
	}
	if t.sent+t.received > 0 {
		e.Detail += fmt.Sprintf("; %d bytes sent, %d received", t.sent, t.received)
	}
	return e
}

// due returns the counts that are old enough, and forgets what was silent since.
func (t *tallies) due(now time.Time) []audit.Event {
	return t.drain(func(k *tally) bool { return now.Sub(k.since) >= tallyEvery }, now)
}

// all returns every count.
func (t *tallies) all() []audit.Event {
	return t.drain(func(*tally) bool { return true }, time.Time{})
}

func (t *tallies) drain(ready func(*tally) bool, now time.Time) []audit.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	var events []audit.Event
	for u, k := range t.kept {
		switch {
		case !ready(k):
		case k.count == 0 && k.sent+k.received == 0:
			delete(t.kept, u)
			if t.ofOne[u.resource]--; t.ofOne[u.resource] == 0 {
				delete(t.ofOne, u.resource)
			}
		default:
			events = append(events, u.event(*k))
			*k = tally{since: now, detail: k.detail}
		}
	}
	slices.SortFunc(events, func(a, b audit.Event) int { // a map has no order
		return strings.Compare(a.ObjectUID+"\x00"+a.ObjectName+"\x00"+a.Address, b.ObjectUID+"\x00"+b.ObjectName+"\x00"+b.Address)
	})
	return events
}
