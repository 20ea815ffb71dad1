package aws

import (
	"sync"
	"time"
)

// memoFor is how long answers about images, groups, keys and snapshots are
// taken for true: a burst of launches of one label asks once, and a new image is
// used a minute later.
const memoFor = time.Minute

// memo remembers answers for a while.
type memo[V any] struct {
	mu    sync.Mutex
	known map[string]remembered[V]
}

type remembered[V any] struct {
	value V
	until time.Time
}

// get returns the answer to a question, of before or new. Errors are not
// remembered. Several may ask the same at once: that costs a request.
func (m *memo[V]) get(question string, ask func() (V, error)) (V, error) {
	now := time.Now()
	m.mu.Lock()
	known, is := m.known[question]
	m.mu.Unlock()
	if is && now.Before(known.until) {
		return known.value, nil
	}
	value, err := ask()
	if err != nil {
		return value, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for q, old := range m.known { // it holds what the labels of one minute name
		if !now.Before(old.until) {
			delete(m.known, q)
		}
	}
	if m.known == nil {
		m.known = map[string]remembered[V]{}
	}
	m.known[question] = remembered[V]{value, now.Add(memoFor)}
	return value, nil
}
