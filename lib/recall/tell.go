package recall

import (
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	// tellAfter is when the log tells who was not heard, which takes a farm that
	// is whole some seconds, and tellEvery when it does so again.
	tellAfter = 20 * time.Second
	tellEvery = time.Hour
)

// notHere is why who has answered is missing.
const notHere = "it has answered, and not all that it knows has come here yet"

// missing are those of the nodes that were not heard.
func (h *hearing) missing(nodes []model.UID) []model.UID {
	return slices.DeleteFunc(slices.Clone(nodes), h.heard)
}

// tell says for the log who is missing, and why. due reports whether it is to be
// told: it has been waited for them since long ago, and that was not told lately.
// Where nobody is known by name, nobody says whom it is about.
func (h *hearing) tell(missing []model.UID, nobody string, since time.Time) (attrs []any, due bool) {
	now := time.Now()
	if now.Sub(since) < tellAfter || !h.told.IsZero() && now.Sub(h.told) < tellEvery {
		return nil, false
	}
	h.told = now
	var names, why []string
	for _, node := range missing {
		name := h.Name(node)
		names, why = append(names, name), append(why, name+": "+h.reason(node))
	}
	slices.Sort(names)
	slices.Sort(why)
	if len(names) == 0 {
		names = []string{nobody}
	}
	return []any{"missing", fmt.Sprint(names), "for", now.Sub(since).Round(time.Second), "reasons", why}, true
}

// reason is why the node was not heard.
func (h *hearing) reason(node model.UID) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.errs[node]; err != nil {
		return err.Error()
	}
	if h.answers[node] != nil {
		return notHere
	}
	return "it was not asked yet"
}
