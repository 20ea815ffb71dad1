package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

const (
	modeFile   fs.FileMode = 0o600
	modeFolder fs.FileMode = 0o700
)

// file is the open file, and the full ones beside it. It belongs to one goroutine.
type file struct {
	path    string
	size    int64 // where it is full
	keep    int
	out     *os.File // nil after it could not be opened again
	length  int64
	first   int64 // number of the first event in it, 0 while there is none
	torn    bool  // it may end inside of a line
	taken   bool  // somebody moved, removed or cut it
	dirty   bool  // something was written since the last sync
	trouble error // of the last rotation
}

// openFile opens the file and returns the last event of all, zero if there is none.
func openFile(o Options) (*file, Event, error) {
	f := &file{path: o.Path, size: o.Size, keep: o.Keep}
	if err := os.MkdirAll(filepath.Dir(o.Path), modeFolder); err != nil {
		return nil, Event{}, fmt.Errorf("create folder: %w", err)
	}
	if err := f.open(); err != nil {
		return nil, Event{}, err
	}
	last, err := newest(o.Path, func(Event) bool { return true })
	if err != nil {
		return nil, Event{}, errors.Join(err, f.out.Close())
	}
	return f, last, nil
}

// open opens or makes the file of the path, for whoever may read it: only we.
func (f *file) open() error {
	out, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, modeFile)
	if err != nil {
		return err
	}
	info, err := out.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is not a regular file")
	}
	if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&^modeFile != 0 {
		err = out.Chmod(modeFile)
	}
	if err == nil {
		f.first, err = firstSeq(out)
	}
	if err == nil {
		f.torn, err = endsTorn(out, info.Size())
	}
	if err != nil {
		return errors.Join(err, out.Close())
	}
	f.out, f.length = out, info.Size()
	return nil
}

// endsTorn reports whether a crash left half a line at the end.
func endsTorn(r io.ReaderAt, size int64) (bool, error) {
	if size == 0 {
		return false, nil
	}
	var last [1]byte
	if _, err := r.ReadAt(last[:], size-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}

// append writes lines, the first of which has the number, and returns how many of them are whole in the file.
func (f *file) append(text []byte, first int64) (whole int, err error) {
	_ = f.follow() // a file that could not be opened again is tried once more below
	if f.first > 0 && f.length+int64(len(text)) > f.size {
		f.trouble = f.rotate()
	}
	if f.out == nil {
		if err := f.open(); err != nil {
			return 0, err
		}
	}
	mend := 0
	if f.torn {
		text, mend = append([]byte{'\n'}, text...), 1
	}
	n, err := f.out.Write(text)
	f.length += int64(n)
	f.dirty = f.dirty || n > 0
	if n > 0 {
		f.torn = text[n-1] != '\n'
	}
	whole = max(0, wholeLines(text, n)-mend)
	if whole > 0 && f.first == 0 {
		f.first = first
	}
	if err != nil {
		return whole, fmt.Errorf("write: %w", err)
	}
	return whole, nil
}

// wholeLines counts the lines that the first n bytes of the text hold. One that lacks nothing but its newline, which is
// what a disk may have had room for, gets that with the next write: it counts.
func wholeLines(text []byte, n int) int {
	whole := bytes.Count(text[:n], []byte{'\n'})
	if n > 0 && n < len(text) && text[n] == '\n' {
		whole++
	}
	return whole
}

// settle makes what was written durable, and finds the file again if somebody moved it away.
func (f *file) settle() error {
	if f.out == nil {
		return f.open()
	}
	if f.dirty {
		if err := f.out.Sync(); err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		f.dirty = false
	}
	return f.follow()
}

// follow opens the path again if that is no longer the open file, or somebody cut it: what is written into a file
// without a name is lost.
func (f *file) follow() error {
	if f.out == nil {
		return nil
	}
	named, err := os.Stat(f.path)
	if err == nil {
		ours, err := f.out.Stat()
		if err == nil && os.SameFile(named, ours) && ours.Size() >= f.length { // nor cut it
			return nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f.taken = true
	return f.reopen()
}

func (f *file) reopen() error {
	err := f.out.Close()
	f.out = nil
	return errors.Join(err, f.open())
}

// rotate puts the full file aside and begins another. Where that can not be done it stays, and grows.
func (f *file) rotate() error {
	if err := f.out.Sync(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	f.dirty = false
	if err := f.out.Close(); err != nil {
		f.out = nil
		return fmt.Errorf("close: %w", err)
	}
	f.out = nil
	if err := os.Rename(f.path, fullName(f.path, f.first)); err != nil {
		return fmt.Errorf("put the full file aside: %w", err)
	}
	if err := f.open(); err != nil {
		return err
	}
	if err := durable.SyncFolder(filepath.Dir(f.path)); err != nil {
		return err
	}
	return f.prune()
}

// prune removes the oldest full files past those to keep.
func (f *file) prune() error {
	full, err := fullFiles(f.path)
	if err != nil {
		return err
	}
	var errs []error
	for i := f.keep; i < len(full); i++ {
		errs = append(errs, os.Remove(full[i].path))
	}
	return errors.Join(errs...)
}

func (f *file) close() error {
	if f.out == nil {
		return nil
	}
	err := errors.Join(f.out.Sync(), f.out.Close())
	f.out = nil
	return err
}

// full is a file that was put aside.
type full struct {
	path  string
	first int64 // number of the first event in it
}

// fullName has the number in it with enough digits to sort by name: the clock may jump, numbers do not.
func fullName(path string, first int64) string { return fmt.Sprintf("%s.%012d", path, first) }

// fullFiles are the full files, the newest first.
func fullFiles(path string) ([]full, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("list full files: %w", err)
	}
	var list []full
	for _, entry := range entries {
		digits, ok := strings.CutPrefix(entry.Name(), filepath.Base(path)+".")
		first, err := strconv.ParseInt(digits, 10, 64)
		if !ok || err != nil || first <= 0 || !entry.Type().IsRegular() {
			continue
		}
		list = append(list, full{filepath.Join(filepath.Dir(path), entry.Name()), first})
	}
	slices.SortFunc(list, func(a, b full) int { return int(min(1, max(-1, b.first-a.first))) })
	return list, nil
}
