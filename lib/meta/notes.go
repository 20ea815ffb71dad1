package meta

import (
	"strings"
	"sync"
	"time"
)

const (
	// noteEvery is how often the same thing may be logged: environments poll.
	noteEvery = time.Minute
	// maxNotes bounds what is remembered for that.
	maxNotes = 1000
)

// notes remembers what was logged, so that the same thing is logged once per
// minute.
type notes struct {
	mu   sync.Mutex
	last map[string]time.Time // guarded by mu
}

func newNotes() *notes { return &notes{last: make(map[string]time.Time)} }

// due reports whether it is time to log the thing, and notes that it was.
func (n *notes) due(thing ...string) bool {
	key, now := strings.Join(thing, "\x00"), time.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if last, ok := n.last[key]; ok && now.Sub(last) < noteEvery {
		return false
	}
	if len(n.last) >= maxNotes {
		clear(n.last)
	}
	n.last[key] = now
	return true
}
