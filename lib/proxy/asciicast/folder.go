package asciicast

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

const (
	folderMode fs.FileMode = 0o700 // what a terminal shows is for nobody else
	fileMode   fs.FileMode = 0o600
	suffix                 = ".cast"
	// nameTime sorts as text as it does as time.
	nameTime = "20060102T150405Z"
)

// Limits bound a folder of recordings. 0 is no bound.
type Limits struct {
	// Age is how long a recording is kept after its end.
	Age time.Duration
	// Bytes is how much all of them take together.
	Bytes int64
}

// Folder is where recordings are kept. Its methods may be called by several goroutines.
type Folder struct {
	path   string
	limits Limits

	mu   sync.Mutex
	open map[string]bool // names of those that are written now
}

// OpenFolder makes the folder if it is not there, and keeps others out of it.
func OpenFolder(path string, limits Limits) (*Folder, error) {
	if err := os.MkdirAll(path, folderMode); err != nil {
		return nil, fmt.Errorf("make folder of recordings: %w", err)
	}
	if err := os.Chmod(path, folderMode); err != nil { // it may have been made by hand
		return nil, fmt.Errorf("keep others out of folder of recordings: %w", err)
	}
	return &Folder{path: path, limits: limits, open: make(map[string]bool)}, nil
}

// Name tells what is recorded in a file: letters, digits and dashes.
type Name struct {
	Resource, Session string
	// Terminal counts those of a session, as one may have several at once.
	Terminal int
}

var plain = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)

// file is the name of a file. It begins with the time, so that a listing is in order.
func (n Name) file(start time.Time) (string, error) {
	if !plain.MatchString(n.Resource) || !plain.MatchString(n.Session) || n.Terminal < 0 {
		return "", fmt.Errorf("name of a recording: resource %q and session %q have to be UIDs", n.Resource, n.Session)
	}
	return fmt.Sprintf("%s_%s_%s_%d%s", start.UTC().Format(nameTime), n.Resource, n.Session, n.Terminal, suffix), nil
}

// File is a recording in a file of its own.
type File struct {
	*Writer
	folder *Folder
	name   string
	file   *os.File
}

// Create begins a recording in a new file. It fails with fs.ErrExist rather than write over another.
func (d *Folder) Create(name Name, h Header, limit int64) (*File, error) {
	base, err := name.file(h.Start)
	if err != nil {
		return nil, err
	}
	if !d.claim(base) { // before it is there, as it may be too much for the folder from the start
		return nil, fmt.Errorf("create recording %s: %w", base, fs.ErrExist)
	}
	f, err := create(filepath.Join(d.path, base), h, limit)
	if err != nil {
		d.release(base)
		return nil, err
	}
	f.folder, f.name = d, base
	return f, nil
}

func create(path string, h Header, limit int64) (*File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, fmt.Errorf("create recording: %w", err)
	}
	w, err := NewWriter(f, h, limit)
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return &File{Writer: w, file: f}, nil
}

// claim keeps Prune from a file, and reports false if that is done already.
func (d *Folder) claim(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[name] {
		return false
	}
	d.open[name] = true
	return true
}

func (d *Folder) release(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, name)
}

// Path is where the recording is.
func (f *File) Path() string { return f.file.Name() }

// Close ends the recording, once: when it returns nil, or ErrFull, the file is on the disk for good.
func (f *File) Close(now time.Time) error {
	defer f.folder.release(f.name)
	return errors.Join(f.Writer.Close(now), f.file.Sync(), f.file.Close(), durable.SyncFolder(f.folder.path))
}

// Recording is a finished one in a folder.
type Recording struct {
	Name  string
	End   time.Time // when it was last written to
	Bytes int64
}

// Surplus returns the names of recordings that are too old at a time, and of the oldest ones that are too many. It
// changes nothing.
func (l Limits) Surplus(all []Recording, now time.Time) []string {
	newestFirst := slices.SortedFunc(slices.Values(all), func(a, b Recording) int {
		if c := b.End.Compare(a.End); c != 0 {
			return c
		}
		return cmp.Compare(b.Name, a.Name)
	})
	var surplus []string
	var kept int64
	full := false
	for _, r := range newestFirst {
		old := l.Age > 0 && now.Sub(r.End) > l.Age
		// A small one that would still fit behind a large one is older than that, and goes first.
		full = full || l.Bytes > 0 && kept+r.Bytes > l.Bytes
		if old || full {
			surplus = append(surplus, r.Name)
			continue
		}
		kept += r.Bytes
	}
	return surplus
}

// Prune removes what the limits do not allow, and returns the names of what it removed. What is written now stays, and
// so does every file that is no recording. One file's error keeps nothing from the others.
func (d *Folder) Prune(now time.Time) ([]string, error) {
	all, err := d.finished()
	if err != nil {
		return nil, err
	}
	var removed []string
	var errs []error
	for _, name := range d.limits.Surplus(all, now) {
		if err := os.Remove(filepath.Join(d.path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove recording: %w", err))
			continue
		}
		removed = append(removed, name)
	}
	return removed, errors.Join(errs...)
}

var recording = regexp.MustCompile(`^\d{8}T\d{6}Z_[0-9A-Za-z-]+_[0-9A-Za-z-]+_\d+\.cast$`)

// finished lists the recordings that nobody writes.
func (d *Folder) finished() ([]Recording, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("list recordings: %w", err)
	}
	d.mu.Lock()
	open := maps.Clone(d.open) // later than the listing: what is in both is written, what is only in that was ended
	d.mu.Unlock()
	var all []Recording
	for _, e := range entries {
		if !e.Type().IsRegular() || !recording.MatchString(e.Name()) || open[e.Name()] {
			continue
		}
		info, err := e.Info()
		if err != nil { // gone since
			continue
		}
		all = append(all, Recording{e.Name(), info.ModTime(), info.Size()})
	}
	return all, nil
}
