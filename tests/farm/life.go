package farm

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// life is one application of a load.
type life struct {
	*load
	number int
	begun  time.Time
	app    string
	last   string // the state seen last
	reader int    // who is asked; goes on to the next when that one is silent
}

// run sees the application from its request to its end.
func (l *life) run(ctx context.Context) {
	l.begun, l.reader = time.Now(), l.number
	recalls := l.options.RecallEvery > 0 && l.number%l.options.RecallEvery == 0
	l.note(func(r *LoadResult) { r.Asked++ })
	if !l.create(ctx) {
		return
	}
	// At once, with no look at how it is: it must be known to whomever is asked.
	l.state(ctx)
	if recalls {
		l.release(ctx)
	} else {
		if !l.await(ctx, func(status string) bool { return status == "ALLOCATED" || over(status) }) {
			return
		}
		l.use(ctx)
	}
	if !l.await(ctx, over) {
		return
	}
	l.note(func(r *LoadResult) {
		r.Ended++
		if recalls {
			r.Recalled++
		}
		if l.last == "ERROR" {
			r.Failed = append(r.Failed, l.app)
		}
		r.Whole = append(r.Whole, time.Since(l.begun))
	})
}

// create asks until somebody answers.
func (l *life) create(ctx context.Context) bool {
	body := fmt.Sprintf(`{"label_UID":%q,"metadata":{"load":%d}}`, l.options.Label, l.number)
	for try := l.number; ; try++ {
		got, err := pick(l.options.Create, try).Do(ctx, http.MethodPost, "/api/v1/application/", []byte(body), "")
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil:
			l.note(func(r *LoadResult) { r.Refused++; r.Unsure++ })
		case got.Status == http.StatusServiceUnavailable:
			l.note(func(r *LoadResult) { r.Unavailable++ })
		case got.Status >= http.StatusInternalServerError:
			l.note(func(r *LoadResult) { r.Broken++ })
		case got.Status == http.StatusOK && uidOf(got.Body) != "":
			l.app, l.last = uidOf(got.Body), "NEW"
			l.note(func(r *LoadResult) { r.Created++; r.known[l.app] = true })
			return true
		default:
			l.falsehood("POST application", got)
			return false
		}
		if !pause(ctx, 100*time.Millisecond) {
			return false
		}
	}
}

func pick(clients []fish.Client, n int) fish.Client { return clients[n%len(clients)] }

func uidOf(body []byte) string {
	var o struct{ UID string }
	_ = json.Unmarshal(body, &o) // what is no object has no UID
	return o.UID
}

func over(status string) bool {
	return status == "DEALLOCATED" || status == "ERROR" || status == "RECALLED"
}

// falsehood notes an answer that must never be.
func (l *life) falsehood(what string, got fish.Response) {
	text := fmt.Sprintf("%s of application %d %s, last seen %s, %v after it was asked for: %d %.200s",
		what, l.number, l.app, l.last, time.Since(l.begun).Round(time.Millisecond), got.Status, got.Body)
	l.note(func(r *LoadResult) { r.False = append(r.False, text) })
}

// ask asks about the application until somebody answers with what he knows.
// turn is whom to ask first, and afterwards who answered.
func (l *life) ask(ctx context.Context, clients []fish.Client, turn *int, path string) (fish.Response, bool) {
	for {
		got, err := pick(clients, *turn).Do(ctx, http.MethodGet, "/api/v1/application/"+l.app+path, nil, "")
		switch {
		case ctx.Err() != nil:
			return fish.Response{}, false
		case err != nil:
			l.note(func(r *LoadResult) { r.Refused++ })
			*turn++
		case got.Status == http.StatusServiceUnavailable:
			l.note(func(r *LoadResult) { r.Unavailable++ })
		case got.Status >= http.StatusInternalServerError:
			l.note(func(r *LoadResult) { r.Broken++ })
		default:
			return got, true
		}
		if !pause(ctx, 100*time.Millisecond) {
			return fish.Response{}, false
		}
	}
}

// state asks for it once; false says that there is no answer before ctx ends.
func (l *life) state(ctx context.Context) bool {
	before := l.reader
	got, ok := l.ask(ctx, l.options.Read, &l.reader, "/state")
	if !ok {
		return false
	}
	var s fish.State
	if err := json.Unmarshal(got.Body, &s); got.Status != http.StatusOK || err != nil || s.Status == "" || s.ApplicationUID != l.app {
		l.falsehood("GET state", got)
		return true
	}
	if before == l.reader && backwards(l.last, s.Status) {
		l.falsehood("back: GET state", got)
	}
	l.last = s.Status
	return true
}

// backwards reports whether a node that said the one may not say the other
// later: what has ended stays so, and what ran does not wait again.
func backwards(before, now string) bool {
	switch before {
	case "DEALLOCATED", "ERROR":
		return now != before
	case "ALLOCATED", "DEALLOCATE":
		return now == "NEW" || now == "ELECTED" || before == "DEALLOCATE" && now == "ALLOCATED"
	}
	return false
}

// await asks for the state until it is as wanted; false says that it never
// was in time, and that the application is lost.
func (l *life) await(ctx context.Context, wanted func(status string) bool) bool {
	every := firstPoll
	for !wanted(l.last) {
		if !pause(ctx, every) || !l.state(ctx) {
			text := fmt.Sprintf("application %d %s is %s", l.number, l.app, l.last)
			l.note(func(r *LoadResult) { r.Lost = append(r.Lost, text) })
			return false
		}
		every = min(every*3/2, lastPoll)
	}
	return true
}

// use is what a build does: it reads the resource, works, and gives it back.
func (l *life) use(ctx context.Context) {
	if l.last != "ALLOCATED" { // it never ran, or is over already
		if l.last != "ERROR" {
			l.falsehood("an end that nobody asked for", fish.Response{})
		}
		return
	}
	seen := time.Since(l.begun)
	l.note(func(r *LoadResult) { r.Seen = append(r.Seen, seen) })
	got, ok := l.ask(ctx, l.options.Read, &l.reader, "/resource")
	var resource fish.Resource
	if ok && (got.Status != http.StatusOK || json.Unmarshal(got.Body, &resource) != nil || resource.Identifier == "") {
		l.falsehood("GET resource", got)
	}
	pause(ctx, l.options.Hold)
	l.release(ctx)
}

// tooLate is what a node says where there is nothing left to give back.
var tooLate = regexp.MustCompile(`with status: (DEALLOCATE|DEALLOCATED|ERROR|RECALLED)"`)

// release gives the application back. That it is too late for it may be an
// answer: somebody was heard whose answer was lost, or it had ended by itself.
// Whether it has is seen by who waits for the end; the state that the same
// node tells right afterwards may be older, where it had asked another one.
func (l *life) release(ctx context.Context) {
	turn := l.number
	got, ok := l.ask(ctx, l.options.Release, &turn, "/deallocate")
	if ok && got.Status != http.StatusOK && (got.Status != http.StatusBadRequest || !tooLate.Match(got.Body)) {
		l.falsehood("GET deallocate", got)
	}
}

// pause reports whether ctx still stands afterwards.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
