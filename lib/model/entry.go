package model

// Entry is all that a node knows of one Application. An Entry is a value of
// one moment: it is never changed once it can be seen, so it may be read
// without a lock, and nothing that it points to may be written.
type Entry struct {
	Application Application
	States      []ApplicationState // that count, in the order they became known
	Void        []ApplicationState // those that do not: see Believe
	Fold        Fold               // of States
	Resource    *Resource          // nil unless ALLOCATED
	Allocations []Allocation       // this node's own, one per epoch
	Tasks       []ApplicationTask  // in creation order
}

// AllStates are those that count, and after them those that do not.
func (e *Entry) AllStates() []ApplicationState {
	return append(e.States[:len(e.States):len(e.States)], e.Void...)
}

// Sort tells the states that count from those that do not, by what is known of
// who decides in whose place now, and folds them anew.
func (e *Entry) Sort(succession Succession) {
	e.States, e.Void = Believe(e.Application, e.AllStates(), succession)
	e.Fold = FoldStates(e.States)
}

// Allocation returns this node's allocation of the epoch.
func (e *Entry) Allocation(epoch uint32) (Allocation, bool) {
	for _, a := range e.Allocations {
		if a.Epoch == epoch {
			return a, true
		}
	}
	return Allocation{}, false
}

// OpenAllocations returns this node's allocations of which something may
// still exist.
func (e *Entry) OpenAllocations() []Allocation {
	var open []Allocation
	for _, a := range e.Allocations {
		if a.Open() {
			open = append(open, a)
		}
	}
	return open
}

// Done reports whether nothing is left to do here for the Application: it is
// closed, no environment of it may exist and every task has ended. Only then
// may it leave the memory of the node.
func (e *Entry) Done() bool {
	if !e.Fold.Closed {
		return false
	}
	for _, a := range e.Allocations {
		if a.Open() {
			return false
		}
	}
	for _, t := range e.Tasks {
		if !t.Ended() {
			return false
		}
	}
	return true
}

// Change is what one decision writes about one Application: all of it or
// nothing. The store fills in what it alone knows: UIDs that are zero, clock
// readings, times of day and the writing node.
type Change struct {
	// States are appended.
	States []ApplicationState
	// Allocations are inserted or replaced, by epoch.
	Allocations []Allocation
	// Resource is inserted or replaced, unless nil.
	Resource *Resource
	// DropResource removes the Resource.
	DropResource bool
	// Tasks are inserted or replaced, by UID.
	Tasks []ApplicationTask
}

// Empty reports whether the change writes nothing.
func (c Change) Empty() bool {
	return len(c.States) == 0 && len(c.Allocations) == 0 && c.Resource == nil &&
		!c.DropResource && len(c.Tasks) == 0
}
