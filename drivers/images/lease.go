package images

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

const (
	// leaseTime is how long a holder counts of which nobody says that it lives:
	// longer than a machine is away that comes back, as after a long holiday.
	leaseTime = 8 * 7 * 24 * time.Hour
	// renewEvery is how often it is said: rare enough to cost nothing, and often
	// enough that weeks without it mean that there is nobody to say it.
	renewEvery = 12 * time.Hour
)

// KeepUses says that these holders live, all that the owner has. Called again
// and again it renews their leases now and then, beside, and ends those of others
// that are over. It never waits.
func (c *Cache) KeepUses(holders []string) {
	c.mu.Lock()
	due := c.renewed.IsZero() || time.Since(c.renewed) >= renewEvery
	if due {
		c.renewed = time.Now()
	}
	c.mu.Unlock()
	if !due {
		return
	}
	c.spawn(func() {
		live := map[string]bool{}
		for _, h := range holders {
			live[h] = true
		}
		c.warnOfLeases(errors.Join(c.renew(live), c.endLeases()))
	})
}

// renew notes that the holders live now.
func (c *Cache) renew(live map[string]bool) error {
	now := time.Now()
	return c.eachClaim(func(path, holder string) error {
		if held, ok := readClaim(path); !live[holder] || !ok || held.Owner != c.opts.Owner {
			return nil
		}
		err := os.Chtimes(path, now, now)
		if errors.Is(err, fs.ErrNotExist) { // released just now
			return nil
		}
		return err
	})
}

// endLeases ends the holds of those of whom nobody knew for leaseTime that they
// live, unless what they are is still there: an environment outlives its node. It
// looks outside of the cache, where a disk may not answer, so nobody holds the
// turn meanwhile.
func (c *Cache) endLeases() error {
	return c.eachClaim(func(path, holder string) error {
		info, err := os.Stat(path)
		if err != nil || time.Since(info.ModTime()) < leaseTime {
			return nil //nolint:nilerr // released just now
		}
		held, _ := readClaim(path)
		if held.Owner == c.opts.Owner && held.Owner != "" {
			return nil // SweepUses knows
		}
		if held.Folder != "" {
			if _, err := os.Lstat(held.Folder); !errors.Is(err, fs.ErrNotExist) {
				return nil // it lives, or nobody can tell
			}
		}
		c.logger.Warn("image is not kept any more for an environment whose node has not come back",
			"image", filepath.Base(filepath.Dir(path)), "holder", holder, "owner", held.Owner, "last_seen", info.ModTime().UTC().Format(time.RFC3339))
		return dropClaim(path)
	})
}

// warnOfLeases tells why leases could not be looked at: the next look does it.
func (c *Cache) warnOfLeases(err error) {
	if err != nil {
		c.logger.Warn("leases of images can not be looked at", "error", err)
	}
}

// heldBy is drivers.ErrImageInUse with what there is to know of the holder.
func heldBy(path string) error {
	held, _ := readClaim(path)
	holder := strings.TrimPrefix(filepath.Base(path), claimMark)
	seen := "?"
	if info, err := os.Stat(path); err == nil {
		seen = info.ModTime().UTC().Format(time.RFC3339)
	}
	return fmt.Errorf("%w: environment %s of %s needs it, as was last known at %s; if that node never comes back, remove %s",
		drivers.ErrImageInUse, holder, held.Owner, seen, path)
}
