package loop

import "sync/atomic"

// Heart counts how often a loop came round, for somebody who looks whether it still does. Counts and not times: a
// machine that slept, a clock that was set and a process that got no processor look the same before and after. The zero
// value is that of a loop that never came round.
type Heart struct{ beats atomic.Uint64 }

// Beat says that the loop came round.
func (h *Heart) Beat() { h.beats.Add(1) }

// Beats is how often it did.
func (h *Heart) Beats() uint64 { return h.beats.Load() }
