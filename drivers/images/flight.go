package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// fly brings one image here: from another process that works on it, from what
// was downloaded before, or from its sources.
//
// The lock that it returns keeps the image from being evicted.
func (c *Cache) fly(p parsed, see *progress) (Laid, *lock, error) {
	limit := c.opts.Limits.Total
	ctx, cancel := context.WithTimeoutCause(c.ctx, limit, fmt.Errorf("it took longer than %v", limit))
	defer cancel()
	began := time.Now()
	laid, held, err := c.bring(ctx, p, see)
	switch {
	case err == nil:
		c.logger.Info("image is ready", "image", shown(p.url), "folder", laid.Folder, "took", time.Since(began).Round(time.Millisecond))
	case errors.Is(err, ErrClosed):
	default:
		if diskFull(err) {
			err = fmt.Errorf("%w (%w)", errDiskFull, err)
		}
		c.logger.Warn("image is not available", "image", shown(p.url), "error", err)
		err = fmt.Errorf("get image %s: %w", shown(p.url), err)
	}
	return laid, held, err
}

func (c *Cache) bring(ctx context.Context, p parsed, see *progress) (Laid, *lock, error) {
	if err := c.folders(); err != nil {
		return Laid{}, nil, err
	}
	turn, err := c.takeTurn(ctx, p)
	if err != nil {
		return Laid{}, nil, err
	}
	defer turn.release()
	if laid, held, err := c.brought(ctx, p); held != nil || err != nil {
		return laid, held, err
	}
	c.writeInfo(see)
	if strength(p.sum.algo) == 0 {
		c.logger.Warn("image has no strong sum: whoever serves it decides what runs", "image", shown(p.url), "sum", p.sum.algo)
	}
	var held *lock // nil until the image is laid out
	a, err := c.obtain(ctx, p, see)
	if err == nil {
		held, err = c.layOut(ctx, p, a, see)
		err = errors.Join(err, a.file.Close())
	}
	if err != nil {
		held.closeIfAny()
		return Laid{}, nil, c.cleanup(ctx, p.key(), err)
	}
	_ = c.dropPart(p.key())
	laid, found, err := c.find(p)
	if err == nil && !found {
		err = fmt.Errorf("folder %s was changed by someone else", c.places(p)[0])
	}
	c.evictOverLimit(ctx, 0)
	return laid, held, err
}

// brought holds the image where another process has got it meanwhile.
func (c *Cache) brought(ctx context.Context, p parsed) (Laid, *lock, error) {
	laid, found, err := c.find(p)
	if err != nil || !found {
		return Laid{}, nil, err
	}
	held, err := c.share(ctx, laid.id)
	if err != nil {
		return Laid{}, nil, err
	}
	if again, found, err := c.find(p); err == nil && found && again == laid {
		return laid, held, nil
	}
	held.close() // it was evicted just now
	return Laid{}, nil, nil
}

// takeTurn waits until no other process works on the image.
func (c *Cache) takeTurn(ctx context.Context, p parsed) (*lock, error) {
	path := c.work(p.key(), ".lock")
	held, err := tryLock(path)
	if err != nil || held != nil {
		return held, err
	}
	c.logger.Info("image is got by another process, it is waited for", "image", shown(p.url))
	return waitLock(ctx, path, lockPoll)
}

// cleanup removes what would only fail again or fills the disk. A download
// that was merely interrupted stays, to be resumed.
func (c *Cache) cleanup(ctx context.Context, key string, err error) error {
	left := os.RemoveAll(c.work(key, ".tmp"))
	if _, there := os.Stat(c.work(key, ".part")); there != nil || ctx.Err() == nil && !resumable(err) {
		left = errors.Join(left, c.dropPart(key))
	}
	return errors.Join(err, left)
}

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// layOut unpacks the archive beside, makes it durable and only then gives it
// its name: under that name an image is never half.
func (c *Cache) layOut(ctx context.Context, p parsed, a archive, see *progress) (*lock, error) {
	tmp := c.work(p.key(), ".tmp")
	if err := os.RemoveAll(tmp); err != nil {
		return nil, fmt.Errorf("remove old remains: %w", err)
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return nil, fmt.Errorf("make folder to unpack into: %w", err)
	}
	see.enter(unpacking)
	if err := c.unpack(ctx, a, tmp, see); err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	if err := a.unchanged(); err != nil {
		return nil, err
	}
	if _, err := locate(tmp, p); err != nil {
		return nil, bad("archive is no image %q: %w; set the option name if the image has another", p.name, err)
	}
	if err := writeMark(tmp, p, a); err != nil {
		return nil, fmt.Errorf("mark folder: %w", err)
	}
	if err := syncTree(tmp); err != nil {
		return nil, fmt.Errorf("make image durable: %w", err)
	}
	return c.place(ctx, tmp, p)
}

func (c *Cache) unpack(ctx context.Context, a archive, into string, see *progress) error {
	l := c.opts.Limits
	opts := ExtractOptions{UID: -1, GID: -1, MaxBytes: l.MaxBytes, MaxEntries: l.MaxEntries, MinFree: l.MinFree}
	reason := ""
	if most := c.opts.MaxSize; most > 0 && most < opts.MaxBytes {
		opts.MaxBytes, reason = most, ", which is images_max_size"
	}
	return unpack(ctx, a.file, into, &layer{
		opts: opts, free: func() (int64, error) { return c.roomOrEvict(ctx, into) }, wrote: see.unpacked, reason: reason,
	})
}

func writeMark(folder string, p parsed, a archive) error {
	raw, err := json.Marshal(mark{Name: p.name, Version: p.version, URL: p.url.String(), Sums: a.sums, Size: sizeOf(folder, nil)})
	if err != nil {
		return err
	}
	path := filepath.Join(folder, markFile)
	if err := remove(path); err != nil { // what the archive brought under our name
		return err
	}
	return os.WriteFile(path, raw, 0o600)
}

// place gives the unpacked folder its name, the first that is not taken by
// another image. From the first moment on the image is in use, by whom the lock
// is returned to.
func (c *Cache) place(ctx context.Context, tmp string, p parsed) (*lock, error) {
	places := c.places(p)
	for _, to := range places {
		held, err := c.share(ctx, filepath.Base(to))
		if err != nil {
			return nil, err
		}
		if info, err := os.Lstat(to); err == nil && info.IsDir() {
			_ = os.Remove(to) // an empty folder holds nothing and may go; a link is an admin's, wherever it leads
		}
		if err = os.Rename(tmp, to); err == nil {
			return held, syncPath(filepath.Dir(to))
		}
		held.close()
		if _, there := os.Lstat(to); there != nil {
			return nil, fmt.Errorf("name image folder: %w", err)
		}
	}
	return nil, fmt.Errorf("folders %s and %s are taken by something else: remove them", places[0], places[1])
}

// syncPath makes a file, or the names in a folder, durable.
func syncPath(path string) error {
	if runtime.GOOS == "windows" {
		return nil // folders can not be synced there, and files need to be open for writing
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
