package pool

// Phase is what a host is doing, as far as the pool is concerned. Every host
// of the pool is in exactly one.
type Phase uint8

// The phases of a host, in the order of its life.
const (
	// Requested: allocated or about to be, and not yet seen in a list, or only
	// pending as it is new. An open request without a host counts as one.
	Requested Phase = iota
	// Available: idle, and free for the next request.
	Available
	// Reserved: granted to a token, whose launch is not yet seen on it.
	Reserved
	// Busy: an instance is on it.
	Busy
	// Scrubbing: being wiped, or on the way there. AWS takes no money of a host
	// that is pending.
	Scrubbing
	// Settling: said to be available after a scrub, and not believed yet.
	Settling
	// Resting: idle, but not to be used before a time: a launch on it or its
	// release was refused.
	Resting
	// Releasing: its release was asked for, and the answer is not known.
	Releasing
	// Failed: AWS says that it will not work again.
	Failed
	// Unknown: in a state that the pool can not judge (under-assessment, one
	// that is new to AWS). It is neither used nor released, and reported.
	Unknown
	// Lost: not in the lists any more, though nobody released it.
	Lost

	phases = int(Lost) + 1
)

// Phases are all phases, in the order of a host's life.
func Phases() []Phase {
	all := make([]Phase, phases)
	for i := range all {
		all[i] = Phase(i)
	}
	return all
}

// String is the phase in lower case.
func (p Phase) String() string {
	names := [phases]string{"requested", "available", "reserved", "busy", "scrubbing", "settling", "resting", "releasing",
		"failed", "unknown", "lost"}
	if int(p) >= len(names) {
		return "invalid"
	}
	return names[p]
}

// MarshalText implements encoding.TextMarshaler.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
