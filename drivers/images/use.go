package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// What is in the folder of an image's uses, beside one file for each holder.
const (
	useLock   = "lock" // flock: shared by who uses the image, alone by who removes it
	usedFile  = "used" // changed last when the image was last taken into use
	claimMark = "by-"  // and the holder
)

// useAttempts is how often an image is got that is removed before it can be
// used. What a flight brings is held, so only somebody's hand can do it twice.
const useAttempts = 3

// claim is the content of a holder's file. Its time is when somebody last knew
// that the holder lives (lease.go).
type claim struct {
	Owner  string `json:"owner"`            // Options.Owner
	Folder string `json:"folder,omitempty"` // Holder.Folder
}

// Holder is somebody who needs an image for longer than a process lives, such as
// an environment; the zero Holder is nobody.
type Holder struct {
	Name string // letters and digits, such as the environment's token
	// Folder, a whole path, is there for as long as the holder, on its machine:
	// what tells others that it lives although its node is gone. It may be empty.
	Folder string
}

// Use is Get of an image that stays: it is neither evicted nor removed until
// release is called, the cache is closed or the process dies. Calls of release
// after the first do nothing.
//
// With a holder the image stays longer: until Unuse of that holder, by whichever
// process, or the end of its lease. What tells that the holder exists has to be
// on disk before, or SweepUses takes the hold for a remain.
func (c *Cache) Use(ctx context.Context, image Image, holder Holder) (laid Laid, release func(), err error) {
	if holder != (Holder{}) {
		if err := c.checkHolder(holder.Name); err != nil {
			return Laid{}, nil, err
		}
	}
	p, err := image.parse()
	if err != nil {
		return Laid{}, nil, err
	}
	for range useAttempts {
		laid, landed, err := c.get(ctx, p)
		if err != nil {
			return Laid{}, nil, err
		}
		held, err := c.hold(ctx, p, laid, holder)
		landed()
		if err != nil {
			return Laid{}, nil, fmt.Errorf("use image %s: %w", shown(p.url), err)
		}
		if held != nil {
			return laid, c.keep(held), nil
		}
	}
	return Laid{}, nil, fmt.Errorf("image %s is removed each time before it can be used: look who cleans up %s", shown(p.url), c.opts.Path)
}

// keep holds the lock until the function that it returns is called, or the
// cache is closed.
func (c *Cache) keep(held *lock) (release func()) {
	c.mu.Lock()
	c.holds[held] = true
	c.mu.Unlock()
	return sync.OnceFunc(func() {
		c.mu.Lock()
		delete(c.holds, held)
		c.mu.Unlock()
		held.close()
	})
}

// hold marks the image as used. It returns nil where the image has gone.
func (c *Cache) hold(ctx context.Context, p parsed, laid Laid, holder Holder) (*lock, error) {
	held, err := c.share(ctx, laid.id)
	if err != nil {
		return nil, err
	}
	now, found, err := c.find(p) // again: only now nobody removes it
	if err == nil && found && now == laid {
		err = c.noteUse(laid.id, holder)
		if err == nil {
			return held, nil
		}
	}
	held.close()
	return nil, err
}

// share takes the lock of the image's users. Who removes the image holds it for
// a few file operations only.
func (c *Cache) share(ctx context.Context, id string) (*lock, error) {
	for {
		if err := os.MkdirAll(c.uses(id), 0o700); err != nil {
			return nil, err
		}
		held, err := tryLockMode(c.uses(id, useLock), true)
		if held != nil {
			return held, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // removed with the image just now
			return nil, err
		}
		if err := pause(ctx, turnPoll); err != nil {
			return nil, err
		}
	}
}

func (c *Cache) noteUse(id string, holder Holder) error {
	if holder.Name != "" {
		text, err := json.Marshal(claim{Owner: c.opts.Owner, Folder: holder.Folder})
		if err != nil {
			return err
		}
		if err := durable.WriteFile(c.uses(id, claimMark+holder.Name), text, 0o600); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(c.uses(id, usedFile), os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		now := time.Now()
		err = errors.Join(f.Close(), os.Chtimes(f.Name(), now, now))
	}
	if err != nil { // only the order of eviction suffers
		c.logger.Warn("last use of an image can not be noted", "image", id, "error", err)
	}
	return nil
}

// Unuse ends what Use did for the holder, of every image. It is idempotent, and
// is called before what tells of the holder goes.
func (c *Cache) Unuse(holder string) error {
	if err := c.checkHolder(holder); err != nil {
		return err
	}
	return c.eachClaim(func(path, by string) error {
		if by != holder {
			return nil
		}
		return dropClaim(path)
	})
}

// dropClaim removes a holder's file for good. That its folder is gone too is
// somebody's cleaning by hand.
func dropClaim(path string) error {
	if err := durable.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// SweepUses ends the uses of holders that are gone, of this cache's owner alone:
// those of a process that died between the end of an environment and Unuse.
// live is asked after the uses were listed, so that no holder is missed that
// comes meanwhile.
func (c *Cache) SweepUses(ctx context.Context, live func(ctx context.Context) ([]string, error)) error {
	found := map[string][]string{}
	err := c.eachClaim(func(path, by string) error {
		if held, ok := readClaim(path); ok && held.Owner == c.opts.Owner {
			found[by] = append(found[by], path)
		}
		return nil // what can not be read is of another, and stands
	})
	if err != nil || len(found) == 0 {
		return err
	}
	holders, err := live(ctx)
	if err != nil {
		return fmt.Errorf("list who uses images: %w", err)
	}
	for _, holder := range holders {
		delete(found, holder)
	}
	var errs []error
	for _, paths := range found {
		for _, path := range paths {
			errs = append(errs, dropClaim(path))
		}
	}
	return errors.Join(errs...)
}

// eachClaim hands the file of every holder of every image to do.
func (c *Cache) eachClaim(do func(path, holder string) error) error {
	images, err := os.ReadDir(c.uses(""))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // somebody emptied the cache
	}
	if err != nil {
		return fmt.Errorf("list uses of images: %w", err)
	}
	var errs []error
	for _, image := range images {
		files, err := os.ReadDir(c.uses(image.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, f := range files {
			if holder, ok := strings.CutPrefix(f.Name(), claimMark); ok {
				errs = append(errs, do(c.uses(image.Name(), f.Name()), holder))
			}
		}
	}
	return errors.Join(errs...)
}

func readClaim(path string) (held claim, ok bool) {
	text, err := os.ReadFile(path)
	return held, err == nil && json.Unmarshal(text, &held) == nil
}

// claimed returns the file of a holder that needs the image; "" if none does.
func (c *Cache) claimed(id string) (path string, err error) {
	files, err := os.ReadDir(c.uses(id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), claimMark) {
			return c.uses(id, f.Name()), nil
		}
	}
	return "", nil
}

// usedAt is when the image was last taken into use; zero is never.
func (c *Cache) usedAt(id string) time.Time {
	info, err := os.Stat(c.uses(id, usedFile))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// uses is where the uses of an image are written down.
func (c *Cache) uses(id string, elems ...string) string {
	return filepath.Join(append([]string{c.opts.Path, hidden, "use", id}, elems...)...)
}

func (c *Cache) checkHolder(holder string) error {
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`).MatchString(holder) {
		return fmt.Errorf("holder %q of images: want letters and digits, such as an environment's token", holder)
	}
	if c.opts.Owner == "" {
		return errors.New("images have holders and no Options.Owner")
	}
	return nil
}
