package election

import (
	"math"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// ToWire packs votes of one node for the other nodes: one message for each
// location and load that they tell, which is one for all that were cast
// together. The sender fills in Boot and Seq.
func ToWire(votes []model.Vote) []wire.Votes {
	var messages []wire.Votes
	for _, v := range votes {
		last := len(messages) - 1
		if last < 0 || messages[last].Node != v.NodeUID || messages[last].Location != v.Location || messages[last].Load != v.Load {
			messages = append(messages, wire.Votes{Node: v.NodeUID, Location: v.Location, Load: v.Load})
			last++
		}
		messages[last].Votes = append(messages[last].Votes, wire.Vote{
			Application: v.ApplicationUID, Round: v.Round, Available: packed(v.Available), Cached: v.Cached, Coming: v.Coming,
		})
	}
	return messages
}

// packed is the index as it fits into a byte: of more than 128 definitions the
// last ones are not voted for across nodes.
func packed(available int) int8 {
	if available > math.MaxInt8 {
		return model.VoteNo
	}
	return int8(max(available, model.VoteAway)) //nolint:gosec // bounded on both sides
}

// FromWire unpacks votes that came at the time now, which is what they count
// from here: the clock of their node may be another. What is below
// model.VoteAway is a later version's way to say no. The random part is
// computed and not told, so that every decision can be checked.
func FromWire(m wire.Votes, now time.Time) []model.Vote {
	votes := make([]model.Vote, len(m.Votes))
	for i, v := range m.Votes {
		available := int(v.Available)
		if available < model.VoteAway {
			available = model.VoteNo
		}
		uid := model.VoteUID(v.Application, m.Node, m.Boot, v.Round)
		votes[i] = model.Vote{
			UID: uid, ApplicationUID: v.Application, NodeUID: m.Node, Boot: m.Boot, Round: v.Round,
			Available: available, Rand: model.VoteRand(uid), CreatedAt: now.UTC(), Cached: v.Cached, Coming: v.Coming && !v.Cached,
			Location: m.Location, Load: min(m.Load, 100),
		}
	}
	return votes
}
