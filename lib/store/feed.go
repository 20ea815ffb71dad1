package store

import (
	"slices"
	"sync"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Kind is a noun in the change feed.
type Kind uint8

// The kinds. KindApplication is any change of an application's Entry (its
// states, tasks, allocations or resource) and its removal. A key says that
// something changed, also that it was deleted: what, is for its reader to see.
const (
	KindApplication Kind = iota
	KindLabel
	KindUser
	KindNode
	KindLocation
	KindServiceMapping
	KindRetirement // by the UID of the node
	KindHandover
	KindOwnership      // by the UID of the record
	KindResourceAccess // by the UID of the credentials: they came, or were used
)

// Key names what changed: by UID, users and locations by Name.
type Key struct {
	Kind Kind
	UID  model.UID
	Name string
}

// maxPending bounds the keys that a subscriber has not taken; past it they
// become one resync. 10,000 keys are about 1 MB.
const maxPending = 10_000

// Subscription collects what changed since the last Take. It never holds up
// the writer, however slow its owner is.
type Subscription struct {
	feed  *feed
	kinds []Kind
	c     chan struct{}

	mu     sync.Mutex
	keys   map[Key]struct{} // guarded by mu
	resync bool             // guarded by mu
}

// C signals that Take has something to give. It holds at most one signal, and
// is never closed.
func (s *Subscription) C() <-chan struct{} { return s.c }

// Take returns the keys that changed since the last call, each once and in no
// order. resync says that too much happened: keys is empty, and the subscriber
// has to look at everything that it cares for.
func (s *Subscription) Take() (keys []Key, resync bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys = make([]Key, 0, len(s.keys))
	for k := range s.keys {
		keys = append(keys, k)
	}
	clear(s.keys)
	resync, s.resync = s.resync, false
	return keys, resync
}

// Close ends the subscription.
func (s *Subscription) Close() { s.feed.remove(s) }

// add notes keys of the subscriber's kinds; everything turns them into a resync.
func (s *Subscription) add(keys []Key, everything bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	news := everything
	for _, k := range keys {
		if len(s.kinds) > 0 && !slices.Contains(s.kinds, k.Kind) {
			continue
		}
		news = true
		if !s.resync {
			s.keys[k] = struct{}{}
		}
	}
	if everything || len(s.keys) > maxPending {
		s.keys, s.resync = make(map[Key]struct{}), true
	}
	if !news {
		return
	}
	select {
	case s.c <- struct{}{}:
	default: // a signal is waiting already
	}
}

// feed is the set of subscriptions.
type feed struct {
	mu   sync.Mutex
	subs map[*Subscription]struct{} // guarded by mu
}

func newFeed() *feed { return &feed{subs: make(map[*Subscription]struct{})} }

func (f *feed) subscribe(kinds []Kind) *Subscription {
	s := &Subscription{
		feed: f, kinds: slices.Clone(kinds), c: make(chan struct{}, 1), keys: make(map[Key]struct{}),
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subs[s] = struct{}{}
	return s
}

func (f *feed) remove(s *Subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.subs, s)
}

// publish tells every subscription; keys is empty with everything.
func (f *feed) publish(keys []Key, everything bool) {
	if len(keys) == 0 && !everything {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subs {
		s.add(keys, everything)
	}
}

// Subscribe starts a subscription to the kinds, or to all without any. What
// was committed before is not told: subscribe first, then read.
func (s *Store) Subscribe(kinds ...Kind) *Subscription { return s.feed.subscribe(kinds) }
