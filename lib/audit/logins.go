package audit

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// loginEvery is how often a user's logins from one address are noted while they succeed.
	loginEvery = 24 * time.Hour
	// failureEvery is how often the count of failures is noted, for each user, address and result.
	failureEvery = time.Minute
	// loginsKept bounds the users and addresses whose success is remembered; past it all are forgotten, and noted again.
	loginsKept = 16_384
	// failuresKept bounds the sources of failures that are told apart; the rest share one. So an attack from everywhere
	// costs no more than two lines for each of them in a minute, some 100 KB.
	failuresKept = 256
)

// manyAddresses stands for the sources that are not told apart any more.
const manyAddresses = "others"

// source is who failed, and how.
type source struct {
	user, address string
	result        Result
}

// tally counts failures that are not noted yet.
type tally struct {
	since time.Time // when the source was noted last
	count int64
}

// visit is a user at an address.
type visit struct{ user, address string }

// logins decides which logins are worth an event. The time is passed in.
type logins struct {
	seenMu sync.RWMutex
	seen   map[visit]time.Time // when the success was noted last

	mu       sync.Mutex
	failures map[source]*tally
}

func newLogins() *logins {
	return &logins{seen: map[visit]time.Time{}, failures: map[source]*tally{}}
}

// take counts a login and returns the event to note now, if there is one.
func (l *logins) take(user, address string, result Result, now time.Time) (Event, bool) {
	if result == ResultOK {
		return Event{Action: ActionLogin, User: user, Address: address, Result: result}, l.succeeded(user, address, now)
	}
	return l.failed(user, network(address), result, now)
}

// succeeded reports whether it is to be noted.
func (l *logins) succeeded(user, address string, now time.Time) bool {
	key := visit{user, address}
	l.seenMu.RLock()
	noted, ok := l.seen[key]
	l.seenMu.RUnlock()
	if ok && now.Sub(noted) < loginEvery {
		return false
	}
	l.seenMu.Lock()
	defer l.seenMu.Unlock()
	if noted, ok := l.seen[key]; ok && now.Sub(noted) < loginEvery {
		return false // another request of the same was quicker
	}
	if len(l.seen) >= loginsKept {
		clear(l.seen)
	}
	l.seen[visit{strings.Clone(user), strings.Clone(address)}] = now
	return true
}

func (l *logins) failed(user, address string, result Result, now time.Time) (Event, bool) {
	key := source{user, address, result}
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.failures[key]
	if !ok && len(l.failures) >= failuresKept {
		key = source{address: manyAddresses, result: result}
		t, ok = l.failures[key]
	}
	if !ok {
		key = source{strings.Clone(key.user), strings.Clone(key.address), result}
		l.failures[key] = &tally{since: now}
		return key.event(1), true
	}
	t.count++
	return Event{}, false
}

func (s source) event(count int64) Event {
	e := Event{Action: ActionLogin, User: s.user, Address: s.address, Result: s.result, Count: count}
	if s.user == "" && s.address != manyAddresses {
		e.Detail = "no such user"
	}
	return e
}

// due returns the counts that are old enough, and forgets the sources that were silent since.
func (l *logins) due(now time.Time) []Event {
	return l.drain(func(t *tally) bool { return now.Sub(t.since) >= failureEvery }, now)
}

// all returns every count.
func (l *logins) all() []Event {
	return l.drain(func(*tally) bool { return true }, time.Time{})
}

func (l *logins) drain(ready func(*tally) bool, now time.Time) []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var events []Event
	for key, t := range l.failures {
		switch {
		case !ready(t):
		case t.count == 0:
			delete(l.failures, key)
		default:
			events = append(events, key.event(t.count))
			t.since, t.count = now, 0
		}
	}
	slices.SortFunc(events, func(a, b Event) int { // a map has no order
		return strings.Compare(a.Address+"\x00"+a.User+"\x00"+string(a.Result), b.Address+"\x00"+b.User+"\x00"+string(b.Result))
	})
	return events
}

// host is an address without its port.
func host(remote string) string {
	i := strings.LastIndexByte(remote, ':')
	if i < 0 || strings.IndexByte(remote, ':') != i && !strings.HasPrefix(remote, "[") {
		return remote // no port: a name, or a bare IPv6 address
	}
	return strings.Trim(remote[:i], "[]")
}

// network is what one peer may choose its addresses from: an IPv6 peer owns its /64.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}
