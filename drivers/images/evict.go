package images

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// turnLimit is how long a turn is waited for, which takes milliseconds.
const turnLimit = 10 * time.Second

// turn is taken by who looks whether images are used, or removes them: so that
// one such look is not taken for a use by another, and two processes do not
// both remove for the same need. It takes a few file operations.
func (c *Cache) turn(ctx context.Context) (*lock, error) {
	if err := c.folders(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, turnLimit, fmt.Errorf("another process holds %s for too long: look whether it is stopped or its disk hangs", hidden+"/turn.lock"))
	defer cancel()
	return waitLock(ctx, filepath.Join(c.opts.Path, hidden, "turn.lock"), turnPoll)
}

// trash is where images go that are removed: out of sight in one step.
func (c *Cache) trash() string { return filepath.Join(c.opts.Path, hidden, "gone") }

// Remove removes an image, or what is left of a download, by its ID. The errors
// are those of drivers.ImageManager.
func (c *Cache) Remove(ctx context.Context, id string) error {
	if err := c.remove(ctx, id); err != nil {
		return fmt.Errorf("remove image %q: %w", id, err)
	}
	c.logger.Info("image was removed", "image", id)
	return nil
}

func (c *Cache) remove(ctx context.Context, id string) error {
	if c.flying(id) {
		return drivers.ErrImageInUse
	}
	c.warnOfLeases(c.endLeases())
	turn, err := c.turn(ctx)
	if err != nil {
		return err
	}
	k, err := c.lookFor(id)
	if err == nil {
		err = c.retire(k)
	}
	turn.release()
	if forgotten := c.forget(id); forgotten && errors.Is(err, drivers.ErrImageUnknown) {
		err = nil
	}
	c.sweepTrash()
	return err
}

// flying says whether the image is on its way in this process.
func (c *Cache) flying(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.flights {
		if f.see.id == id {
			return true
		}
	}
	return false
}

// forget forgets why the image failed.
func (c *Cache) forget(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.failures)
	c.failures = slices.DeleteFunc(c.failures, func(f shownAs) bool { return f.status.ID == id })
	return len(c.failures) < before
}

func (c *Cache) lookFor(id string) (kept, error) {
	all, err := c.scan(false)
	if err != nil {
		return kept{}, err
	}
	works, err := c.works()
	if err != nil {
		return kept{}, err
	}
	for _, w := range works {
		all = append(all, w.kept())
	}
	for _, k := range all {
		if k.id == id {
			return k, nil
		}
	}
	return kept{}, drivers.ErrImageUnknown
}

// retire takes an image away from who might look for it, whole and for good,
// unless somebody needs it. The turn is held.
func (c *Cache) retire(k kept) error {
	if k.foreign {
		return fmt.Errorf("%w: remove the folder %s yourself", drivers.ErrImageForeign, k.place)
	}
	if k.place == "" {
		return c.retirePart(k)
	}
	if err := os.MkdirAll(c.uses(k.id), 0o700); err != nil {
		return err
	}
	alone, err := tryLock(c.uses(k.id, useLock))
	if err != nil {
		return err
	}
	if alone == nil {
		return drivers.ErrImageInUse
	}
	defer alone.close()
	if by, err := c.claimed(k.id); err != nil {
		return err
	} else if by != "" {
		return heldBy(by)
	}
	// Both names are made durable before a file goes: after a power loss an
	// image in its place is whole.
	if err := durable.Rename(k.place, filepath.Join(c.trash(), k.id+"-"+rand.Text())); err != nil {
		return err
	}
	if err := durable.SyncFolder(filepath.Dir(k.place)); err != nil {
		return err
	}
	return os.RemoveAll(c.uses(k.id))
}

func (c *Cache) retirePart(k kept) error {
	held, err := tryLock(c.work(k.key, ".lock"))
	if err != nil {
		return err
	}
	if held == nil {
		return drivers.ErrImageInUse
	}
	defer held.release()
	return c.dropPart(k.key)
}

// inUse says whether a process or a holder uses the image. The turn is held.
func (c *Cache) inUse(id string) (bool, error) {
	if by, err := c.claimed(id); err != nil || by != "" {
		return by != "", err
	}
	if _, err := os.Stat(c.uses(id, useLock)); err != nil {
		return false, nil //nolint:nilerr // nobody ever used it
	}
	alone, err := tryLock(c.uses(id, useLock))
	if alone != nil {
		alone.close()
	}
	return alone == nil && err == nil, err
}

// mayBeUsed is inUse where one that can not be looked at must not keep the others
// from being listed and evicted: it counts as used.
func (c *Cache) mayBeUsed(id string) bool {
	used, err := c.inUse(id)
	if err != nil {
		c.logger.Warn("whether an image is used can not be found out: it is kept", "image", id, "error", err)
	}
	return used || err != nil
}

// sweepTrash removes what was taken away, also by a process that died before it
// was gone.
func (c *Cache) sweepTrash() {
	entries, err := os.ReadDir(c.trash())
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(c.trash(), e.Name())))
	}
	if err != nil {
		c.logger.Warn("removed images can not be cleared away", "folder", c.trash(), "error", err) // the next start tries again
	}
}

// sweepUnused removes what is written of uses of images that are gone.
func (c *Cache) sweepUnused() {
	entries, _ := os.ReadDir(c.uses(""))
	for _, e := range entries {
		if c.there(e.Name()) {
			continue
		}
		alone, err := tryLock(c.uses(e.Name(), useLock))
		if alone == nil || err != nil {
			continue // somebody is about to lay it out
		}
		if by, err := c.claimed(e.Name()); err == nil && by == "" && !c.there(e.Name()) {
			_ = os.RemoveAll(c.uses(e.Name()))
		}
		alone.close()
	}
}

func (c *Cache) there(id string) bool {
	_, public := os.Lstat(filepath.Join(c.opts.Path, id)) // not where a link leads, which may not answer
	_, second := os.Stat(filepath.Join(c.opts.Path, hidden, "images", id))
	return public == nil || second == nil
}

// evict removes what nobody uses, the least recently used first, until so many
// bytes are freed as need makes of the sum of all. With whole it removes
// nothing where even all of it would not do. One that can not be removed, or of
// which it can not be found out whether it is used, stays, and others go for it.
func (c *Cache) evict(ctx context.Context, need func(sum int64) int64, whole bool) (lack int64, err error) {
	turn, err := c.turn(ctx)
	if err != nil {
		return 0, err
	}
	defer c.sweepTrash()
	defer turn.release()
	all, sum, err := c.evictable()
	if err != nil {
		return 0, err
	}
	lack = need(sum)
	for rest := all; ; {
		next := victims(rest, lack, whole)
		if len(next) == 0 {
			return lack, nil
		}
		rest = rest[len(next):]
		for _, k := range next {
			lack -= c.evictOne(k)
		}
	}
}

// evictOne returns how many bytes went. The turn is held.
func (c *Cache) evictOne(k kept) int64 {
	if err := c.retire(k); errors.Is(err, drivers.ErrImageInUse) {
		return 0
	} else if err != nil {
		c.logger.Warn("image can not be evicted", "image", k.id, "error", err)
		return 0
	}
	c.logger.Info("image was evicted", "image", k.id, "bytes", k.size, "last_used", k.last().Round(time.Second))
	return k.size
}

// evictable are the things that may go, and sum is what these and those that
// may not take together. The turn is held.
func (c *Cache) evictable() (all []kept, sum int64, err error) {
	images, err := c.scan(false)
	if err != nil {
		return nil, 0, err
	}
	for _, k := range images {
		if k.foreign {
			continue
		}
		sum += k.size
		if !c.mayBeUsed(k.id) {
			all = append(all, k)
		}
	}
	works, err := c.works()
	if err != nil {
		return nil, 0, err
	}
	for _, w := range works {
		if !w.busy {
			sum += w.size
			all = append(all, w.kept())
		}
	}
	return all, sum, nil
}

// victims are those to remove for so many bytes, the least recently used first.
func victims(all []kept, bytes int64, whole bool) []kept {
	slices.SortStableFunc(all, func(a, b kept) int { return a.last().Compare(b.last()) })
	var freed int64
	for i, k := range all {
		if freed >= bytes {
			return all[:i]
		}
		freed += k.size
	}
	if whole && freed < bytes {
		return nil
	}
	return all
}

// evictOverLimit makes the cache keep images_max_size, as far as it may, with
// so many bytes that are to come.
func (c *Cache) evictOverLimit(ctx context.Context, coming int64) {
	limit := c.opts.MaxSize
	if limit == 0 {
		return
	}
	lack, err := c.evict(ctx, func(sum int64) int64 { return sum + coming - limit }, false)
	switch {
	case err != nil:
		c.logger.Warn("images can not be evicted", "error", err)
	case lack > 0:
		c.logger.Warn("images take more than images_max_size, and those that could be evicted are in use", "limit", limit, "over", lack)
	}
}

// admit makes room for an image of which so many bytes are to be downloaded
// and then unpacked, or says why it can not come.
func (c *Cache) admit(ctx context.Context, see *progress, rest, archive int64) error {
	if limit := c.opts.MaxSize; limit > 0 && archive > limit {
		return errSource{fmt.Errorf("archive has %d bytes, and images_max_size allows %d for all images: set it higher", archive, limit)}
	}
	c.evictOverLimit(ctx, archive*leastUnpacked)
	need := rest + archive*leastUnpacked
	lacks := func() (int64, error) {
		free, err := c.room(c.opts.Path)
		return need - (free - c.opts.Limits.MinFree - c.missing(see, leastUnpacked)), err
	}
	lack, err := lacks()
	if err == nil && lack > 0 && c.evictFor(ctx, lack) {
		lack, err = lacks()
	}
	if err != nil {
		return fmt.Errorf("find free room: %w", err)
	}
	if lack > 0 {
		return fmt.Errorf("%w: the image needs at least %d bytes to be downloaded and unpacked, %d more than can be had while %d stay free",
			errDiskFull, need, lack, c.opts.Limits.MinFree)
	}
	return nil
}

// roomOrEvict is what is free on the folder's disk. Where that is too little
// images are evicted.
func (c *Cache) roomOrEvict(ctx context.Context, dir string) (int64, error) {
	free, err := c.room(dir)
	if lack := c.opts.Limits.MinFree + roomEvery - free; err == nil && free < c.opts.Limits.MinFree && c.evictFor(ctx, lack) {
		return c.room(dir)
	}
	return free, err
}

// evictFor evicts images for so much room on the disk, and reports whether it
// could.
func (c *Cache) evictFor(ctx context.Context, lack int64) bool {
	left, err := c.evict(ctx, func(int64) int64 { return lack }, true)
	if err != nil {
		c.logger.Warn("images can not be evicted", "error", err)
	}
	return err == nil && left <= 0
}
