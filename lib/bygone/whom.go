package bygone

import (
	"slices"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Farm is what a node knows of the others at one moment.
type Farm struct {
	Node        model.UID
	Retirements []model.Retirement
	Handovers   []model.Handover
	// Others are the members that are not retired, but for this node; Away are
	// those of them that can not be reached.
	Others, Away []model.UID
}

// Whom returns who has to be asked whether the application has closed: the node
// that executes it, else the one that decides about it. It is the one that
// closes it, so what it says holds. Where that is this node itself, or nobody is
// left, it is any of the others: the role may have gone round while the node was
// away.
func Whom(e *model.Entry, f Farm) []model.UID {
	node := executor(e.Fold)
	if node == model.NilUID || f.retired(node) {
		node = model.Arbiter(e.Application, f.Retirements, f.Handovers)
	}
	if node == f.Node || node == model.NilUID || f.retired(node) {
		return f.Others
	}
	return []model.UID{node}
}

func (f Farm) retired(node model.UID) bool {
	_, retired := model.Retired(node, f.Retirements)
	return retired
}

// executor is who runs the application, or was granted it; NilUID for nobody.
func executor(f model.Fold) model.UID {
	switch {
	case f.Allocated != nil && f.Allocated.NodeUID != model.NilUID:
		return f.Allocated.NodeUID
	case f.Grant != nil && f.Grant.Decision != nil:
		return f.Grant.Decision.Winner
	}
	return model.NilUID
}

// reach leaves out who can not be reached, and who is not known.
func (f Farm) reach(nodes []model.UID) []model.UID {
	var there []model.UID
	for _, node := range nodes {
		if slices.Contains(f.Others, node) && !slices.Contains(f.Away, node) {
			there = append(there, node)
		}
	}
	return there
}
