package store

import "sync"

// Signal tells that the vector grew: this node wrote something, or took
// something in.
type Signal struct {
	of *signals
	c  chan struct{}
}

// C signals growth since the last receive. It holds one signal at most, and is
// never closed.
func (s *Signal) C() <-chan struct{} { return s.c }

// Close ends the signals.
func (s *Signal) Close() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	delete(s.of.all, s)
}

// signals are those that were asked for.
type signals struct {
	mu  sync.Mutex
	all map[*Signal]struct{} // guarded by mu
}

func (s *signals) subscribe() *Signal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[*Signal]struct{})
	}
	signal := &Signal{of: s, c: make(chan struct{}, 1)}
	s.all[signal] = struct{}{}
	return signal
}

func (s *signals) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for signal := range s.all {
		select {
		case signal.c <- struct{}{}:
		default: // one is waiting already
		}
	}
}

// Advanced is a Signal that is there from the start, for the one reader that
// carries rows to other nodes.
func (s *Store) Advanced() <-chan struct{} { return s.grown.C() }

// VectorChanged starts a Signal. What was committed before it is not told:
// ask for it first, then look.
func (s *Store) VectorChanged() *Signal { return s.advanced.subscribe() }
