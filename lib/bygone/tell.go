package bygone

import (
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// tellAfter is how long a member may fail to answer before the log tells: longer
// than a restart takes. tellEvery is when it does so again.
const (
	tellAfter = time.Minute
	tellEvery = time.Hour
)

// silence is that of a member that can be reached and does not answer.
type silence struct {
	since, last time.Time // the first failure in a row and the newest
	told        time.Time // zero: not yet
}

// silences are those of all members.
type silences map[model.UID]silence

// heard notes an answer.
func (s silences) heard(node model.UID) { delete(s, node) }

// failed notes that a member failed to answer, and reports for how long it has
// and whether the log is to be told. Failures far apart are none in a row: who
// could not be reached meanwhile was not asked.
func (s silences) failed(node model.UID, now time.Time) (lasting time.Duration, tell bool) {
	is := s[node]
	if is.since.IsZero() || now.Sub(is.last) > 2*again {
		is.since = now
	}
	is.last, lasting = now, now.Sub(is.since)
	if tell = lasting >= tellAfter && (is.told.IsZero() || now.Sub(is.told) >= tellEvery); tell {
		is.told = now
	}
	s[node] = is
	return lasting, tell
}

// tell notes what came of asking members, and tells the log who fails for long.
func (k *Keeper) tell(results map[model.UID]error) {
	now := time.Now()
	for node, err := range results {
		if err == nil {
			k.silences.heard(node)
			continue
		}
		if lasting, tell := k.silences.failed(node, now); tell {
			k.opts.Logger.Warn("a member does not say what became of applications, which is waited for: see what keeps it from answering, as a certificate or "+
				"a link, or retire it if it is gone for good (aquarium-fish cluster retire)", "member", k.opts.Name(node), "for", lasting.Round(time.Second), "error", err)
		}
	}
}
