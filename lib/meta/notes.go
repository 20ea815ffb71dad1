package meta

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// noteEvery is how often the same thing may be logged: environments poll.
	noteEvery = time.Minute
	// maxNotes bounds what is remembered for that.
	maxNotes = 1000
)

// notes logs the same thing once per minute.
type notes struct {
	log *slog.Logger

	mu   sync.Mutex
	last map[string]time.Time // guarded by mu
}

func newNotes(log *slog.Logger) *notes {
	return &notes{log: log, last: make(map[string]time.Time)}
}

func (n *notes) warn(message string, args ...any) {
	if n.due(message+fmt.Sprint(args...), time.Now()) {
		n.log.Warn(message, args...)
	}
}

func (n *notes) due(key string, now time.Time) bool {
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
