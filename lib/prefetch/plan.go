package prefetch

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Wish is a definition whose images this node should have.
type Wish struct {
	Label      model.Label
	Definition int
	Instance   string
	Cached     bool // it has them
}

// Key names a wish for as long as its label lives.
type Key struct {
	Label      model.UID
	Definition int
	Instance   string
}

// Key returns the wish's.
func (w Wish) Key() Key { return Key{w.Label.UID, w.Definition, w.Instance} }

// Past is what became of a wish.
type Past struct {
	// Done says that its images were here once. They are not fetched again where
	// they are gone since: somebody, or a limit of the disk, had a reason, and
	// two labels whose images do not fit together would evict each other for ever.
	Done   bool
	Failed int // tries in a row
	Next   time.Time
	Reason string // why the last one failed
}

// The pauses after a failure: a server that restarts is back after a minute, and
// one that lacks the image costs a request an hour.
const firstPause, longestPause = time.Minute, time.Hour

// pauseAfter is how long to wait after so many failures in a row.
func pauseAfter(failed int) time.Duration {
	pause := firstPause
	for range failed - 1 {
		if pause *= 2; pause >= longestPause {
			return longestPause
		}
	}
	return pause
}

// failed is the past after one more failure.
func (p Past) failed(reason string, now time.Time) Past {
	p.Failed++
	p.Next, p.Reason = now.Add(pauseAfter(p.Failed)), reason
	return p
}

// Newest keeps of each name the label of the highest version.
func Newest(labels []model.Label) []model.Label {
	newest := map[string]model.Label{}
	for _, l := range labels {
		if known, ok := newest[l.Name]; !ok || l.Version > known.Version {
			newest[l.Name] = l
		}
	}
	list := make([]model.Label, 0, len(newest))
	for _, l := range newest {
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b model.Label) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Settle is the past of what may be wished: what is here is done, and what is of
// none of the labels is forgotten. What is no wish now may be one again, as when
// its driver did not know its room for a while.
func Settle(wishes []Wish, past map[Key]Past, labels []model.Label) map[Key]Past {
	lives := make(map[model.UID]bool, len(labels))
	for _, l := range labels {
		lives[l.UID] = true
	}
	settled := make(map[Key]Past, len(past))
	for key, p := range past {
		if lives[key.Label] {
			settled[key] = p
		}
	}
	for _, w := range wishes {
		if w.Cached {
			settled[w.Key()] = Past{Done: true}
		}
	}
	return settled
}

// Plan says what to pull now: one wish of each instance that is not busy, those
// that failed least before others, and of these the newest label's, which is
// about to be asked for. again is when a pause ends; zero where only an event
// can bring something to do.
func Plan(wishes []Wish, past map[Key]Past, busy map[string]bool, now time.Time) (begin []Wish, again time.Time) {
	chosen := map[string]Wish{}
	for _, w := range wishes {
		p := past[w.Key()]
		switch {
		case p.Done || busy[w.Instance]: // the end of what keeps it busy is an event
		case p.Next.After(now):
			if again.IsZero() || p.Next.Before(again) {
				again = p.Next
			}
		default:
			if other, ok := chosen[w.Instance]; !ok || before(w, other, past) {
				chosen[w.Instance] = w
			}
		}
	}
	for _, w := range chosen {
		begin = append(begin, w)
	}
	slices.SortFunc(begin, func(a, b Wish) int { return strings.Compare(a.Instance, b.Instance) })
	return begin, again
}

// before reports whether a is pulled before b.
func before(a, b Wish, past map[Key]Past) bool {
	return cmp.Or(
		cmp.Compare(past[a.Key()].Failed, past[b.Key()].Failed),
		b.Label.CreatedAt.Compare(a.Label.CreatedAt),
		strings.Compare(a.Label.Name, b.Label.Name),
		cmp.Compare(a.Definition, b.Definition),
	) < 0
}
