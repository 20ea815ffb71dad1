package election

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// mostTold bounds what is remembered. Past it all is forgotten, and told again.
const mostTold = 1000

// told is why a label can not run here at all, by its UID, as the log was told
// last: an operator wants to know it once, and again when it changes. Numbers
// alone are no change: an age in the text of a driver whose service is away would
// fill the log at every look.
type told map[model.UID]string

// news returns why none of the label's definitions can run here, if the log
// was not yet told so.
func (t told) news(label model.UID, c Candidates) (reasons string, ok bool) {
	if len(c.Options) > 0 {
		delete(t, label)
		return "", false
	}
	var parts []string
	for _, r := range c.Refusals {
		parts = append(parts, fmt.Sprintf("definition %d: %s", r.Definition, r.Reason))
	}
	reasons = strings.Join(parts, "; ")
	gist := gistOf(reasons)
	if t[label] == gist {
		return "", false
	}
	if len(t) >= mostTold {
		clear(t)
	}
	t[label] = gist
	return reasons, true
}

// gistOf is a text without the words that have digits: counts, times, ages, ids.
func gistOf(text string) string {
	words := strings.Fields(text)
	return strings.Join(slices.DeleteFunc(words, func(word string) bool { return strings.ContainsFunc(word, unicode.IsDigit) }), " ")
}
