package election

import (
	"fmt"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// mostTold bounds what is remembered. Past it all is forgotten, and told again.
const mostTold = 1000

// told is why a label can not run here at all, by its UID, as the log was told
// last: an operator wants to know it once, and again when it changes.
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
	if reasons = strings.Join(parts, "; "); t[label] == reasons {
		return "", false
	}
	if len(t) >= mostTold {
		clear(t)
	}
	t[label] = reasons
	return reasons, true
}
