package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/aquarium-fish/aquarium-fish/lib/filter"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// ListVotes lists the votes inside of decisions, in the order of those, and
// then the open ones, which the caller holds.
func (s *Store) ListVotes(ctx context.Context, q Query, open []model.Vote) iter.Seq2[model.Vote, error] {
	return func(yield func(model.Vote, error) bool) {
		if s.db == nil {
			yield(model.Vote{}, errNoSQL)
			return
		}
		cond, args, err := s.condition("votes", voteFilter(), q)
		if errors.Is(err, filter.ErrRejected) {
			return
		}
		if cond == "" {
			cond = "TRUE"
		}
		for after := int64(math.MinInt64); err == nil; {
			var votes []model.Vote
			var last int64
			var more bool
			if votes, last, more, err = s.decidedVotes(ctx, after, cond, args); err != nil {
				break
			}
			for _, v := range votes {
				if !yield(v, nil) {
					return
				}
			}
			if !more {
				s.openVotes(ctx, open, cond, args)(yield)
				return
			}
			after = last
		}
		yield(model.Vote{}, err)
	}
}

// decidedVotes reads the votes of one page of decisions, those after the state
// with the given id; last is the page's last one.
func (s *Store) decidedVotes(ctx context.Context, after int64, cond string, args []any) (votes []model.Vote, last int64, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	ids, err := column[int64](ctx, s.db.readers, fmt.Sprintf(
		"SELECT id FROM application_states WHERE decision IS NOT NULL AND id > ? ORDER BY id LIMIT %d", pageSize), after)
	if err != nil || len(ids) == 0 {
		return nil, 0, false, err
	}
	last = ids[len(ids)-1]
	votes, err = collect(ctx, s.db.readers, scanVote,
		"SELECT v.value FROM application_states s JOIN json_each(s.decision, '$.yes') v "+
			"WHERE s.decision IS NOT NULL AND s.id > ? AND s.id <= ? AND v.type = 'object' AND "+cond+" ORDER BY s.id, v.key",
		append([]any{after, last}, args...)...)
	return votes, last, len(ids) == pageSize, err
}

// openVotes lists those of the open votes that match.
func (s *Store) openVotes(ctx context.Context, open []model.Vote, cond string, args []any) iter.Seq2[model.Vote, error] {
	fail := func(err error) iter.Seq2[model.Vote, error] {
		return func(yield func(model.Vote, error) bool) { yield(model.Vote{}, err) }
	}
	text, err := toJSON(append([]model.Vote{}, open...)) // never null
	if err != nil {
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	votes, err := collect(ctx, s.db.readers, scanVote, "SELECT v.value FROM json_each(?) v WHERE "+cond+" ORDER BY v.key",
		append([]any{text}, args...)...)
	if err != nil {
		return fail(fmt.Errorf("list votes: %w", err))
	}
	return values(votes)
}

func scanVote(row scanner) (v model.Vote, err error) {
	var text string
	if err := row.Scan(&text); err != nil {
		return v, err
	}
	err = json.Unmarshal([]byte(text), &v)
	return v, err
}
