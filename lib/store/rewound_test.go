package store

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// volume is a node whose disk can be put back, marker and all.
type volume struct {
	t    *testing.T
	disk *Disk
	now  time.Time
	s    *Store
}

func newVolume(t *testing.T) *volume {
	v := &volume{t: t, disk: NewDisk(), now: time.Now()}
	v.open()
	return v
}

func (v *volume) open() {
	v.t.Helper()
	s, err := OpenMemory(v.t.Context(), Options{Node: testNode, Logger: quiet(), Now: func() time.Time {
		v.now = v.now.Add(time.Millisecond)
		return v.now
	}}, v.disk)
	if err != nil {
		v.t.Fatal(err)
	}
	v.s = s
}

func (v *volume) close() {
	v.t.Helper()
	if err := v.s.Close(); err != nil {
		v.t.Fatal(err)
	}
}

// write writes some labels.
func (v *volume) write(labels int) (names []string) {
	v.t.Helper()
	for range labels {
		names = append(names, newLabel(v.t, v.s).Name)
	}
	return names
}

// hear does what a node does about what another one knows.
func (v *volume) hear(theirs replica.Vector) (forgotten bool) {
	v.t.Helper()
	origin, seq, forgotten := v.s.Forgotten(theirs)
	if suspected := v.s.Suspect(origin, seq); suspected != forgotten {
		v.t.Errorf("Suspect = %t, Forgotten = %t", suspected, forgotten)
	}
	if !forgotten {
		return false
	}
	if err := v.s.Reincarnate(v.t.Context(), origin, seq); err != nil {
		v.t.Fatal(err)
	}
	return true
}

// wantBoth wants two stores that exchanged everything to be alike, and to have
// all of these labels.
func wantBoth(t *testing.T, a, b *Store, labels []string) {
	t.Helper()
	for _, s := range []*Store{a, b} {
		got := map[string]bool{}
		for _, l := range s.Labels() {
			got[l.Name] = true
		}
		for i, name := range labels {
			if !got[name] {
				t.Errorf("node %v: label %d is lost", s.opts.Node, i)
			}
		}
	}
	if !gocmp.Equal(digestsOf(t, a, always), digestsOf(t, b, always)) {
		t.Error("the stores differ after the exchange")
	}
}

// TestVolumePutBack puts the volume of a stopped node back, marker and all, so
// that it can not tell; it has written fewer rows than it lost, as many, or more
// when it hears of a node that knows those. No number names two rows then.
func TestVolumePutBack(t *testing.T) {
	for _, tt := range []struct {
		name          string
		lost, written int
		bumped        bool // an incarnation that the copy does not know was begun in what was lost
	}{
		{"nothing written", 2, 0, false}, {"fewer", 3, 2, false}, {"as many", 2, 2, false}, {"more", 2, 5, false},
		{"an incarnation lost, nothing written", 2, 0, true}, {"an incarnation lost, as many written", 2, 2, true}, {"an incarnation lost, more written", 1, 4, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, other := newVolume(t), openOther(t, 1)
			want := v.write(1)
			hand(t, v.s, other)
			v.close()
			copied := v.disk.Snapshot()

			v.open()
			if tt.bumped {
				if !v.hear(replica.Vector{v.s.Origin(): 100}) {
					t.Fatal("no incarnation is taken")
				}
			}
			lost := v.s.Origin()
			want = append(want, v.write(tt.lost)...)
			hand(t, v.s, other)
			v.close()
			v.disk.Rewind(copied)

			v.open()
			if v.s.Bumped() {
				t.Fatal("the marker was not put back")
			}
			want = append(want, v.write(tt.written)...)
			if !v.hear(other.Vector()) {
				t.Fatalf("a node that knows %v is believed to know nothing new", other.Vector())
			}
			if now := v.s.Origin(); now.Incarnation <= lost.Incarnation {
				t.Fatalf("writes as %d, which was used up to %d", now.Incarnation, lost.Incarnation)
			}
			if v.hear(other.Vector()) {
				t.Error("what was heard counts again")
			}
			hand(t, v.s, other)
			hand(t, other, v.s)
			if v.hear(other.Vector()) {
				t.Error("what was given away counts as forgotten")
			}
			wantBoth(t, v.s, other, want)
			v.close()
		})
	}
}

// TestVolumePutBackAndCutOff: a node whose volume was put back writes, cut off, and
// ends, in order or with its power and more than once, before it hears of a node
// that knows what was lost. No number names two rows then, and nothing that was
// written is lost.
func TestVolumePutBackAndCutOff(t *testing.T) {
	const lost = 3
	again := func(v *volume) { v.close(); v.open() }
	powerLoss := func(v *volume) { v.disk.Crash(); v.close(); v.open() }
	for name, ends := range map[string][]func(*volume){
		"stopped": {again}, "power lost": {powerLoss}, "both": {again, powerLoss}, "the other way": {powerLoss, again}, "thrice": {powerLoss, powerLoss, powerLoss},
	} {
		for written := range 2 * lost {
			t.Run(fmt.Sprintf("%s, %d written", name, written), func(t *testing.T) {
				v, other := newVolume(t), openOther(t, 1)
				want := append(v.write(1), newLabel(t, other).Name)
				hand(t, v.s, other)
				hand(t, other, v.s)
				v.close()
				copied := v.disk.Snapshot()
				v.open()
				want = append(want, v.write(lost)...)
				hand(t, v.s, other)
				v.close()
				v.disk.Rewind(copied)

				v.open()
				for _, end := range ends {
					want = append(want, v.write(written)...)
					end(v)
				}
				want = append(want, v.write(1)...)
				if _, lapsed := v.s.Lapsed(); !v.hear(other.Vector()) && !lapsed {
					t.Fatalf("a node that knows %v is believed to know nothing new", other.Vector())
				}
				hand(t, v.s, other)
				hand(t, other, v.s)
				if v.hear(other.Vector()) {
					t.Error("what was given away counts as forgotten")
				}
				wantBoth(t, v.s, other, want)
				again(v)
				if v.hear(other.Vector()) || !gocmp.Equal(withoutZero(v.s.Vector()), withoutZero(other.Vector())) {
					t.Errorf("after a start it knows %v, the other one %v", v.s.Vector(), other.Vector())
				}
				v.close()
			})
		}
	}
}

// TestVolumePutBackAndToldAnother: a node whose volume was put back tells one that
// lacks what was lost of what it wrote since, before it hears of one that knows
// more. What had two rows by one number has one each when all have compared.
func TestVolumePutBackAndToldAnother(t *testing.T) {
	const lost = 4
	for written := range lost {
		t.Run(strconv.Itoa(written), func(t *testing.T) {
			v, other, third := newVolume(t), openOther(t, 1), openOther(t, 2)
			all := []*Store{v.s, other, third}
			want := v.write(1)
			hand(t, v.s, other)
			hand(t, v.s, third)
			v.close()
			copied := v.disk.Snapshot()
			v.open()
			want = append(want, v.write(lost)...)
			hand(t, v.s, other)
			v.close()
			v.disk.Rewind(copied)

			v.open()
			all[0] = v.s
			want = append(want, v.write(written)...)
			hand(t, v.s, third)
			if !v.hear(other.Vector()) {
				t.Fatalf("a node that knows %v is believed to know nothing new", other.Vector())
			}
			for range 2 {
				for _, from := range all {
					for _, to := range all {
						hand(t, from, to)
						if _, err := to.MergeRows(t.Context(), allRows(t, from), always); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			wantBoth(t, v.s, other, want)
			wantBoth(t, other, third, want)
			numbers := map[replica.Version][]byte{}
			for _, r := range allRows(t, third) {
				at := replica.Version{Origin: r.Version.Origin, Seq: r.Version.Seq}
				if was, twice := numbers[at]; twice {
					t.Errorf("%v names the rows %x and %x", at, was, r.Key)
				}
				numbers[at] = r.Key
			}
			v.close()
		})
	}
}

// TestToldIsKept: what somebody was told of keeps its numbers, whatever ends the
// run, and what nobody was told of costs a node that is alone nothing.
func TestToldIsKept(t *testing.T) {
	v, other := newVolume(t), openOther(t, 1)
	v.write(2)
	powerLoss := func() { v.disk.Crash(); v.close(); v.open() }
	was := v.s.Vector()
	if powerLoss(); !gocmp.Equal(was, withoutZero(v.s.Vector())) {
		t.Errorf("a node that is alone has %v after a loss of power, before %v", v.s.Vector(), was)
	}
	newLabel(t, other)
	hand(t, other, v.s)
	v.write(2)
	hand(t, v.s, other)
	v.write(1)
	was = v.s.Vector()
	if powerLoss(); !gocmp.Equal(was, withoutZero(v.s.Vector())) {
		t.Errorf("after rows were given away it has %v, before %v", v.s.Vector(), was)
	}
	hand(t, v.s, other)
	hand(t, other, v.s)
	wantBoth(t, v.s, other, nil)
	v.close()
}

// TestToldIsDurableFirst: no row is given away before it is durable that some were.
func TestToldIsDurableFirst(t *testing.T) {
	v, other := newVolume(t), openOther(t, 1)
	newLabel(t, other)
	hand(t, other, v.s)
	v.write(1)
	told, err := v.s.Rows(t.Context(), v.s.Origin(), 0, replica.Limit{Rows: 10, Bytes: 1 << 20})
	if err != nil || len(told.Rows) == 0 {
		t.Fatalf("Rows = %+v, %v", told, err)
	}
	v.disk.Crash()
	v.close()
	v.open()
	if got := v.s.Vector()[told.Origin]; got < told.To {
		t.Errorf("after a loss of power the vector of %v is %d, and %d was told", told.Origin, got, told.To)
	}
	v.write(1)
	v.disk.Fail(errors.New("no space left on device"))
	if _, err := v.s.CreateLabel(t.Context(), model.Label{Name: "x", Version: 1, Definitions: []model.LabelDefinition{}}); err == nil {
		t.Error("a full disk takes a row")
	}
	hand(t, v.s, other) // also then: it is read-only, and not dumb
	v.disk.Fail(nil)
	v.close()
}

// leap has the volume's node write a label by a clock that is ahead, and stamp
// it anew.
func (v *volume) leap() (label string) {
	v.t.Helper()
	v.now = v.now.Add(3 * time.Hour)
	label = newLabel(v.t, v.s).Name
	v.now = v.now.Add(-3 * time.Hour)
	if done, err := v.s.Restamp(v.t.Context()); err != nil || done.Rows != 1 {
		v.t.Fatalf("Restamp = %+v, %v, want one row", done, err)
	}
	return label
}

// TestVolumePutBackAndRestamped: a node whose volume was put back, and that then
// stamped anew what it wrote by a clock that was ahead, hears only now of a node
// that knows what was lost. No number of the origin that it left names two rows.
func TestVolumePutBackAndRestamped(t *testing.T) {
	for written := range 4 {
		t.Run(strconv.Itoa(written), func(t *testing.T) {
			v, other := newVolume(t), openOther(t, 1)
			want := v.write(1)
			hand(t, v.s, other)
			v.close()
			copied := v.disk.Snapshot()
			v.open()
			want = append(want, v.write(2)...)
			hand(t, v.s, other)
			v.close()
			v.disk.Rewind(copied)

			v.open()
			want = append(want, v.write(written)...)
			want = append(want, v.leap())
			if !v.hear(other.Vector()) {
				t.Fatalf("a node that knows %v is believed to know nothing new", other.Vector())
			}
			if _, lapsed := v.s.Lapsed(); !lapsed || v.hear(other.Vector()) {
				t.Error("there is no lapse, or what was heard counts again")
			}
			want = append(want, v.write(1)...)
			hand(t, v.s, other)
			hand(t, other, v.s)
			wantBoth(t, v.s, other, want)
			v.close()
		})
	}
}

// TestRestampedIsNotForgotten: what a run gave away of the origin that it left,
// before and since, is nothing that it lacks.
func TestRestampedIsNotForgotten(t *testing.T) {
	v, early, late := newVolume(t), openOther(t, 1), openOther(t, 2)
	newLabel(t, v.s)
	hand(t, v.s, early)
	newLabel(t, v.s)
	for range 2 {
		v.leap()
		for _, s := range []*Store{early, late} {
			hand(t, v.s, s)
			if v.hear(s.Vector()) || v.hear(v.s.Vector()) {
				t.Error("suspects a node that knows what it was told")
			}
		}
	}
	v.close()
}

// TestRowsInTheDatabaseAreNotForgotten restarts a node whose rows are nowhere
// else, and one that gave them away in an earlier run.
func TestRowsInTheDatabaseAreNotForgotten(t *testing.T) {
	v, other := newVolume(t), openOther(t, 1)
	for range 3 {
		newLabel(t, v.s)
		if v.hear(other.Vector()) {
			t.Error("suspects a node that knows nothing")
		}
		hand(t, v.s, other)
		newLabel(t, v.s)
		v.close()
		v.open()
		if v.hear(other.Vector()) || v.hear(v.s.Vector()) {
			t.Error("suspects what it has itself")
		}
	}
	v.close()
}
