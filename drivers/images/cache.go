package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// ErrClosed says that the cache was closed before the image was there. What
// was downloaded is kept for the next process.
var ErrClosed = errors.New("image cache is closed")

// Cache is a folder of images and the downloads into it. Any number of caches,
// also of other processes, may share one folder.
type Cache struct {
	opts   Options
	logger *slog.Logger
	client *http.Client
	room   func(dir string) (int64, error) // free bytes; tests replace it

	ctx    context.Context // of the downloads: ends with Close, not with a waiter
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu       sync.Mutex // guards what is below
	closed   bool
	flights  map[string]*flight
	landed   uint64               // how many of them brought their image
	failures []shownAs            // the oldest first
	holds    map[*lock]bool       // of images in use
	sizes    map[string]*measured // of admins' folders
	renewed  time.Time            // when the leases of the owner's holders were last renewed
}

// flight is one image on its way, shared by all who wait for it. Its results
// are set before done is closed.
type flight struct {
	see  *progress
	done chan struct{}
	laid Laid
	err  error

	// Until the last of those who waited has taken it into use, the image is not
	// evicted: guarded by the cache's mu.
	waiters int
	landed  bool
	held    *lock
}

// Laid is an image that is there, whole. It is never changed: who uses it
// copies or links from it.
type Laid struct {
	// Folder is the one inside the archive whose name starts with the image's:
	// where its <name>.tar, its machine or its files are.
	Folder        string
	Name, Version string

	id string // of the image in its cache
}

// Archive is the path of the image's <name>.tar; empty where it has none.
func (l Laid) Archive() string {
	path := filepath.Join(l.Folder, l.Name+".tar")
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return path
}

// New opens the cache in the folder of the options and removes what dead
// processes left half-made there.
func New(opts Options) (*Cache, error) {
	opts.Limits = opts.Limits.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(opts.Path)
	if err != nil {
		return nil, fmt.Errorf("find images_path: %w", err)
	}
	opts.Path = abs
	c := &Cache{
		opts: opts, logger: opts.Logger, client: newClient(opts.Limits.Stall),
		room: freeBytes, flights: map[string]*flight{}, holds: map[*lock]bool{}, sizes: map[string]*measured{},
	}
	if opts.Client != nil {
		own := *opts.Client
		c.client = &own
	}
	c.client.CheckRedirect = c.redirect
	if err := c.sweep(); err != nil {
		return nil, fmt.Errorf("open images_path: %w", err)
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c, nil
}

// Close ends all downloads and waits for them; their waiters get ErrClosed. It
// ends the uses that have no holder.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel(ErrClosed)
	c.wg.Wait()
	c.client.CloseIdleConnections()
	c.mu.Lock()
	holds := c.holds
	c.holds = map[*lock]bool{}
	c.mu.Unlock()
	for held := range holds {
		held.close()
	}
	return nil
}

// spawn does something beside that Close waits for, unless the cache is closed.
func (c *Cache) spawn(do func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.wg.Go(do)
	}
	return !c.closed
}

// Check says whether this cache may get the image: that it is valid, its sum
// is as strong as required and a file lies below an allowed root. It touches
// nothing outside the process.
func (c *Cache) Check(image Image) error {
	p, err := image.parse()
	if err != nil {
		return err
	}
	return c.allowed(p)
}

func (c *Cache) allowed(p parsed) error {
	if strength(p.sum.algo) < strength(c.opts.RequireSum) {
		return fmt.Errorf("image %s: images_require_sum wants a sum of %s or stronger", shown(p.url), c.opts.RequireSum)
	}
	if p.url.Scheme == "file" && !below(c.opts.FileRoots, filepath.FromSlash(p.url.Path)) {
		return fmt.Errorf("image %s: the file is not below any of images_file_roots", shown(p.url))
	}
	return nil
}

// below says whether the path lies in one of the folders, by name alone.
func below(roots []string, path string) bool {
	for _, root := range roots {
		rel, err := filepath.Rel(filepath.Clean(root), filepath.Clean(path))
		if err == nil && rel != "." && filepath.IsLocal(rel) {
			return true
		}
	}
	return false
}

// Have says whether the image is there, so that Get would return at once.
func (c *Cache) Have(image Image) bool {
	p, err := image.parse()
	if err != nil || c.allowed(p) != nil {
		return false
	}
	_, found, err := c.find(p)
	return found && err == nil
}

// Get returns when the image is laid out, or when ctx ends. The download is
// shared with all who want the same image, and goes on without them: it ends
// with the cache, and a later process resumes it. The image may be evicted
// afterwards: who works with it calls Use.
func (c *Cache) Get(ctx context.Context, image Image) (Laid, error) {
	p, err := image.parse()
	if err != nil {
		return Laid{}, err
	}
	laid, landed, err := c.get(ctx, p)
	if err != nil {
		return Laid{}, err
	}
	landed()
	return laid, nil
}

// get is Get of an image that, where it has just come, stays until landed is
// called.
func (c *Cache) get(ctx context.Context, p parsed) (laid Laid, landed func(), err error) {
	if err := c.allowed(p); err != nil {
		return Laid{}, nil, err
	}
	if laid, found, err := c.find(p); found || err != nil {
		return laid, func() {}, err
	}
	if err := ctx.Err(); err != nil {
		return Laid{}, nil, fmt.Errorf("get image %s: %w", shown(p.url), err)
	}
	f, err := c.join(p) //nolint:contextcheck // a waiter's context must not end the shared download
	if err != nil {
		return Laid{}, nil, err
	}
	select {
	case <-f.done:
		if f.err != nil {
			c.leave(f)
			return Laid{}, nil, f.err
		}
		return f.laid, func() { c.leave(f) }, nil
	case <-ctx.Done():
		c.leave(f)
		return Laid{}, nil, fmt.Errorf("wait for image %s: %w", shown(p.url), ctx.Err())
	}
}

// join returns the flight of the image, a new one where there is none.
func (c *Cache) join(p parsed) (*flight, error) {
	key, id := p.key(), c.comingID(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	if f := c.flights[key]; f != nil {
		f.waiters++
		return f, nil
	}
	for _, other := range c.flights {
		if other.see.id == id { // the name is as good as taken
			id = key
		}
	}
	f := &flight{done: make(chan struct{}), waiters: 1, see: newProgress(c.logger, p, id)}
	f.see.motion = c.afterFailure(key, time.Now())
	c.flights[key] = f
	c.wg.Go(func() {
		laid, held, err := c.fly(p, f.see)
		c.land(f, laid, held, err)
	})
	return f, nil
}

// land ends a flight and tells its waiters.
func (c *Cache) land(f *flight, laid Laid, held *lock, err error) {
	c.mu.Lock()
	delete(c.flights, f.see.key)
	if err == nil {
		c.landed++
	}
	c.noteFailure(f.see, err, time.Now())
	f.laid, f.err, f.held, f.landed = laid, err, held, true
	free := f.unneeded()
	c.mu.Unlock()
	close(f.done)
	free.closeIfAny()
}

// leave ends one's waiting for a flight, or one's need of what it brought.
func (c *Cache) leave(f *flight) {
	c.mu.Lock()
	f.waiters--
	free := f.unneeded()
	c.mu.Unlock()
	free.closeIfAny()
}

// unneeded returns what to give back when nobody waits any more. The cache's
// mu is held.
func (f *flight) unneeded() *lock {
	if !f.landed || f.waiters > 0 {
		return nil
	}
	held := f.held
	f.held = nil
	return held
}

// key names an image in the cache: two images are the same if they have the
// same sum or, without one, the same URL, and lay out under the same name.
func (p parsed) key() string {
	what := p.sum.String()
	if what == "" {
		what = "url " + p.url.String()
	}
	h := sha256.Sum256([]byte(strings.Join([]string{p.name, p.version, what}, "\x00")))
	return hex.EncodeToString(h[:16])
}
