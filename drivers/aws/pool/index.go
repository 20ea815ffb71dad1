package pool

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// index has the hosts that a step may have to go through, so that it costs
// nothing for the hundreds that run, idle or are scrubbed meanwhile. It follows
// the phases: place keeps it.
type index struct {
	free      []*host // Available, the first to be given out first: see compareFree
	releasing []*host // by id, those with a release whose answer is not known
	scrubbed  []*host // by id, those with a scrub instance
}

// places says in which lists of an index a host is, and where.
type places struct {
	free, releasing, scrubbed bool
	standing                  standing // in free
}

// standing is what free hosts are given out by, as it was when a host was put in.
type standing struct {
	failures  int
	allocated time.Time
}

// compareFree has a host first on which no launch failed lately, and then the
// youngest, as that has to be paid for anyway, while an old one can be released.
func compareFree(a, b *host) int {
	if c := cmp.Compare(a.in.standing.failures, b.in.standing.failures); c != 0 {
		return c
	}
	if c := b.in.standing.allocated.Compare(a.in.standing.allocated); c != 0 {
		return c
	}
	return compareID(a, b)
}

func compareID(a, b *host) int { return strings.Compare(a.id, b.id) }

// file puts a host into the lists that its facts want it in.
func (s *State) file(h *host) {
	to := places{free: h.phase == Available, releasing: h.releasing != nil, scrubbed: h.scrub != nil}
	if to.free {
		to.standing = standing{h.failures, h.allocated}
	}
	if to != h.in { // most steps change none
		s.index.set(h, to)
	}
	s.expect(h)
}

// unfile takes a host out of all lists.
func (s *State) unfile(h *host) {
	s.index.set(h, places{})
	if h.comes != nil {
		s.withdraw(h.comes)
		h.comes = nil
	}
}

// set has a host in these lists, and in no other.
func (x *index) set(h *host, to places) {
	if h.in.free && (!to.free || to.standing != h.in.standing) {
		x.free = without(x.free, h, compareFree)
		h.in.free, h.in.standing = false, standing{}
	}
	if to.free && !h.in.free {
		h.in.free, h.in.standing = true, to.standing
		x.free = with(x.free, h, compareFree)
	}
	x.releasing = member(x.releasing, h, &h.in.releasing, to.releasing)
	x.scrubbed = member(x.scrubbed, h, &h.in.scrubbed, to.scrubbed)
}

// member has a host in a list by id, or not.
func member(list []*host, h *host, is *bool, want bool) []*host {
	switch {
	case *is == want:
		return list
	case want:
		list = with(list, h, compareID)
	default:
		list = without(list, h, compareID)
	}
	*is = want
	return list
}

// with puts one more into a list, where it belongs.
func with[T any](list []T, one T, compare func(a, b T) int) []T {
	i, _ := slices.BinarySearchFunc(list, one, compare)
	return slices.Insert(list, i, one)
}

// without takes one that is in a list out of it.
func without[T any](list []T, one T, compare func(a, b T) int) []T {
	i, _ := slices.BinarySearchFunc(list, one, compare)
	return slices.Delete(list, i, i+1)
}
