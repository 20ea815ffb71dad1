// Package space counts the room of file systems, for all instances of a node
// together, and asks in a way that a file system which hangs holds nobody up.
//
// What there is for disks is what is free now and what live environments have
// written to disks that were promised to them: this sum stays the same while
// they write, so that nothing is counted twice. It is one sum for each file
// system, whichever instances have folders there.
package space

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// gb is what sizes of disks count in, in bytes.
const gb = 1 << 30

// ToGB is how many whole GB so many bytes are.
func ToGB(bytes int64) uint { return uint(max(0, bytes) / gb) } //nolint:gosec // not negative

// Count is what one member knows of the room that it takes. What it can not
// find out it leaves out: too little written is refused too much, never too
// little.
type Count struct {
	// Written is what the live environments of this member have written to
	// disks that were promised to them, in bytes: of each at most the promise.
	Written int64
	// Reserved is what will be written although nobody promised it, such as
	// the rest of an image that is on its way.
	Reserved int64
	// Kept are disks that are there whoever runs, by name: what each takes now.
	Kept map[string]int64
}

// Member is an instance with a folder on a file system.
type Member struct {
	Dir string
	// Count looks. It is called by one goroutine at a time, and rarely where it
	// takes long. When ctx ends it returns what it has counted. Nil counts
	// nothing.
	Count func(ctx context.Context) (Count, error)
}

// Reading is what was found at one look.
type Reading struct {
	Total uint // GB of the whole file system
	// Free is what all disks on it together may take, in GB: those of all
	// members.
	Free uint
	Kept map[string]int64 // the member's own
}

// Rooms are the file systems on which the instances of a node have folders.
// Its zero value is ready; a nil one counts each member for itself alone.
type Rooms struct {
	mu    sync.Mutex
	rooms map[string]*room // by name of the file system

	of func(dir string) (total, free int64, err error) // Of if nil: tests have others
}

// room is one file system.
type room struct {
	gauge   *gauge[look]
	members []*Membership // guarded by mu of Rooms
}

// look is what was found for all members at once.
type look struct {
	total, free int64
	counts      map[*Membership]Count
	errs        map[*Membership]error
}

// Membership is a member that has joined.
type Membership struct {
	rooms      *Rooms
	member     Member
	fileSystem string
	room       *room
}

// Join counts a member from now on, until it leaves.
func (r *Rooms) Join(m Member) (*Membership, error) {
	if r == nil {
		r = &Rooms{}
	}
	on, err := FileSystem(m.Dir)
	if err != nil {
		return nil, fmt.Errorf("find file system of %s: %w", m.Dir, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rooms == nil {
		r.rooms = map[string]*room{}
	}
	shared, ok := r.rooms[on]
	if !ok {
		shared = &room{}
		shared.gauge = newGauge(m.Dir, func(ctx context.Context) (look, error) { return r.look(ctx, shared) })
		r.rooms[on] = shared
	}
	joined := &Membership{rooms: r, member: m, fileSystem: on, room: shared}
	shared.members = append(shared.members, joined)
	return joined, nil
}

// FileSystem names the file system: members with the same name share it.
func (m *Membership) FileSystem() string { return m.fileSystem }

// Read returns what there is, from memory or by a look that it waits a moment
// for. At most one look at a file system is under way, whatever happens to it.
func (m *Membership) Read() (Reading, error) {
	found, err := m.room.gauge.read()
	if err == nil {
		err = found.errs[m]
	}
	if err != nil {
		return Reading{}, err
	}
	return Reading{Total: ToGB(found.total), Free: ToGB(found.free), Kept: found.counts[m].Kept}, nil
}

// Leave ends the membership. A look that hangs is waited for a second at most:
// nothing can end it but the file system or the end of the process.
func (m *Membership) Leave() {
	if m.rooms.leave(m) {
		m.room.gauge.close()
	}
}

// leave removes a member, and reports whether it was the last one.
func (r *Rooms) leave(m *Membership) (last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(m.room.members, m)
	if i < 0 {
		return false
	}
	m.room.members = slices.Delete(m.room.members, i, i+1)
	if len(m.room.members) > 0 {
		return false
	}
	delete(r.rooms, m.fileSystem)
	return true
}

func (r *Rooms) membersOf(room *room) []*Membership {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(room.members)
}

// look counts what all members have written, between two looks at what is
// free. The smaller is taken: of what is written meanwhile the second knows,
// and of what is removed after it was counted the first does not.
func (r *Rooms) look(ctx context.Context, room *room) (look, error) {
	members := r.membersOf(room)
	if len(members) == 0 { // the last one is just leaving
		return look{}, nil
	}
	found := look{counts: map[*Membership]Count{}, errs: map[*Membership]error{}}
	_, before, err1 := r.freeOf(members)
	var written int64
	for _, m := range members {
		if m.member.Count == nil {
			continue
		}
		c, err := m.member.Count(ctx)
		if err != nil {
			found.errs[m] = fmt.Errorf("room at %s: %w", m.member.Dir, err)
			continue
		}
		found.counts[m] = c
		written += c.Written - c.Reserved
	}
	total, after, err2 := r.freeOf(members)
	if err2 != nil {
		return look{}, err2
	}
	if err1 != nil { // its folder was made again by counting
		before = after
	}
	found.total, found.free = total, min(before, after)+written
	return found, nil
}

// freeOf asks the file system by the folder of any member: somebody may have
// removed one.
func (r *Rooms) freeOf(members []*Membership) (total, free int64, err error) {
	of := r.of
	if of == nil {
		of = Of
	}
	for _, m := range members {
		if total, free, err = of(m.member.Dir); err == nil {
			return total, free, nil
		}
	}
	return 0, 0, err
}
