// Package engine keeps the images of a Docker engine: those that labels name
// are loaded from archives or pulled from registries, once however many wait,
// used by their ID, shown, and removed when they were not used for long. It
// also runs the tasks that make images out of environments. DESIGN.md states
// what it leaves in an engine, and what is found there after a crash.
package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/drivers/turns"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// ErrClosed says that the images were closed before the wanted one was there.
var ErrClosed = errors.New("images of the engine are closed")

// Registry is one entry of the config key `registries`: how to log in where
// images are pulled from.
type Registry struct {
	Host     string          `yaml:"host"` // with its port, if it has one
	User     string          `yaml:"user"`
	Password yamlconf.Secret `yaml:"password"`
}

// Options say which engine it is and where images come from.
type Options struct {
	Client *client.Client // shared; never closed here
	Logger *slog.Logger
	// Node and Instance are the author of images that tasks make.
	Node, Instance string
	Registries     []Registry
	// Cache is where archives are downloaded to. Its RequireSum also asks for a
	// digest of every image that has no url.
	Cache images.Options
	// WorkPath is the instance's workspace; other nodes may share it.
	WorkPath string
	// TasksPath is where tasks put what they made; by default tasks in WorkPath.
	TasksPath string
	// MaxSize is how many bytes of images that were brought here are kept when
	// nothing uses them, in the engine and, apart, in the cache; 0 keeps all.
	MaxSize int64
	// Remote says that the engine's disk is not this machine's, however it is reached.
	Remote bool
	Limits Limits
}

// Limits bound what an engine or a registry may keep waiting. Zero fields take
// the default.
type Limits struct {
	Call  time.Duration // one small question to the engine
	Stall time.Duration // a pull or load without one message and one byte
	Total time.Duration // one image in all
	Task  time.Duration // one commit, or one disk: they say nothing on their way
}

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		field *time.Duration
		def   time.Duration
	}{
		{&l.Call, 30 * time.Second},
		// Checking a layer of many GB on a slow disk is silent.
		{&l.Stall, 10 * time.Minute},
		{&l.Total, 12 * time.Hour},
		{&l.Task, 30 * time.Minute},
	} {
		if *f.field <= 0 {
			*f.field = f.def
		}
	}
	return l
}

// Images are the images of one engine, as one instance sees them. All methods
// may be called from many goroutines at once.
type Images struct {
	opts       Options
	log        *slog.Logger
	cli        *client.Client
	cache      *images.Cache
	registries map[string]Registry             // by host
	turns      *turns.Turns                    // of tasks
	free       func(dir string) (int64, error) // bytes; tests replace it

	ctx    context.Context // of all work that outlives a waiter: ends with Close
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu       sync.Mutex // guards all below
	closed   bool
	flights  map[string]*flight // by key
	failed   map[string]failure
	known    map[string]known // by key: what was seen in the engine
	held     map[string]int   // by image ID: who is about to use it
	removing map[string]chan struct{}
	asked    time.Time         // when the engine was last asked what it has, for Cached
	names    map[string]string // what it had then: names and the IDs they are of
}

// known is an image that is in the engine, as far as this process has seen.
type known struct {
	id      string
	name    string // what the label calls it in the engine; empty for one of an archive
	claim   string // our name of it; empty for one that others brought
	touched time.Time
}

// New opens the archive cache. It asks the engine nothing.
func New(opts Options) (*Images, error) {
	opts.Limits = opts.Limits.withDefaults()
	registries, err := registriesByHost(opts.Registries)
	if err != nil {
		return nil, err
	}
	if opts.TasksPath == "" {
		opts.TasksPath = filepath.Join(opts.WorkPath, "tasks")
	}
	if opts.TasksPath, err = filepath.Abs(opts.TasksPath); err != nil {
		return nil, fmt.Errorf("find tasks_path: %w", err)
	}
	if opts.Cache.Logger == nil {
		opts.Cache.Logger = opts.Logger
	}
	opts.Cache.MaxSize = cmp.Or(opts.Cache.MaxSize, opts.MaxSize)
	cache, err := images.New(opts.Cache)
	if err != nil {
		return nil, err
	}
	i := &Images{
		opts: opts, log: opts.Logger, cli: opts.Client, cache: cache, registries: registries,
		turns: turns.New(), free: freeBytes,
		flights: map[string]*flight{}, failed: map[string]failure{},
		known: map[string]known{}, held: map[string]int{}, removing: map[string]chan struct{}{},
	}
	i.ctx, i.cancel = context.WithCancelCause(context.Background())
	return i, nil
}

// Close ends all pulls and loads and waits for them; their waiters get ErrClosed.
func (i *Images) Close() error {
	i.mu.Lock()
	i.closed = true
	i.mu.Unlock()
	i.cancel(ErrClosed)
	err := i.cache.Close()
	i.wg.Wait()
	return err
}

// Reserved is what running downloads of archives will still write to the disk
// of the cache, in bytes. It answers from memory.
func (i *Images) Reserved() int64 { return i.cache.Reserved() }

// spawn runs work that outlives its caller, unless all is closed.
func (i *Images) spawn(work func(ctx context.Context)) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return false
	}
	i.wg.Go(func() { work(i.ctx) })
	return true
}

// call bounds one small question to the engine.
func (i *Images) call(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := i.opts.Limits.Call
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("the engine did not answer within %v", limit))
}
