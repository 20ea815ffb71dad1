package space

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestOneSumForAllMembers: what one has written counts for all, and once.
func TestOneSumForAllMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const large = 1 << 60 // beside which nothing counts that others do to the file system meanwhile
		var rooms Rooms
		var written, reserved atomic.Int64
		join := func(count func() Count) *Membership {
			m, err := rooms.Join(Member{Dir: t.TempDir(), Count: func(context.Context) (Count, error) { return count(), nil }})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		native := join(func() Count { return Count{Written: written.Load(), Kept: map[string]int64{"cache": 5}} })
		docker := join(func() Count { return Count{Written: 2 * large, Reserved: reserved.Load()} })
		if native.FileSystem() != docker.FileSystem() {
			t.Fatalf("two folders are on %s and %s", native.FileSystem(), docker.FileSystem())
		}
		free := func(m *Membership) int64 {
			t.Helper()
			r, err := m.Read()
			if err != nil || r.Total == 0 {
				t.Fatalf("Read() = %+v, %v", r, err)
			}
			return (int64(r.Free)*gb + large/2) / large //nolint:gosec // small enough
		}
		if a, b := free(native), free(docker); a != 2 || b != 2 {
			t.Errorf("the members read %d and %d, want what the other has written", a, b)
		}
		if r, _ := native.Read(); r.Kept["cache"] != 5 {
			t.Errorf("Kept = %v, want one's own", r.Kept)
		}
		if r, _ := docker.Read(); len(r.Kept) != 0 {
			t.Errorf("Kept = %v, want nothing of another", r.Kept)
		}
		written.Store(large)
		time.Sleep(fresh)
		if got := free(docker); got != 3 {
			t.Errorf("free = %d, want 3", got)
		}
		reserved.Store(large)
		time.Sleep(fresh)
		if got := free(native); got != 2 {
			t.Errorf("free = %d, want 2 as the rest of an image takes one", got)
		}
		docker.Leave()
		docker.Leave() // changes nothing
		time.Sleep(fresh)
		if got := free(native); got != 1 {
			t.Errorf("free = %d, want 1 after a member left", got)
		}
		native.Leave()
		if len(rooms.rooms) != 0 {
			t.Errorf("%d file systems are left", len(rooms.rooms))
		}
	})
}

// TestChangeWhileCounting: whatever is written or removed between a count and
// the look at what is free, the sum is never more than there is.
func TestChangeWhileCounting(t *testing.T) {
	const size, used = int64(100), int64(40) // of which an environment has written all
	for _, tt := range []struct {
		name          string
		before, after int64 // what is free at the two looks
		counted       int64
		want          int64
	}{
		{"nothing changes", size - used, size - used, used, size},
		{"removed after it was counted", size - used, size, used, size},
		{"removed before it was counted", size - used, size, 0, size - used},
		{"written before it was counted", size, size - used, used, size},
		{"written after it was counted", size, size - used, 0, size - used},
	} {
		var rooms Rooms
		free := tt.before
		rooms.of = func(string) (int64, int64, error) { return size, free, nil }
		m, err := rooms.Join(Member{Dir: t.TempDir(), Count: func(context.Context) (Count, error) {
			free = tt.after
			return Count{Written: tt.counted}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := rooms.look(t.Context(), m.room); err != nil || got.free != tt.want {
			t.Errorf("%s: free = %d, %v, want %d", tt.name, got.free, err, tt.want)
		}
		m.Leave()
	}
}

// TestMemberThatFails: it is the only one that knows nothing.
func TestMemberThatFails(t *testing.T) {
	var rooms Rooms
	broken, err1 := rooms.Join(Member{Dir: t.TempDir(), Count: func(context.Context) (Count, error) {
		return Count{Written: 1 << 60}, errors.New("no rights")
	}})
	sound, err2 := rooms.Join(Member{Dir: t.TempDir()})
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	defer broken.Leave()
	defer sound.Leave()
	if r, err := broken.Read(); err == nil || !strings.Contains(err.Error(), broken.member.Dir+": no rights") {
		t.Errorf("Read() = %+v, %v, want why and where", r, err)
	}
	if r, err := sound.Read(); err != nil || r.Free > r.Total {
		t.Errorf("Read() = %+v, %v, want without what is not known", r, err)
	}
}

// TestCountingIsBounded: who counts for long is stopped, and what it found is
// taken, so that many files are no reason to know nothing.
func TestCountingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := (&Rooms{}).Join(Member{Dir: t.TempDir(), Count: func(ctx context.Context) (Count, error) {
			<-ctx.Done()
			return Count{Kept: map[string]int64{"found": 1}}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Leave()
		if _, err := m.Read(); !errors.Is(err, errLooking) {
			t.Errorf("Read() before the first look ended = %v, want %v", err, errLooking)
		}
		time.Sleep(counting)
		synctest.Wait()
		if r, err := m.Read(); err != nil || r.Kept["found"] != 1 {
			t.Errorf("Read() = %+v, %v, want what was found in time", r, err)
		}
	})
}

func TestRoomsOfNobody(t *testing.T) {
	m, err := (*Rooms)(nil).Join(Member{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Leave()
	if r, err := m.Read(); err != nil || r.Total == 0 || r.Free > r.Total {
		t.Errorf("Read() = %+v, %v", r, err)
	}
	if _, err := (&Rooms{}).Join(Member{Dir: filepath.Join(t.TempDir(), "absent")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Join() of a folder that is not there = %v", err)
	}
}

func TestOf(t *testing.T) {
	dir := t.TempDir()
	total, free, err := Of(dir)
	if err != nil || free <= 0 || total < free {
		t.Errorf("Of() = %d, %d, %v", total, free, err)
	}
	if _, _, err := Of(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Of() of what is not there = %v", err)
	}
	one, err1 := FileSystem(dir)
	two, err2 := FileSystem(filepath.Dir(dir))
	if one != two || one == "" || errors.Join(err1, err2) != nil {
		t.Errorf("FileSystem() = %q, %v and %q, %v, want the same", one, err1, two, err2)
	}
	if got := ToGB(3<<30 + 5); got != 3 || ToGB(-1) != 0 {
		t.Errorf("ToGB() = %d and %d, want 3 and 0", got, ToGB(-1))
	}
}
