package repl

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// schedule decides what is sent next on one link. It is pure: the time and
// what this node has are passed in.
type schedule struct {
	interval  time.Duration
	far       uint64
	batch     uint64 // rows that one message takes
	linkBytes int
	jitter    func(interval time.Duration) time.Duration

	// What the other side has, by what it advertised and by what it sent.
	advertised, received replica.Vector
	// sent is what it has once all that was sent has been taken in.
	sent replica.Vector
	// asked are origins that the other side asked for again, although it is
	// far behind in them.
	asked map[replica.Origin]bool

	round   []replica.Origin // what is left of the round
	roundAt time.Time
	pause   time.Duration // until the round after it, if that one is full
	rows    int           // that the round sent
	cut     bool          // the round left something behind for want of room
	turn    uint64
	served  map[replica.Origin]uint64 // in which turn an origin was served last
	freeAt  time.Time                 // when the byte cap allows the next message
}

func newSchedule(o Options, theirs replica.Vector) *schedule {
	return &schedule{
		interval: o.Interval, far: o.Far, batch: uint64(o.Batch.Rows), linkBytes: o.LinkBytes, jitter: jitter,
		advertised: theirs.Clone(), received: replica.Vector{}, sent: theirs.Clone(),
		asked: map[replica.Origin]bool{}, served: map[replica.Origin]uint64{},
	}
}

// jitter spreads rounds over half an interval. Without it all nodes of a
// cluster fall into step, because what one receives makes it due together with
// its neighbours: then each hop takes a whole interval, and rows cross.
func jitter(interval time.Duration) time.Duration {
	return interval/2 + rand.N(interval/2+1)
}

// rest is the pause after a round: 4 ms for each row, so that a link on which
// little goes has it go at once, and a busy one sends a few large batches.
func (s *schedule) rest() time.Duration {
	least := min(restMin, s.interval)
	return max(least, min(s.pause, time.Duration(s.rows)*pushPerRow))
}

// pushPerRow has a link reach its full interval at some 200 rows/s.
const pushPerRow = 4 * time.Millisecond

// step is what to do now: send rows of origin after a sequence number, or
// wait, for ever if wait is 0.
type step struct {
	send   bool
	origin replica.Origin
	after  uint64
	wait   time.Duration
}

// next decides. A round serves every origin of which the other side lacks
// something, fresh ones before those with a backlog, these by turns. Rounds
// begin at once after quiet, one interval apart while there is always news,
// and without a pause while there is a backlog.
func (s *schedule) next(mine replica.Vector, now time.Time) step {
	if wait := s.freeAt.Sub(now); wait > 0 {
		return step{wait: wait}
	}
	due := s.rest() - now.Sub(s.roundAt)
	if len(s.round) == 0 || s.cut && due <= 0 {
		lacking := s.lacking(mine)
		if len(lacking) == 0 {
			s.round, s.cut = nil, false
			return step{}
		}
		if due > 0 && !s.cut {
			return step{wait: due}
		}
		s.round, s.roundAt, s.cut = lacking, now, false
		s.pause, s.rows = s.jitter(s.interval), 0
	}
	for len(s.round) > 0 {
		origin := s.round[0]
		s.round = s.round[1:]
		if mine[origin] > s.sent[origin] {
			s.turn++
			s.served[origin] = s.turn
			return step{send: true, origin: origin, after: s.sent[origin]}
		}
	}
	return s.next(mine, now) // all of the round came from elsewhere meanwhile
}

// lacking returns the origins to serve in their order.
func (s *schedule) lacking(mine replica.Vector) []replica.Origin {
	var total uint64
	var lacking []replica.Origin
	for origin, seq := range mine {
		if lag := lagOf(seq, s.sent[origin]); lag > 0 {
			total += lag
			lacking = append(lacking, origin)
		}
	}
	if total > s.far {
		lacking = slices.DeleteFunc(lacking, func(o replica.Origin) bool {
			return !s.asked[o] && lagOf(mine[o], s.sent[o]) > s.far/farShare
		})
	}
	backlog := func(o replica.Origin) int {
		if lagOf(mine[o], s.sent[o]) > s.batch {
			return 1
		}
		return 0
	}
	slices.SortFunc(lacking, func(a, b replica.Origin) int {
		return cmp.Or(backlog(a)-backlog(b), cmp.Compare(s.served[a], s.served[b]), a.Compare(b))
	})
	return lacking
}

// farShare is which part of Far somebody that is far behind in total may lack
// of one origin and still be served unasked.
const farShare = 10

func lagOf(have, theirs uint64) uint64 {
	if have <= theirs {
		return 0
	}
	return have - theirs
}

// sentBatch notes that a batch went out.
func (s *schedule) sentBatch(b replica.Batch, mine replica.Vector, now time.Time) {
	s.sent[b.Origin] = max(s.sent[b.Origin], b.To)
	s.rows += len(b.Rows)
	if s.sent[b.Origin] < mine[b.Origin] {
		s.cut = true
	} else {
		delete(s.asked, b.Origin)
	}
	// What was not used for an interval may be used at once.
	cost := time.Duration(float64(b.Size()) / float64(s.linkBytes) * float64(time.Second))
	if earliest := now.Add(-s.interval); s.freeAt.Before(earliest) {
		s.freeAt = earliest
	}
	s.freeAt = s.freeAt.Add(cost)
}

// receivedBatch notes that the other side sent a batch, so it has it.
func (s *schedule) receivedBatch(b replica.Batch) {
	s.received[b.Origin] = max(s.received[b.Origin], b.To)
	s.sent[b.Origin] = max(s.sent[b.Origin], b.To)
}

// advert notes what the other side says. An entry that does not grow asks to
// begin again from there: rows were not taken in, or it is far behind and has
// chosen this link. Only adverts are compared with adverts, because batches
// come on another stream and may overtake them. One that falls says that what
// it sent itself is not there any more either.
func (s *schedule) advert(theirs replica.Vector) {
	for origin, seq := range theirs {
		if seq > s.advertised[origin] {
			s.sent[origin] = max(s.sent[origin], seq)
		} else {
			if seq < s.advertised[origin] {
				s.received[origin] = seq
			}
			s.sent[origin] = max(seq, s.received[origin])
			s.asked[origin] = true
		}
		s.advertised[origin] = seq
	}
}
