package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// autoCheckpointPages is the size of the -wal, in pages of 4 KB, at which a
// COMMIT moves it into the database: 32 MB. SQLite's own 1000 doubles what is
// physically written under load; RunMaintenance empties it when idle.
const autoCheckpointPages = 8000

// readTimeout bounds a read through SQL. The largest page of the largest list
// takes some 50 ms with a cold cache.
const readTimeout = 10 * time.Second

// Options says which database to open, and for whom.
type Options struct {
	// Folder is where sqlite.db lives; it is made if absent. Locate finds it.
	Folder string
	// Node is the UID of this node: the author of what it writes.
	Node model.UID
	// Logger takes what an operator should know. Required.
	Logger *slog.Logger
	// Retention is how long a closed application is kept; 0 for ever.
	Retention time.Duration
	// MaxSize is the size of the database, in bytes, above which the oldest
	// closed applications go before their Retention is over; 0 is no bound.
	MaxSize int64
	// Now tells the time of day; time.Now if nil.
	Now func() time.Time
}

func (o *Options) validate() error {
	switch {
	case o.Node == model.NilUID:
		return errors.New("node UID is not set")
	case o.Logger == nil:
		return errors.New("logger is not set")
	case o.Retention < 0 || o.MaxSize < 0:
		return errors.New("retention and maximum size can't be negative")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

// Store is an open database. It is safe for use by many goroutines.
type Store struct {
	opts     Options
	log      *slog.Logger
	engine   engine
	db       *database // the engine, where it is SQLite; nil in memory
	memory   *memory
	feed     *feed
	clock    *model.Clock
	uids     *model.UIDSource
	crash    crasher
	opened   time.Time // with its monotonic reading
	steady   steady    // what retention counts with; the maintenance's own
	rowsKept time.Time // when old rows were last looked for; the maintenance's own

	origin   replica.Origin         // of what this node writes; the writer's, and others' under memory's lock
	began    uint64                 // the last sequence number of origin that is not of this run; as origin
	told     atomic.Uint64          // the last sequence number of origin that this run gave away; reset under memory's lock
	untold   atomic.Bool            // the database says that nobody was told of origin after began
	along    beginning              // what nobody was told of when the database was opened
	sameRun  bool                   // it was then as the last run left it, whatever that ended by
	left     *left                  // nil unless Restamp began origin in this run; as origin
	heard    uint32                 // the newest incarnation of this node that others know of; guarded by memory's lock
	marker   marker                 // as it was last written; the writer's
	bumped   atomic.Bool            // this run began an incarnation
	waiting  map[model.UID]struct{} // the writer's: applications that rows may wait for
	born     int64                  // when the database was made, Unix nanoseconds; long ago if that is not known
	removed  atomic.Int64           // when the last application that was removed had closed, Unix nanoseconds
	advanced signals
	grown    *Signal // of advanced

	requests   chan *request
	jobs       chan func()   // for the writer, between two batches
	heart      loop.Heart    // the writer's
	commits    atomic.Uint64 // how many COMMITs there were
	maintained atomic.Uint64 // commits at the last maintenance

	health    atomic.Pointer[error] // nil while the database takes writes
	mark      atomic.Pointer[mark]  // nil unless the database is a copy
	lapse     atomic.Pointer[lapse] // nil unless there is one; replaced under memory's lock
	closing   chan struct{}
	stopped   chan struct{} // closed when the writer has ended
	closeOnce sync.Once
	closeErr  error
}

// Open opens the database, making, adopting or migrating it first where
// needed, reads what is alive and starts the writer, which Close ends. ctx
// bounds the opening alone.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Folder == "" {
		return nil, errors.New("check store options: database folder is not set")
	}
	s, err := newStore(o)
	if err != nil {
		return nil, err
	}
	s.db = newDatabase(filepath.Join(o.Folder, fileName))
	s.engine = s.db
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(explain(s.db.path, err), s.db.shut(), s.db.free())
	}
	go s.write()
	return s, nil
}

// newStore is a store without its engine.
func newStore(o Options) (*Store, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("check store options: %w", err)
	}
	crash, err := newCrasher()
	if err != nil {
		return nil, err
	}
	s := &Store{
		opts: o, log: o.Logger, memory: newMemory(), feed: newFeed(), waiting: make(map[model.UID]struct{}),
		uids: model.NewUIDSource(o.Node), crash: crash, opened: time.Now(), steady: steady{begin: stamp(o.Now())},
		requests: make(chan *request, maxQueued), jobs: make(chan func()), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	s.grown = s.advanced.subscribe()
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if err := createFile(s.db.path); err != nil {
		return err
	}
	var err error
	if s.db.unlock, err = lockFolder(s.opts.Folder); err != nil {
		return err
	}
	if err := removeHalf(s.opts.Folder); err != nil {
		return err
	}
	if s.db.found, s.db.file, err = readMarker(s.opts.Folder); err != nil {
		return err
	}
	if err := s.db.openWriter(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	if err := s.db.openReaders(ctx); err != nil {
		return err
	}
	return s.load(ctx)
}

// createFile makes folder and file where they are absent, so that their modes
// are ours (contract 3) and their names are durable before a row is.
func createFile(path string) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, modeFolder); err != nil {
		return fmt.Errorf("create database folder: %w", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, modeFile)
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return errors.Join(f.Close(), durable.SyncFolder(folder), durable.SyncFolder(filepath.Dir(folder)))
}

// stamp is the time of day of what is being written, as it will read back.
func (s *Store) stamp() time.Time { return stamp(s.opts.Now()) }

func stamp(t time.Time) time.Time { return time.Unix(0, t.UnixNano()).UTC() }

// Close commits what is queued, ends the writer and closes the database. It
// may be called again, and answers the same.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		<-s.stopped
		if err := s.engine.close(s.marker); err != nil {
			s.closeErr = fmt.Errorf("close database: %w", err)
		}
	})
	return s.closeErr
}
