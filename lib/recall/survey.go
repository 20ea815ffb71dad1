package recall

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// held is what the log is told of a survey that lasts.
const held = "this node waits with what a retired node decided or was granted, or with what it forgot itself, until it knows all that the others " +
	"know, and some were not heard: see what keeps them from answering, as a certificate or a link, or retire who is gone for good (aquarium-fish cluster retire)"

// wantedFor is how long after the last question a survey goes on: an election
// puts it every few seconds as long as anything hangs on it.
const wantedFor = 15 * time.Second

// coverage is what a member sees without asking.
type coverage interface {
	// Covered reports whether this node knows all that every member told of itself
	// since the given time; CoveredReachable leaves out those that can not be reached.
	Covered(since time.Time) bool
	CoveredReachable(since time.Time) bool
	// Unreachable is how long nothing was heard of a node, 0 if it can be reached.
	Unreachable(node model.UID) time.Duration
}

// SurveyOptions configures a Survey. All fields are required.
type SurveyOptions struct {
	// Vector is up to where this node knows everything.
	Vector  func() replica.Vector
	Cluster coverage
	// Others, Ask, Name and Heard are as in Options; Heard is called when a member
	// was heard.
	Others func() (nodes []model.UID, known bool)
	Ask    func(ctx context.Context, node model.UID) (replica.Vector, error)
	Name   func(node model.UID) string
	Heard  func()
	Logger *slog.Logger
}

func (o SurveyOptions) validate() error {
	if o.Vector == nil || o.Cluster == nil || o.Others == nil || o.Ask == nil || o.Name == nil || o.Heard == nil || o.Logger == nil {
		return errors.New("make survey: an option is missing")
	}
	return nil
}

// Survey says whether this node knows all that the others know, whoever wrote it
// and however far away they are. Make it with NewSurvey and run it.
type Survey struct {
	opts    SurveyOptions
	hearing *hearing

	waiting time.Time // since when somebody is missing; of Run's goroutine

	mu     sync.Mutex
	began  time.Time // guarded by mu: answers are of after it
	wanted time.Time // guarded by mu: when somebody asked last
	whole  time.Time // guarded by mu: when somebody asked last for those, too, that can not be reached
}

// NewSurvey returns a Survey that asks nobody until Run.
func NewSurvey(o SurveyOptions) (*Survey, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Survey{opts: o, hearing: newHearing(asking{Vector: o.Vector, Ask: o.Ask, Name: o.Name, Logger: o.Logger})}, nil
}

// Covered reports whether this node knows all that each other node, unless it
// was retired, knew at some time after the given one. If not it has them asked,
// and does not wait.
func (s *Survey) Covered(since time.Time) bool {
	return s.opts.Cluster.Covered(since) && s.covered(since, true)
}

// CoveredReachable is Covered but for those that can not be reached.
func (s *Survey) CoveredReachable(since time.Time) bool {
	return s.opts.Cluster.CoveredReachable(since) && s.covered(since, false)
}

// covered is asked only when all know the same retirements: who knows of one
// takes no rows from that node any more. Who asks need not be the election, so
// that is told what turns out here, too.
func (s *Survey) covered(since time.Time, whole bool) bool {
	s.want(since, whole)
	if s.hearing.cover() {
		s.opts.Heard()
	}
	others, _ := s.opts.Others()
	return len(s.missing(others, whole)) == 0
}

// missing are those that were not heard; unless whole is set only those that
// can be reached.
func (s *Survey) missing(others []model.UID, whole bool) []model.UID {
	return slices.DeleteFunc(s.hearing.missing(others), func(node model.UID) bool { return !whole && s.opts.Cluster.Unreachable(node) > 0 })
}

// want has the others asked, anew if what they said is of before.
func (s *Survey) want(since time.Time, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = time.Now()
	if whole {
		s.whole = s.wanted
	}
	if s.began.IsZero() || s.began.Before(since) {
		s.began = s.wanted
		s.hearing.forget()
	}
}

// Run asks until ctx is done, then returns nil.
func (s *Survey) Run(ctx context.Context) error {
	loop.Every(ctx, lookEvery, s.look)
	return nil
}

// look asks who was not heard, if anybody wants to know.
func (s *Survey) look(ctx context.Context) {
	s.mu.Lock()
	wanted, whole := lately(s.wanted), lately(s.whole)
	s.mu.Unlock()
	if !wanted {
		s.waiting = time.Time{}
		return
	}
	others, _ := s.opts.Others()
	s.hearing.ask(ctx, others)
	if s.hearing.cover() {
		s.opts.Heard()
	}
	if ctx.Err() == nil {
		s.tell(s.missing(others, whole))
	}
}

func lately(t time.Time) bool { return !t.IsZero() && time.Since(t) < wantedFor }

// tell tells the log who is missing.
func (s *Survey) tell(missing []model.UID) {
	switch {
	case len(missing) == 0: // who is later is told of anew
		s.waiting, s.hearing.told = time.Time{}, time.Time{}
		return
	case s.waiting.IsZero():
		s.waiting = time.Now()
	}
	if attrs, due := s.hearing.tell(missing, "", s.waiting); due {
		s.opts.Logger.Warn(held, attrs...)
	}
}
