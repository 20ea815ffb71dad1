package images

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// away makes it that long ago that the holder was known to live.
func away(t *testing.T, c *Cache, holder string, long time.Duration) {
	t.Helper()
	at := time.Now().Add(-long)
	if err := os.Chtimes(c.uses("img-1", claimMark+holder), at, at); err != nil {
		t.Fatal(err)
	}
}

// An image whose holder's node never comes back is free in the end; one that is
// in use never is, however long its node is away.
func TestLeaseOfANodeThatIsGone(t *testing.T) {
	living := t.TempDir()
	for _, tt := range []struct {
		name  string
		owner string // of the cache that looks
		hold  Holder
		away  time.Duration
		want  bool // still in use
	}{
		{"a week", "other", Holder{Name: "token"}, 7 * 24 * time.Hour, true},
		{"a summer", "other", Holder{Name: "token"}, leaseTime - time.Hour, true},
		{"for ever", "other", Holder{Name: "token"}, leaseTime + time.Hour, false},
		{"for ever, for a driver without holders", "", Holder{Name: "token"}, leaseTime + time.Hour, false},
		{"for ever, and its environment is there", "other", Holder{Name: "token", Folder: living}, 10 * leaseTime, true},
		{"for ever, and its environment is gone", "other", Holder{Name: "token", Folder: filepath.Join(living, "gone")}, leaseTime + time.Hour, false},
		{"for ever, and comes back", "node", Holder{Name: "token"}, 10 * leaseTime, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, image := stocked(t, Options{Owner: "node"})
			_, release, err := c.Use(deadline(t), image, tt.hold)
			if err != nil {
				t.Fatal(err)
			}
			release()
			away(t, c, "token", tt.away)
			wantInUse(t, newCache(t, Options{Path: c.opts.Path, Owner: tt.owner}), "img-1", tt.want)
		})
	}
}

// A node that lives renews what its environments hold, and nothing else.
func TestLeaseOfANodeThatLives(t *testing.T) {
	c, image := stocked(t, Options{Owner: "node"})
	other := newCache(t, Options{Path: c.opts.Path, Owner: "other"})
	for holder, by := range map[string]*Cache{"live": c, "dead": c, "theirs": other} {
		_, release := mustUse(t, by, image, holder)
		release()
		away(t, c, holder, leaseTime+time.Hour)
	}
	c.KeepUses([]string{"live", "theirs"})
	waitFor(t, func() bool { _, err := os.Stat(c.uses("img-1", claimMark+"theirs")); return err != nil })
	for holder, want := range map[string]bool{"live": true, "dead": false} {
		info, err := os.Stat(c.uses("img-1", claimMark+holder))
		if err != nil || (time.Since(info.ModTime()) < time.Minute) != want {
			t.Errorf("%s was renewed: want %v, %v", holder, want, err)
		}
	}
	away(t, c, "live", time.Hour)
	c.KeepUses([]string{"live"})
	c.wg.Wait()
	if info, err := os.Stat(c.uses("img-1", claimMark+"live")); err != nil || time.Since(info.ModTime()) < time.Minute {
		t.Errorf("renewed at each call: %v", err)
	}
	wantInUse(t, c, "img-1", true)
}

// However long a node runs: its leases are renewed long before they end.
func TestLeaseIsRenewedForAsLongAsItIsAsked(t *testing.T) {
	c, image := stocked(t, Options{Owner: "node"})
	_, release := mustUse(t, c, image, "token")
	release()
	path := c.opts.Path
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{Path: path, Owner: "node", Logger: c.logger})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 2 * int(leaseTime/time.Hour) {
			time.Sleep(time.Hour)
			c.KeepUses([]string{"token"})
			synctest.Wait()
			info, err := os.Stat(c.uses("img-1", claimMark+"token"))
			if err != nil || time.Since(info.ModTime()) > renewEvery {
				t.Fatalf("at %v the holder was last known to live at %v, %v", time.Now(), info.ModTime(), err)
			}
		}
	})
}

// Who is refused a removal is told by whom, and what to do if that never comes back.
func TestRemoveNamesTheHolder(t *testing.T) {
	c, image := stocked(t, Options{Owner: "node 1"})
	_, release := mustUse(t, c, image, "token")
	release()
	err := c.Remove(deadline(t), "img-1")
	file := c.uses("img-1", claimMark+"token")
	for _, want := range []string{"environment token of node 1", "if that node never comes back, remove " + file} {
		if !errors.Is(err, drivers.ErrImageInUse) || !strings.Contains(err.Error(), want) {
			t.Errorf("Remove = %v, want %q", err, want)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(deadline(t), "img-1"); err != nil {
		t.Errorf("after that, Remove = %v", err)
	}
}
