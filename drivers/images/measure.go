package images

import (
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	// measureWait is how long a list waits for the size of all folders that an
	// admin made; what takes longer is shown by the next one.
	measureWait = time.Second
	// measureEvery is how long such a size counts.
	measureEvery = 10 * time.Minute
	// mostMeasured bounds the sizes that are remembered.
	mostMeasured = 1000
)

// measured is the size of an admin's folder.
type measured struct {
	size int64
	at   time.Time     // of the last walk's end; zero: none ended yet
	walk chan struct{} // closed at the end of the one under way; nil: none is
}

// measure is the size of the folder as far as it is known when enough is
// closed. The walk goes on, and ends with the cache.
func (c *Cache) measure(folder string, enough <-chan time.Time) int64 {
	if walk := c.beginWalk(folder, time.Now()); walk != nil {
		select {
		case <-walk:
		case <-enough:
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.sizes[folder]; m != nil {
		return m.size
	}
	return 0
}

// beginWalk returns what is closed at the end of the walk that is under way, or
// nil where none has to be.
func (c *Cache) beginWalk(folder string, now time.Time) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.sizes[folder]
	if m == nil {
		if len(c.sizes) >= mostMeasured {
			clear(c.sizes) // walks under way end nevertheless
		}
		m = &measured{}
		c.sizes[folder] = m
	}
	if m.walk != nil || c.closed || !m.at.IsZero() && now.Sub(m.at) < measureEvery {
		return m.walk
	}
	walk := make(chan struct{})
	m.walk = walk
	c.wg.Go(func() {
		size := sizeOf(folder, func() bool { return c.ctx.Err() != nil })
		c.mu.Lock()
		m.size, m.at, m.walk = size, time.Now(), nil
		c.mu.Unlock()
		close(walk)
	})
	return walk
}

// fileID is a file's own number.
type fileID struct{ device, inode uint64 }

// seen are the files with several names that were met.
type seen map[fileID]bool

// before says whether the file was met by another name.
func (s seen) before(info fs.FileInfo) bool {
	id, several := identity(info)
	if !several {
		return false
	}
	met := s[id]
	s[id] = true
	return met
}

// sizeOf is what the files below a folder take on disk, links not followed and
// each file counted once. It ends early where ended says so.
func sizeOf(folder string, ended func() bool) (bytes int64) {
	if path, err := filepath.EvalSymlinks(folder); err == nil {
		folder = path
	}
	met := seen{}
	_ = filepath.WalkDir(folder, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what can not be read is passed over
		}
		if info, err := e.Info(); err == nil && !met.before(info) {
			bytes += allocated(info)
		}
		if ended != nil && ended() {
			return fs.SkipAll
		}
		return nil
	})
	return bytes
}

// isLink says whether somebody put a link where a folder should be.
func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}
