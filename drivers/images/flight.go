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
func (c *Cache) fly(p parsed) (Laid, error) {
	limit := c.opts.Limits.Total
	ctx, cancel := context.WithTimeoutCause(c.ctx, limit, fmt.Errorf("it took longer than %v", limit))
	defer cancel()
	began := time.Now()
	laid, err := c.bring(ctx, p)
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
	return laid, err
}

func (c *Cache) bring(ctx context.Context, p parsed) (Laid, error) {
	key := p.key()
	if err := c.folders(); err != nil {
		return Laid{}, err
	}
	held, err := waitLock(ctx, c.work(key, ".lock"))
	if err != nil {
		return Laid{}, err
	}
	defer held.release()
	if laid, found, err := c.find(p); found || err != nil {
		return laid, err
	}
	if strength(p.sum.algo) == 0 {
		c.logger.Warn("image has no strong sum: whoever serves it decides what runs", "image", shown(p.url), "sum", p.sum.algo)
	}
	a, err := c.obtain(ctx, p)
	if err == nil {
		err = errors.Join(c.layOut(ctx, p, a), a.file.Close())
	}
	if err != nil {
		return Laid{}, c.cleanup(ctx, key, err)
	}
	_ = os.Remove(c.work(key, ".part"))
	laid, found, err := c.find(p)
	if err == nil && !found {
		err = fmt.Errorf("folder %s was changed by someone else", c.places(p)[0])
	}
	return laid, err
}

// cleanup removes what would only fail again or fills the disk. A download
// that was merely interrupted stays, to be resumed.
func (c *Cache) cleanup(ctx context.Context, key string, err error) error {
	left := os.RemoveAll(c.work(key, ".tmp"))
	if ctx.Err() == nil && !resumable(err) {
		left = errors.Join(left, remove(c.work(key, ".part")))
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
func (c *Cache) layOut(ctx context.Context, p parsed, a archive) error {
	tmp := c.work(p.key(), ".tmp")
	if err := os.RemoveAll(tmp); err != nil {
		return fmt.Errorf("remove old remains: %w", err)
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return fmt.Errorf("make folder to unpack into: %w", err)
	}
	l := c.opts.Limits
	err := unpack(ctx, a.file, tmp, &layer{
		opts: ExtractOptions{UID: -1, GID: -1, MaxBytes: l.MaxBytes, MaxEntries: l.MaxEntries, MinFree: l.MinFree},
		free: func() (int64, error) { return c.room(tmp) },
	})
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	if err := a.unchanged(); err != nil {
		return err
	}
	if _, err := locate(tmp, p); err != nil {
		return bad("archive is no image %q: %w; set the option name if the image has another", p.name, err)
	}
	if err := writeMark(tmp, p, a); err != nil {
		return fmt.Errorf("mark folder: %w", err)
	}
	if err := syncTree(tmp); err != nil {
		return fmt.Errorf("make image durable: %w", err)
	}
	return c.place(tmp, p)
}

func writeMark(folder string, p parsed, a archive) error {
	raw, err := json.Marshal(mark{Name: p.name, Version: p.version, URL: p.url.String(), Sums: a.sums})
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
// another image.
func (c *Cache) place(tmp string, p parsed) error {
	places := c.places(p)
	for _, to := range places {
		_ = os.Remove(to) // an empty folder holds nothing and may go
		err := os.Rename(tmp, to)
		if err == nil {
			return syncPath(filepath.Dir(to))
		}
		if _, there := os.Lstat(to); there != nil {
			return fmt.Errorf("name image folder: %w", err)
		}
	}
	return fmt.Errorf("folders %s and %s are taken by something else: remove them", places[0], places[1])
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
