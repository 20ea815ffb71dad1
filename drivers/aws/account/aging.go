package account

import (
	"slices"
	"strings"
	"time"
)

// Aging is a kind of facts that are not renewed, as the service does not answer
// the question for them.
type Aging struct {
	// Of is what they are about, such as "quotas".
	Of string
	// Asked is when their last answer was asked for; zero: there never was one.
	Asked time.Time
	Err   error // of the last question
}

// Aging are the facts that age, by name. Those whose first question failed just
// now are not among them.
func (a *Account) Aging() []Aging {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []Aging
	for _, t := range a.topics() {
		if t.err != nil && time.Since(t.since) >= troubleAfter {
			list = append(list, Aging{t.name, t.asked, t.err})
		}
	}
	slices.SortFunc(list, func(x, y Aging) int { return strings.Compare(x.Of, y.Of) })
	return list
}
