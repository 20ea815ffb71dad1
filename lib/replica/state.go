package replica

import (
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// wireState is the most frequent row: what most states lack is left out.
type wireState struct {
	UID         model.UID     `json:"uid"`
	Application model.UID     `json:"app"`
	Status      model.Status  `json:"st"`
	Description string        `json:"desc"`
	Created     nanos         `json:"created"`
	HLC         model.HLC     `json:"hlc"`
	Epoch       uint32        `json:"epoch,omitempty"`
	Node        model.UID     `json:"node"`
	Decision    *wireDecision `json:"decision,omitempty"`
}

type wireDecision struct {
	Round      uint16     `json:"round"`
	Winner     model.UID  `json:"winner"`
	Definition int        `json:"def"`
	Location   string     `json:"loc,omitempty"`
	Yes        []wireVote `json:"yes"`
	Votes      string     `json:"votes,omitempty"`  // instead of Yes: see packVotes
	Coming     []int      `json:"coming,omitempty"` // places in either: see tellComing
	No         int        `json:"no"`
	Missing    int        `json:"missing"`
}

// wireVote leaves out what follows from the state and the decision around it:
// an ELECTED row holds a vote of each node that could run the application.
type wireVote struct {
	UID         *model.UID `json:"uid,omitempty"`   // nil: model.VoteUID
	Application *model.UID `json:"app,omitempty"`   // nil: the state's
	Round       *uint16    `json:"round,omitempty"` // nil: the decision's
	Node        model.UID  `json:"node"`
	Available   int        `json:"avail"`
	Rand        *uint32    `json:"rand,omitempty"` // nil: it follows from the UID
	Created     nanos      `json:"created"`
	Cached      bool       `json:"cached,omitempty"`
	Location    string     `json:"loc,omitempty"`
	Load        uint8      `json:"load,omitempty"`
	Boot        uint64     `json:"boot,omitempty"`
}

func (w wireState) identified() bool {
	return w.UID != model.NilUID && w.Application != model.NilUID && w.Status != ""
}

// EncodeApplicationState returns the body of an application state's row.
func EncodeApplicationState(s model.ApplicationState) ([]byte, error) {
	w := wireState{
		UID: s.UID, Application: s.ApplicationUID, Status: s.Status, Description: s.Description,
		Created: toNanos(s.CreatedAt), HLC: s.HLC, Epoch: s.Epoch, Node: s.NodeUID,
	}
	if d := s.Decision; d != nil {
		yes, coming := tellComing(d.Yes)
		w.Decision = &wireDecision{
			Round: d.Round, Winner: d.Winner, Definition: d.Definition, Location: d.Location,
			Votes: packVotes(yes, s), Coming: coming, No: d.No, Missing: d.Missing,
		}
		if w.Decision.Votes == "" {
			w.Decision.Yes = each(yes, func(v model.Vote) wireVote { return toWireVote(v, s.ApplicationUID, d.Round) })
		}
	}
	return encode("application state", w)
}

// DecodeApplicationState reads the body of an application state's row.
func DecodeApplicationState(body []byte) (model.ApplicationState, error) {
	w, err := decode[wireState]("application state", body)
	if err != nil {
		return model.ApplicationState{}, err
	}
	s := model.ApplicationState{
		UID: w.UID, ApplicationUID: w.Application, Status: w.Status, Description: w.Description,
		CreatedAt: w.Created.time(), HLC: w.HLC, Epoch: w.Epoch, NodeUID: w.Node,
	}
	if d := w.Decision; d != nil {
		yes := each(d.Yes, func(v wireVote) model.Vote { return v.model(w.Application, d.Round) })
		if d.Votes != "" {
			if yes, err = unpackVotes(d.Votes, w.Application, w.Created); err != nil {
				return model.ApplicationState{}, fmt.Errorf("decode application state: %w", err)
			}
		}
		if err := readComing(yes, d.Coming); err != nil {
			return model.ApplicationState{}, fmt.Errorf("decode application state: %w", err)
		}
		s.Decision = &model.Decision{
			Round: d.Round, Winner: d.Winner, Definition: d.Definition, Location: d.Location, Yes: yes, No: d.No, Missing: d.Missing,
		}
	}
	return s, nil
}

func toWireVote(v model.Vote, app model.UID, round uint16) wireVote {
	return wireVote{
		UID:         unless(v.UID, model.VoteUID(v.ApplicationUID, v.NodeUID, v.Boot, v.Round)),
		Application: unless(v.ApplicationUID, app),
		Round:       unless(v.Round, round),
		Node:        v.NodeUID, Available: v.Available, Rand: unless(v.Rand, model.VoteRand(v.UID)), Created: toNanos(v.CreatedAt),
		Cached: v.Cached, Location: v.Location, Load: v.Load, Boot: v.Boot,
	}
}

func (w wireVote) model(app model.UID, round uint16) model.Vote {
	v := model.Vote{
		ApplicationUID: or(w.Application, app), Round: or(w.Round, round),
		NodeUID: w.Node, Available: w.Available, CreatedAt: w.Created.time(),
		Cached: w.Cached, Location: w.Location, Load: w.Load, Boot: w.Boot,
	}
	v.UID = or(w.UID, model.VoteUID(v.ApplicationUID, v.NodeUID, v.Boot, v.Round))
	v.Rand = or(w.Rand, model.VoteRand(v.UID))
	return v
}

// unless is nil for a value that need not be told.
func unless[T comparable](v, implied T) *T {
	if v == implied {
		return nil
	}
	return &v
}

func or[T any](v *T, implied T) T {
	if v == nil {
		return implied
	}
	return *v
}
