package lifecycle

import (
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Trouble is the last failure of a step that is being tried again, what is waited
// for that somebody may want to know, or a driver that does not return.
type Trouble struct {
	What  string // in a few words, like "environment not released"
	Err   error
	At    time.Time
	Again time.Time // the next try, unless an event comes first; where a driver hangs, when that is told again
}

// Trouble returns what the application's step failed with last, or waits for.
// There is none once the step succeeded, or the wait is over.
func (m *Manager) Trouble(app model.UID) (Trouble, bool) {
	m.mu.Lock()
	r := m.runners[app]
	m.mu.Unlock()
	if r == nil {
		return Trouble{}, false
	}
	if t := r.trouble.Load(); t != nil {
		return *t, true
	}
	return Trouble{}, false
}
