package store

import "time"

// Ahead is how far the newest reading of this node's hybrid clock is ahead of the time of day, as after a time in which
// the machine's clock was wrong: the readings never fall. held says that it is so far that other nodes hold back what this
// one writes.
func (s *Store) Ahead() (by time.Duration, held bool) {
	by = time.Unix(0, int64(s.clock.Last())).Sub(s.opts.Now())
	return by, by > maxAhead
}
