package link

import "sync/atomic"

// counters count bytes since the link began.
type counters struct {
	sent, received atomic.Int64 // before TLS
	data, packed   atomic.Int64 // sent data frames, as they are and compressed
	relayOut       atomic.Int64
	relayIn        atomic.Int64
}

// Stats are the bytes of a link since it began.
type Stats struct {
	Sent, Received           int64 // all streams, before TLS
	Data, DataCompressed     int64 // sent on the data stream: as it was, and as it travelled
	RelaySent, RelayReceived int64 // carried for relay streams, to the neighbour and from it
}

// Stats returns the byte counts.
func (l *Link) Stats() Stats {
	s := &l.stats
	return Stats{
		Sent: s.sent.Load(), Received: s.received.Load(), Data: s.data.Load(), DataCompressed: s.packed.Load(),
		RelaySent: s.relayOut.Load(), RelayReceived: s.relayIn.Load(),
	}
}
