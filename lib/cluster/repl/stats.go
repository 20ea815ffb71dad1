package repl

import (
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// Stats is how replication does, for metrics and people. Counters are since
// the start.
type Stats struct {
	RowsTaken      uint64 // that were news
	RowsDuplicate  uint64 // that were known already
	RowsRefused    uint64 // in the future, of an origin on hold, or after a gap
	Gaps           uint64 // batches that did not follow what is here
	Waiting        int    // bytes received and not yet written
	Compared       uint64 // digest exchanges that were finished
	Repaired       uint64 // rows that a comparison brought
	Mismatches     uint64 // those of them that nobody replaces, so that they were lost here: should be 0
	Origins        []OriginStats
	Links          []LinkStats
	CatchingUpFrom string // the neighbour that serves this node, which is far behind; "" if it is not
}

// OriginStats is how far this node is with one origin.
type OriginStats struct {
	Origin replica.Origin
	Here   uint64
	Known  uint64 // the highest that a neighbour has
	Held   bool   // its rows can not be taken in for now; the log says why
}

// LinkStats is how one link does.
type LinkStats struct {
	Name          string
	RowsSent      uint64
	BytesSent     uint64 // before compression, like all bytes here
	RowsReceived  uint64
	BytesReceived uint64
	Lacks         uint64 // sequence numbers that the other side lacks
	Ahead         uint64 // sequence numbers that this side lacks
}

type counters struct{ taken, duplicate, refused, gaps, compared, repaired, mismatches uint64 }

func (c *counters) note(v verdict, rows, fresh int) {
	c.taken += uint64(fresh)
	switch v {
	case taken, covered:
		c.duplicate += uint64(rows - fresh)
	case gapped:
		c.gaps++
		c.refused += uint64(rows)
	default:
		c.refused += uint64(rows)
	}
}

type linkCounters struct{ rowsSent, bytesSent, rowsReceived, bytesReceived uint64 }

func (c *linkCounters) sent(b replica.Batch) {
	c.rowsSent += uint64(len(b.Rows))
	c.bytesSent += uint64(b.Size())
}

func (c *linkCounters) received(b replica.Batch) {
	c.rowsReceived += uint64(len(b.Rows))
	c.bytesReceived += uint64(b.Size())
}

// Stats returns how replication does now.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.counters
	stats := Stats{
		RowsTaken: c.taken, RowsDuplicate: c.duplicate, RowsRefused: c.refused, Gaps: c.gaps, Waiting: e.inbox.bytes,
		Compared: c.compared, Repaired: c.repaired, Mismatches: c.mismatches,
	}
	known := e.mine.Clone()
	for id, s := range e.sessions {
		link, knows := s.stats(e.mine)
		known.Merge(knows)
		stats.Links = append(stats.Links, link)
		if id == e.source {
			stats.CatchingUpFrom = s.opts.Name
		}
	}
	slices.SortFunc(stats.Links, func(a, b LinkStats) int { return strings.Compare(a.Name, b.Name) })
	now := time.Now()
	for origin, seq := range known {
		stats.Origins = append(stats.Origins, OriginStats{
			Origin: origin, Here: e.mine[origin], Known: seq, Held: now.Before(e.inbox.held[origin].until),
		})
	}
	slices.SortFunc(stats.Origins, func(a, b OriginStats) int { return a.Origin.Compare(b.Origin) })
	return stats
}

func (s *Session) stats(mine replica.Vector) (LinkStats, replica.Vector) {
	knows := s.knows()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counters
	return LinkStats{
		Name: s.opts.Name, RowsSent: c.rowsSent, BytesSent: c.bytesSent, RowsReceived: c.rowsReceived,
		BytesReceived: c.bytesReceived, Lacks: knows.Lag(mine), Ahead: mine.Lag(knows),
	}, knows
}
