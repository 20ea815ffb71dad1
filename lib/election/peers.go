package election

import (
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Answer is how another node stands with an application, as far as it is known
// here. Clients see it: a value never changes its meaning.
type Answer string

// The answers.
const (
	// AnswerYes: it would run it.
	AnswerYes Answer = "yes"
	// AnswerNo: it can not now.
	AnswerNo Answer = "no"
	// AnswerNever: it could not even if it were empty.
	AnswerNever Answer = "never"
	// AnswerNone: it did not vote, or not lately.
	AnswerNone Answer = "not_voted"
	// AnswerInactive: it can be reached, and its vote does not count: it is in
	// maintenance, has not caught up, or is not well.
	AnswerInactive Answer = "inactive"
	// AnswerUnreachable: nothing is heard of it.
	AnswerUnreachable Answer = "unreachable"
)

// Peer is one other node's answer.
type Peer struct {
	Node   model.UID
	Answer Answer
	// Definition is the index that it voted for, of AnswerYes.
	Definition int
	// Silent is how long nothing was heard of it, of AnswerUnreachable.
	Silent time.Duration
}

// View is all that PeersOf looks at.
type View struct {
	Node    model.UID   // whose view it is
	Members []model.UID // all that are not retired
	Active  []model.UID
	Votes   []model.Vote // for the application, those that count
	Silent  func(node model.UID) time.Duration
}

// PeersOf says how the other nodes stand with an application, in the order of
// the members.
func PeersOf(v View) []Peer {
	active := make(map[model.UID]bool, len(v.Active))
	for _, node := range v.Active {
		active[node] = true
	}
	votes := make(map[model.UID]model.Vote, len(v.Votes))
	for _, vote := range v.Votes {
		votes[vote.NodeUID] = vote
	}
	var peers []Peer
	for _, node := range v.Members {
		if node == v.Node {
			continue
		}
		p := Peer{Node: node}
		vote, voted := votes[node]
		p.Silent = v.Silent(node)
		switch {
		case p.Silent > 0:
			p.Answer = AnswerUnreachable
		case !active[node]:
			p.Answer = AnswerInactive
		case !voted:
			p.Answer = AnswerNone
		case vote.Yes():
			p.Answer, p.Definition = AnswerYes, vote.Available
		case vote.Available == model.VoteNever:
			p.Answer = AnswerNever
		default:
			p.Answer = AnswerNo
		}
		peers = append(peers, p)
	}
	return peers
}

// Peers says how the other members stand with an application that waits, as
// far as this node heard.
func (e *Election) Peers(app model.UID, members []model.UID) []Peer {
	v := View{Node: e.opts.Node, Members: members, Active: e.opts.Cluster.Active(), Silent: e.opts.Cluster.Unreachable}
	e.mu.Lock()
	v.Votes = e.tally.votes(app, time.Now(), e.holdFor())
	e.mu.Unlock()
	return PeersOf(v)
}
