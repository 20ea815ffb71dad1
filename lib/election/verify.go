package election

import (
	"fmt"
	"slices"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Verify checks a decision by the votes that it records, as any node and any
// person can: that its winner is the best of them, and that nobody chose the
// random parts. Its error says what does not follow. Decisions that came from
// an older program without its votes can not be checked, which is an error too.
func Verify(app model.UID, d model.Decision) error {
	if len(d.Yes) == 0 {
		return fmt.Errorf("decision on %s records no yes", app)
	}
	voters := make(map[model.UID]bool, len(d.Yes))
	for _, v := range d.Yes {
		if err := verifyVote(app, v); err != nil {
			return err
		}
		if voters[v.NodeUID] {
			return fmt.Errorf("node %s voted twice", v.NodeUID)
		}
		voters[v.NodeUID] = true
	}
	best := slices.MinFunc(d.Yes, betterAt(d.Location))
	if best.NodeUID != d.Winner || best.Available != d.Definition {
		return fmt.Errorf("node %s wins with definition %d, the decision names node %s with %d", best.NodeUID, best.Available, d.Winner, d.Definition)
	}
	if d.No < 0 || d.Missing < 0 {
		return fmt.Errorf("%d noes and %d missing votes can not be", d.No, d.Missing)
	}
	return nil
}

func verifyVote(app model.UID, v model.Vote) error {
	switch uid := model.VoteUID(app, v.NodeUID, v.Boot, v.Round); {
	case v.ApplicationUID != app:
		return fmt.Errorf("vote %s is for another application", v.UID)
	case !v.Yes():
		return fmt.Errorf("vote %s is a no", v.UID)
	case v.UID != uid || v.Rand != model.VoteRand(uid):
		return fmt.Errorf("vote %s of node %s: its random part was chosen", v.UID, v.NodeUID)
	}
	return nil
}
