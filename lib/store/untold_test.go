package store

import (
	"errors"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// acquainted is a volume whose node has heard of another one.
func acquainted(t *testing.T) (*volume, *Store) {
	t.Helper()
	v, other := newVolume(t), openOther(t, 1)
	newLabel(t, other)
	hand(t, other, v.s)
	v.write(2)
	hand(t, v.s, other)
	v.close()
	v.open()
	return v, other
}

// unsuspected fails where a node that is in order takes what another one knows
// for something that it forgot.
func (v *volume) unsuspected(other *Store) {
	v.t.Helper()
	if origin, seq, forgotten := v.s.Forgotten(other.Vector()); forgotten {
		v.t.Errorf("believes to have forgotten %v up to %d", origin, seq)
	}
}

// TestUntoldOfAnotherSession: a version that knows nothing of what nobody was told
// of runs in between, and tells.
func TestUntoldOfAnotherSession(t *testing.T) {
	v, other := acquainted(t)
	v.close()
	left := v.disk.rows.untold
	v.open()
	v.write(3)
	hand(t, v.s, other)
	v.close()
	v.disk.rows.untold = left
	v.open()
	v.unsuspected(other)
	v.close()
}

// TestToldOnAFullDisk: what is told while nothing can be noted is noted as soon as
// it can.
func TestToldOnAFullDisk(t *testing.T) {
	v, other := acquainted(t)
	v.write(2)
	v.disk.Fail(errors.New("no space left on device"))
	hand(t, v.s, other) // before a write has found that out
	if _, err := v.s.CreateLabel(t.Context(), model.Label{Name: "x", Version: 1, Definitions: []model.LabelDefinition{}}); err == nil {
		t.Fatal("a full disk takes a row")
	}
	hand(t, v.s, other) // and after
	v.disk.Fail(nil)
	for deadline := time.Now().Add(30 * time.Second); v.s.Writable() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the disk is not tried again")
		}
	}
	v.disk.Crash()
	v.close()
	v.open()
	v.unsuspected(other)
	if origin := v.s.Origin(); v.s.Vector()[replica.Origin{Node: origin.Node, Incarnation: 1}] < other.Vector()[replica.Origin{Node: origin.Node, Incarnation: 1}] {
		t.Errorf("what was told got other numbers: %v, the other one has %v", v.s.Vector(), other.Vector())
	}
	v.close()
}

// TestUntoldAfterRebuild: a rebuild tells nobody.
func TestUntoldAfterRebuild(t *testing.T) {
	o := testOptions(t)
	s, other := openStore(t, o), openOther(t, 1)
	newLabel(t, other)
	hand(t, other, s)
	newLabel(t, s)
	hand(t, s, other)
	told := s.Vector()[s.Origin()]
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, o)
	newLabel(t, s)
	newLabel(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Rebuild(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, o)
	if _, _, forgotten := s.Forgotten(replica.Vector{s.Origin(): told + 1}); !forgotten {
		t.Errorf("a node that knows %d is believed, of which nobody was told after %d", told+1, told)
	}
}

// TestUntoldAfterRestamp: what was stamped anew has numbers that nobody was told
// of, after another start too.
func TestUntoldAfterRestamp(t *testing.T) {
	v, _ := acquainted(t)
	v.leap()
	v.write(2)
	v.close()
	v.open()
	if _, _, forgotten := v.s.Forgotten(replica.Vector{v.s.Origin(): 1}); !forgotten {
		t.Error("a node is believed that knows rows of which nobody was told")
	}
	v.close()
}

// TestCopiesTakeNothingAlong: a copy of the database may be of before what it says
// that nobody was told of was told.
func TestCopiesTakeNothingAlong(t *testing.T) {
	v, other := acquainted(t)
	v.write(2)
	copied := v.disk.Copy()
	hand(t, v.s, other)
	v.close()
	v.disk.Restore(copied)
	v.open()
	if was := (replica.Origin{Node: testNode, Incarnation: 1}); v.s.Vector()[was] != other.Vector()[was] || !v.s.Bumped() {
		t.Errorf("the copy has %v, the other one %v", v.s.Vector(), other.Vector())
	}
	v.close()
}

// TestComparedBeforeAReincarnation: two nodes that know other rows by one number
// compare before the node whose they are hears of it. None is lost.
func TestComparedBeforeAReincarnation(t *testing.T) {
	for name, sqlite := range map[string]bool{"memory": false, "sqlite": true} {
		t.Run(name, func(t *testing.T) {
			v, other, third := newVolume(t), openOther(t, 1), openOther(t, 2)
			if sqlite {
				other = openStore(t, Options{Folder: t.TempDir(), Node: other.opts.Node, Logger: quiet()})
				third = openStore(t, Options{Folder: t.TempDir(), Node: third.opts.Node, Logger: quiet()})
			}
			want := v.write(1)
			hand(t, v.s, other)
			hand(t, v.s, third)
			v.close()
			copied := v.disk.Snapshot()
			v.open()
			want = append(want, v.write(4)...)
			hand(t, v.s, other)
			v.close()
			v.disk.Rewind(copied)
			v.open()
			want = append(want, v.write(2)...)
			hand(t, v.s, third)
			if _, err := other.MergeRows(t.Context(), allRows(t, third), always); !errors.Is(err, errTaken) {
				t.Errorf("MergeRows = %v, want that numbers are taken", err)
			}
			if !v.hear(other.Vector()) {
				t.Fatal("the node does not notice")
			}
			all := []*Store{v.s, other, third}
			for range 3 {
				for _, from := range all {
					for _, to := range all {
						hand(t, from, to)
						if _, err := to.MergeRows(t.Context(), allRows(t, from), always); err != nil && !errors.Is(err, errTaken) {
							t.Fatal(err)
						}
					}
				}
			}
			wantBoth(t, v.s, other, want)
			wantBoth(t, other, third, want)
			v.close()
		})
	}
}
