package logging

import (
	"strings"
	"sync"
	"time"
)

const (
	// seldomEvery is how often the same thing may be logged: environments ask
	// again and again.
	seldomEvery = time.Minute
	// maxSeldom bounds what is remembered for that.
	maxSeldom = 1000
)

// Seldom remembers what was logged, so that the same thing is logged once per
// minute. Its methods may be called from any goroutine.
type Seldom struct {
	mu   sync.Mutex
	last map[string]time.Time // guarded by mu
}

// NewSeldom makes one that remembers nothing yet.
func NewSeldom() *Seldom { return &Seldom{last: make(map[string]time.Time)} }

// Due reports whether it is time to log the thing, and notes that it was.
func (s *Seldom) Due(thing ...string) bool {
	key, now := strings.Join(thing, "\x00"), time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.last[key]; ok && now.Sub(last) < seldomEvery {
		return false
	}
	if len(s.last) >= maxSeldom {
		clear(s.last)
	}
	s.last[key] = now
	return true
}
