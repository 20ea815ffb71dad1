package replica

import "maps"

// Merge raises v to all that w knows. v must not be nil.
func (v Vector) Merge(w Vector) {
	for origin, seq := range w {
		v[origin] = max(v[origin], seq)
	}
}

// Delta returns where v knows more than base: merged into base it makes it
// cover v.
func (v Vector) Delta(base Vector) Vector {
	delta := Vector{}
	for origin, seq := range v {
		if seq > base[origin] {
			delta[origin] = seq
		}
	}
	return delta
}

// Lag counts the sequence numbers that w knows and v does not: at least as
// many as there are rows to send.
func (v Vector) Lag(w Vector) uint64 {
	var lag uint64
	for origin, seq := range w {
		if have := v[origin]; have < seq {
			lag += seq - have
		}
	}
	return lag
}

// Clone returns a copy that shares nothing with v; never nil.
func (v Vector) Clone() Vector {
	if v == nil {
		return Vector{}
	}
	return maps.Clone(v)
}
