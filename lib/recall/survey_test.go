package recall

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// district is what a successor sees of the others.
type district struct {
	mu      sync.Mutex
	mine    replica.Vector
	others  []model.UID
	answers map[model.UID]replica.Vector
	away    map[model.UID]bool
	untold  bool // not all have told of themselves
	asked   int
	heard   int
	log     bytes.Buffer
}

func (d *district) Covered(time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.untold && len(d.away) == 0
}

func (d *district) CoveredReachable(time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.untold
}

func (d *district) Unreachable(node model.UID) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away[node] {
		return time.Minute
	}
	return 0
}

func (d *district) ask(_ context.Context, node model.UID) (replica.Vector, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if v, ok := d.answers[node]; ok && !d.away[node] {
		return v.Clone(), nil
	}
	return nil, errors.New("not reachable")
}

// count is how often somebody was asked, and was heard.
func (d *district) count() (asked, heard int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked, d.heard
}

// step changes something and waits for a look, as an election that asks again.
func (d *district) step(s *Survey, since time.Time, change func()) (covered, reachable bool) {
	d.mu.Lock()
	change()
	d.mu.Unlock()
	s.Covered(since)
	s.CoveredReachable(since)
	time.Sleep(2 * lookEvery)
	synctest.Wait()
	return s.Covered(since), s.CoveredReachable(since)
}

// survey runs a survey of the district, in fake time.
func survey(t *testing.T, d *district, test func(s *Survey)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := NewSurvey(SurveyOptions{
			Vector: func() replica.Vector { d.mu.Lock(); defer d.mu.Unlock(); return d.mine.Clone() }, Cluster: d, Ask: d.ask,
			Others: func() ([]model.UID, bool) { d.mu.Lock(); defer d.mu.Unlock(); return d.others, true },
			Name:   func(n model.UID) string { return "node-" + string('0'+n[0]) }, Heard: func() { d.mu.Lock(); defer d.mu.Unlock(); d.heard++ }, Logger: slog.New(slog.NewTextHandler(&d.log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run = %v", err)
			}
		}()
		test(s)
	})
}

// TestSurveyHearsDistantMembers: rows of a retired node that no neighbour has, and
// that nobody counts among its own, are waited for.
func TestSurveyHearsDistantMembers(t *testing.T) {
	gone := replica.Origin{Node: model.UID{9}, Incarnation: 1}
	d := &district{
		mine: replica.Vector{}, others: nodes, away: map[model.UID]bool{},
		answers: map[model.UID]replica.Vector{nodes[0]: {}, nodes[1]: {}, nodes[2]: {gone: 4}},
	}
	survey(t, d, func(s *Survey) {
		want := func(name string, since time.Time, change func(), wantAll, wantReachable bool) {
			t.Helper()
			if all, reachable := d.step(s, since, change); all != wantAll || reachable != wantReachable {
				t.Errorf("%s: Covered = %t, CoveredReachable = %t, want %t, %t", name, all, reachable, wantAll, wantReachable)
			}
		}
		time.Sleep(time.Hour)
		if asked, _ := d.count(); asked != 0 {
			t.Errorf("%d were asked although nobody wants to know", asked)
		}
		began := time.Now()
		want("a distant member has a row", began, func() {}, false, false)
		want("it can not be reached", began, func() { d.away[nodes[2]] = true }, false, true)
		want("it is back", began, func() { delete(d.away, nodes[2]) }, false, false)
		want("the row came", began, func() { d.mine[gone] = 4 }, true, true)
		want("it learns more", began, func() { d.answers[nodes[2]] = replica.Vector{gone: 9} }, true, true)
		want("somebody has not told of itself", began, func() { d.untold = true }, false, false)
		want("all have", began, func() { d.untold = false }, true, true)
		want("another one is known", began, func() { d.others = append(d.others, model.UID{5}) }, false, false)
		want("it was retired", began, func() { d.others = nodes }, true, true)
		time.Sleep(time.Second)
		want("another retirement, since which more is known there", time.Now(), func() {}, false, false)
		want("that came too", began, func() { d.mine[gone] = 9 }, true, true)
		if _, heard := d.count(); heard == 0 {
			t.Error("the election was not told that somebody was heard")
		}
	})
}

// TestSurveyEnds: nobody is asked once nobody wants to know.
func TestSurveyEnds(t *testing.T) {
	d := &district{mine: replica.Vector{}, others: nodes, away: map[model.UID]bool{}}
	survey(t, d, func(s *Survey) {
		if s.Covered(time.Now()) {
			t.Error("covered before anybody was asked")
		}
		time.Sleep(wantedFor + time.Second)
		asked, _ := d.count()
		time.Sleep(time.Hour)
		if later, _ := d.count(); asked == 0 || later != asked {
			t.Errorf("asked %d times, and %d times later; want some, and no more", asked, later)
		}
	})
}

// TestSurveyTellsWhoIsMissing: one member that always answers with an error holds
// up what a retired node left, so the log names it and the error; not each round,
// and not who can not be reached where nobody waits for it.
func TestSurveyTellsWhoIsMissing(t *testing.T) {
	full := map[model.UID]replica.Vector{nodes[0]: {}, nodes[1]: {}, nodes[2]: {}}
	broken := map[model.UID]replica.Vector{nodes[0]: {}, nodes[2]: {{Node: model.UID{9}, Incarnation: 1}: 4}}
	d := &district{mine: replica.Vector{}, others: nodes, away: map[model.UID]bool{}, answers: broken}
	survey(t, d, func(s *Survey) {
		began := time.Now()
		ask := func(lasting time.Duration) (told int) {
			synctest.Wait()
			before := strings.Count(d.log.String(), "level=WARN")
			for until := time.Now().Add(lasting); time.Now().Before(until); time.Sleep(5 * time.Second) {
				s.CoveredReachable(began)
			}
			synctest.Wait()
			return strings.Count(d.log.String(), "level=WARN") - before
		}
		want := func(name string, told, want int) {
			t.Helper()
			if told != want {
				t.Errorf("%s: the log was told %d times, want %d: %s", name, told, want, &d.log)
			}
		}
		want("soon", ask(15*time.Second), 0)
		want("later", ask(50*time.Minute), 1)
		for _, part := range []string{`missing="[node-3 node-4]"`, "node-3: not reachable", "node-4: " + notHere} {
			if !strings.Contains(d.log.String(), part) {
				t.Errorf("the log does not say %q: %s", part, &d.log)
			}
		}
		want("for long", ask(50*time.Minute), 1)
		d.step(s, began, func() { d.answers = full })
		want("mended", ask(2*time.Hour), 0)
		began = time.Now()
		d.step(s, began, func() { d.answers = broken })
		want("another retirement", ask(time.Minute), 1)
		began = time.Now()
		d.step(s, began, func() { d.answers = map[model.UID]replica.Vector{nodes[0]: {}, nodes[2]: {}} })
		d.step(s, began, func() { d.away[nodes[1]] = true })
		time.Sleep(2 * wantedFor)
		want("who can not be reached and need not", ask(2*time.Hour), 0)
	})
}

// TestSurveyTellsOfWhatAQuestionFinds: whoever asks, the election hears of it.
func TestSurveyTellsOfWhatAQuestionFinds(t *testing.T) {
	gone := replica.Origin{Node: model.UID{9}, Incarnation: 1}
	d := &district{
		mine: replica.Vector{}, others: nodes[:1], away: map[model.UID]bool{}, answers: map[model.UID]replica.Vector{nodes[0]: {gone: 4}},
	}
	survey(t, d, func(s *Survey) {
		began := time.Now()
		d.step(s, began, func() {})
		d.mu.Lock()
		d.mine[gone] = 4
		d.mu.Unlock()
		_, before := d.count()
		if !s.Covered(began) {
			t.Fatal("not covered although all has come")
		}
		if _, heard := d.count(); heard != before+1 {
			t.Errorf("the election was told %d times, want once", heard-before)
		}
		s.Covered(began)
		if _, heard := d.count(); heard != before+1 {
			t.Error("the election was told again of what is no news")
		}
	})
}
