package link

import (
	"sync/atomic"
	"time"
)

// counters count bytes since the link began.
type counters struct {
	sent, received atomic.Int64 // before TLS
	data, packed   atomic.Int64 // sent data frames, as they are and compressed
	relayOut       atomic.Int64
	relayIn        atomic.Int64

	sentAt, receivedAt atomic.Int64 // when bytes last went and came, in nanoseconds since begin
	begin              time.Time
}

// now is the time since the link began; it is monotonic.
func (c *counters) now() int64 { return int64(time.Since(c.begin)) }

// idle is for how long one of the directions has been still.
func (c *counters) idle() time.Duration {
	return time.Duration(c.now() - min(c.sentAt.Load(), c.receivedAt.Load()))
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
