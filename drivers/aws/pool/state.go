package pool

import "time"

// State is a pool. It is used by one goroutine at a time.
type State struct {
	cfg Config
}

// New makes the State of a pool from what was saved, nil if there is nothing:
// then it waits for Config.Settled after it got the pool (Own), as others may
// have things under way there. &Saved{Owned: true} is a pool that never had a host.
func New(cfg Config, saved *Saved) *State { _ = saved; return &State{cfg: cfg.WithDefaults()} }

// Step takes an event in and says what is to be done, in that order.
func (s *State) Step(now time.Time, e Event) []Action { _, _ = now, e; return nil }

// Next is when Step has to be called with a Tick, if nothing happens before;
// zero: never.
func (s *State) Next(now time.Time) time.Time { _ = now; return time.Time{} }

// Capacity is how many requests more could be served now: free hosts, and what
// may be allocated, less those who wait.
func (s *State) Capacity(now time.Time) int { _ = now; return 0 }

// Accounting says where all hosts are.
func (s *State) Accounting() Accounting { return Accounting{} }

// Views are the hosts for people, by id, after them the open requests.
func (s *State) Views(now time.Time) []View { _ = now; return nil }

// ScrubTimes are how long observed scrubs took.
func (s *State) ScrubTimes() Durations { return Durations{} }

// Revision changes whenever Saved does.
func (s *State) Revision() uint64 { return 0 }

// Saved is what a restart must not forget.
func (s *State) Saved() Saved { return Saved{} }

// Holder is the host that the token has, and whether it has one: reserved for
// it, or busy with it.
func (s *State) Holder(token string) (host string, ok bool) { _ = token; return "", false }
