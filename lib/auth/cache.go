package auth

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	cacheIdle   = 60 * time.Second // a verified credential unused for so long is hashed again
	cacheMax    = 10 * time.Minute // and so is one in steady use
	cacheShards = 16
	// usedStep is how exactly the last use is kept: cores need not fight over
	// one cache line for every request.
	usedStep = 250 * time.Millisecond
)

// cache remembers which credentials were verified for which version of a user.
// It holds digests, never passwords. An entry past its time no longer answers
// requests, yet tells that these credentials deserve their hash (knows).
type cache struct {
	start  time.Time // entries count from here
	max    int       // entries per shard; 0 turns the cache off
	shards [cacheShards]shard
}

type shard struct {
	mu      sync.RWMutex
	entries map[digest]*entry
}

type entry struct {
	version  version
	verified time.Duration
	used     atomic.Int64 // a Duration
}

func newCache(size int) *cache {
	c := &cache{start: time.Now(), max: (max(size, 0) + cacheShards - 1) / cacheShards}
	for i := range c.shards {
		c.shards[i].entries = map[digest]*entry{}
	}
	return c
}

func (c *cache) entry(d digest) *entry {
	s := &c.shards[d[0]%cacheShards]
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entries[d]
}

// fresh tells whether the credentials are verified for this version, and marks
// them used.
func (c *cache) fresh(d digest, v version, now time.Time) bool {
	e := c.entry(d)
	if e == nil || e.version != v {
		return false
	}
	at := now.Sub(c.start)
	used := time.Duration(e.used.Load())
	if at-e.verified >= cacheMax || at-used >= cacheIdle {
		return false
	}
	if at-used >= usedStep {
		e.used.Store(int64(at))
	}
	return true
}

// knows tells whether the credentials ever were verified for this version.
func (c *cache) knows(d digest, v version) bool {
	e := c.entry(d)
	return e != nil && e.version == v
}

func (c *cache) put(d digest, v version, now time.Time) {
	if c.max == 0 {
		return
	}
	e := &entry{version: v, verified: now.Sub(c.start)}
	e.used.Store(int64(e.verified))
	s := &c.shards[d[0]%cacheShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.entries[d]; !ok && len(s.entries) >= c.max {
		s.evict()
	}
	s.entries[d] = e
}

// evict drops the least recently used of a few: the iteration order is random.
func (s *shard) evict() {
	const sample = 8
	var oldest digest
	var used int64
	n := 0
	for d, e := range s.entries {
		if u := e.used.Load(); n == 0 || u < used {
			oldest, used = d, u
		}
		if n++; n == sample {
			break
		}
	}
	delete(s.entries, oldest)
}

// recent remembers values by digest in two generations, so that what is older
// than a period is forgotten and memory is bounded however fast they come.
type recent[V any] struct {
	max       int // per generation
	period    time.Duration
	since     time.Time
	cur, prev map[digest]V
}

func (r *recent[V]) get(d digest, now time.Time) (V, bool) {
	r.age(now)
	if v, ok := r.cur[d]; ok {
		return v, true
	}
	v, ok := r.prev[d]
	return v, ok
}

func (r *recent[V]) put(d digest, v V, now time.Time) {
	r.age(now)
	if r.cur == nil || len(r.cur) >= r.max {
		r.turn(now)
	}
	r.cur[d] = v
}

// age begins a new generation when the current one is old.
func (r *recent[V]) age(now time.Time) {
	for range 2 { // after a long silence both are old
		if r.since.IsZero() || now.Sub(r.since) < r.period {
			return
		}
		r.turn(r.since.Add(r.period))
	}
	r.since = now
}

func (r *recent[V]) turn(now time.Time) { r.prev, r.cur, r.since = r.cur, map[digest]V{}, now }
