package store

import "github.com/aquarium-fish/aquarium-fish/lib/model"

// present computes what an entry shows. Another node's environment is shown as
// ALLOCATED only when its Resource is here, and that is taken in only when the
// label is: who reads one of them can read the others. Until then the entry
// looks as it did before, ELECTED or NEW. It reports whether there is anything
// to show.
func (s *Store) present(e *model.Entry, succession model.Succession) bool {
	e.Sort(succession)
	if e.Fold.Status() != model.StatusAllocated || e.Resource != nil || e.Fold.Allocated.NodeUID == s.opts.Node {
		return e.Fold.Status() != ""
	}
	e.Fold.Current = model.ApplicationState{}
	if e.Fold.Grant != nil {
		e.Fold.Current = *e.Fold.Grant
		return true
	}
	for _, row := range e.States {
		if row.Status == model.StatusNew && (e.Fold.Current.Status == "" || row.HLC < e.Fold.Current.HLC) {
			e.Fold.Current = row
		}
	}
	return e.Fold.Status() != ""
}

// hidden reports whether another node's environment is there and not shown.
func (s *Store) hidden(e *model.Entry) bool {
	return e.Fold.Runs() && e.Fold.Allocated.NodeUID != s.opts.Node && e.Resource == nil
}
