// Package ownership decides which member owns a shared outside thing: a pool
// of a cloud, a sweeper, whatever must be handled by one node at a time. It is
// pure: records and what the members say go in, the owner comes out.
//
// The rule: the member that the configuration names; else the lowest UID among
// those that are configured for the thing, once all of them have caught up.
// Who owns it stays so until it gives it away itself, also as it is not
// configured for it any more, or is retired. There is
// no time-out: while the owner can not be reached nobody else takes from the
// thing or sweeps it.
//
// Ownership travels as model.Ownership rows. Each names whom it takes the
// thing from, so nodes that have the same rows name the same owner, in
// whatever order the rows came.
package ownership

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Share is a thing that a member is configured for.
type Share struct {
	Thing string // has no "="
	Owner string // name of the member that the configuration names; "" for none
}

// String is how a member tells it the others.
func (s Share) String() string {
	if s.Owner == "" {
		return s.Thing
	}
	return s.Thing + "=" + s.Owner
}

// ParseShare reads what a member tells.
func ParseShare(text string) Share {
	thing, owner, _ := strings.Cut(text, "=")
	return Share{thing, owner}
}

// Member is another node or this one, as far as ownership cares. Retired ones
// are left out.
type Member struct {
	Node model.UID
	Name string
	// Heard: it has told its Shares since this node started.
	Heard  bool
	Shares []Share
	// Synced: it can be reached and has caught up.
	Synced bool
}

// share is the member's share of a thing.
func (m Member) share(thing string) (Share, bool) {
	i := slices.IndexFunc(m.Shares, func(s Share) bool { return s.Thing == thing })
	if i < 0 {
		return Share{}, false
	}
	return m.Shares[i], true
}

// Owner is who owns the thing by what was written: NilUID if nobody ever did.
// It may be a retired node, which then waits for who follows it.
//
// A record counts if its From owned the thing and wrote it; if nobody owned it,
// or the owner is retired, who takes it writes it. What a node wrote after it
// was retired does not count.
func Owner(thing string, records []model.Ownership, retirements []model.Retirement) model.UID {
	owner := model.NilUID
	for _, r := range ordered(thing, records) {
		if r.From == owner && may(r, retirements) {
			owner = r.To
		}
	}
	return owner
}

// may reports whether the record's writer may give the thing of its From.
func may(r model.Ownership, retirements []model.Retirement) bool {
	if gone, retired := model.Retired(r.By, retirements); retired && gone.HLC <= r.HLC {
		return false
	}
	if _, retired := model.Retired(r.From, retirements); r.From == model.NilUID || retired && r.By != r.From {
		return r.By == r.To
	}
	return r.By == r.From
}

// ordered are the records of a thing, by the hybrid clock.
func ordered(thing string, records []model.Ownership) []model.Ownership {
	list := slices.DeleteFunc(slices.Clone(records), func(r model.Ownership) bool { return r.Thing != thing || r.To == model.NilUID })
	slices.SortFunc(list, func(a, b model.Ownership) int {
		return cmp.Or(cmp.Compare(a.HLC, b.HLC), bytes.Compare(a.By[:], b.By[:]), bytes.Compare(a.UID[:], b.UID[:]))
	})
	return list
}

// View is what a member knows.
type View struct {
	Self        model.UID
	Members     []Member // all that are not retired, this one too
	Records     []model.Ownership
	Retirements []model.Retirement
}

// Living is who owns the thing by what was written, unless it is retired.
func (v View) Living(thing string) model.UID {
	owner := Owner(thing, v.Records, v.Retirements)
	if _, retired := model.Retired(owner, v.Retirements); retired {
		return model.NilUID
	}
	return owner
}

// Decision is what a member is to do about a thing.
type Decision struct {
	// Owner may take from the thing and sweep it; NilUID: nobody may now.
	Owner model.UID
	// Write is what this node has to write, if it is not nil.
	Write *model.Ownership
	// Waits is why nobody owns it yet.
	Waits string
}

// Decide says who owns the thing, and whether this node has to write that
// somebody else does from now on.
func Decide(thing string, v View) Decision {
	if owner := v.Living(thing); owner != model.NilUID {
		return v.keep(thing, owner)
	}
	owner := Owner(thing, v.Records, v.Retirements)
	next, waits := v.next(thing)
	d := Decision{Waits: waits}
	if next == v.Self && waits == "" {
		d.Write = &model.Ownership{Thing: thing, From: owner, To: v.Self, By: v.Self}
	}
	return d
}

// keep is the decision about a thing that has an owner: that one alone may give
// it away, to whom its configuration names.
func (v View) keep(thing string, owner model.UID) Decision {
	d := Decision{Owner: owner}
	if owner != v.Self {
		return d
	}
	mine, _ := v.member(owner).share(thing)
	if to, ok := v.named(mine.Owner); ok && to.Node != owner && to.Synced {
		d.Write = &model.Ownership{Thing: thing, From: owner, To: to.Node, By: owner}
	}
	return d
}

// Leave is what this node, which owns the thing and is not configured for it any
// more, has to write so that it is run again: that who would take it if nobody
// owned it owns it. nil: there is nobody, or it is not known yet.
func Leave(thing string, v View) *model.Ownership {
	if v.Living(thing) != v.Self {
		return nil
	}
	next, waits := v.next(thing)
	if waits != "" || next == model.NilUID || next == v.Self {
		return nil
	}
	return &model.Ownership{Thing: thing, From: v.Self, To: next, By: v.Self}
}

func (v View) member(node model.UID) Member {
	i := slices.IndexFunc(v.Members, func(m Member) bool { return m.Node == node })
	if i < 0 {
		return Member{}
	}
	return v.Members[i]
}

func (v View) named(name string) (Member, bool) {
	i := slices.IndexFunc(v.Members, func(m Member) bool { return m.Name == name && name != "" })
	if i < 0 {
		return Member{}, false
	}
	return v.Members[i], true
}

// next is who is to own a thing that nobody owns, and why that has to wait: a
// member that was not heard may be configured for it.
func (v View) next(thing string) (next model.UID, waits string) {
	owner := ""
	for _, m := range v.Members {
		share, shares := m.share(thing)
		switch {
		case !m.Heard:
			return next, "it is not known yet whether " + m.Name + " is configured for it"
		case !shares:
			continue
		case !m.Synced:
			return next, m.Name + " is configured for it and has not caught up, or can not be reached"
		case share.Owner != "" && owner != "" && share.Owner != owner:
			return next, "the configuration names two owners, " + min(owner, share.Owner) + " and " + max(owner, share.Owner) + ": name the same one on all members"
		}
		owner = cmp.Or(owner, share.Owner)
		if next == model.NilUID || bytes.Compare(m.Node[:], next[:]) < 0 {
			next = m.Node
		}
	}
	if owner == "" {
		return next, ""
	}
	m, ok := v.named(owner)
	if _, shares := m.share(thing); !ok || !shares {
		return model.NilUID, "its configured owner " + owner + " is no member that is configured for it"
	}
	return m.Node, ""
}

// List is what people see: every thing that a member is configured for or that
// was ever owned, by name.
func List(v View) []status.Ownership {
	things := map[string]bool{}
	for _, m := range v.Members {
		for _, s := range m.Shares {
			things[s.Thing] = true
		}
	}
	for _, r := range v.Records {
		things[r.Thing] = true
	}
	var list []status.Ownership
	for thing := range things {
		list = append(list, status.Ownership{Thing: thing, Node: Decide(thing, v).Owner})
	}
	slices.SortFunc(list, func(a, b status.Ownership) int { return cmp.Compare(a.Thing, b.Thing) })
	return list
}
