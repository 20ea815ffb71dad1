package logging

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/aquarium-fish/aquarium-fish/lib/filelock"
)

const (
	// modeFile keeps addresses and names of users from other users of the machine. An existing file keeps its mode: it
	// may have been opened to a log collector.
	modeFile fs.FileMode = 0o600
	modeDir  fs.FileMode = 0o700
)

// FileOptions says where a log file is and how it is rotated.
type FileOptions struct {
	Path string
	Size int64 // bytes past which it is rotated
	Keep int   // rotated files that stay, Path.1 the newest; at least 1
	// Trouble is told once when lines can not be written, and once, with nil and the number of writes that were lost,
	// when they can again. It must not wait for the file. nil: nobody is.
	Trouble func(err error, lost int)
}

// File is a log file that rotates itself. It is our own rather than a library because of what happens to log files: it
// notices by itself, at the next write, that somebody moved or removed the file (logrotate needs neither signal nor
// copytruncate), belongs to one process, tells when lines are lost and goes on when the disk has room again.
//
// Write is for one goroutine, that of its [Console]; Reopen may be called by any.
type File struct {
	opts   FileOptions
	reopen atomic.Bool

	file    *os.File
	size    int64
	partial bool // the last write broke off, perhaps in the middle of a line
	lost    int
	down    bool // Trouble was told
}

// OpenFile opens or makes the file. It refuses what is no plain file, and one that another process writes.
func OpenFile(o FileOptions) (*File, error) {
	if o.Keep < 1 || o.Size < 1 {
		return nil, errors.New("open log file: size and number of files have to be at least 1")
	}
	f := &File{opts: o}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

// open opens the path in place of the present file, which stays if that fails.
func (f *File) open() error {
	path := f.opts.Path
	if err := os.MkdirAll(filepath.Dir(path), modeDir); err != nil {
		return fmt.Errorf("create folder of log file: %w", err)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // opening a pipe would wait for its reader
		return fmt.Errorf("open log file: %s is no plain file, name another one in log_file", path)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, modeFile)
	if err != nil {
		return fmt.Errorf("open log file: %w", err)
	}
	if err := filelock.Lock(file); errors.Is(err, filelock.ErrLocked) { // file systems without locks are used without
		return errors.Join(fmt.Errorf("open log file: %s is written by another process, give each node a log_file of its own", path), file.Close())
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open log file: %w", err), file.Close())
	}
	if f.file != nil {
		_ = f.file.Close() // nothing is buffered, and nobody could do anything
	}
	f.file, f.size = file, info.Size()
	return nil
}

// Reopen makes the next write open the path anew.
func (f *File) Reopen() { f.reopen.Store(true) }

// Write appends whole lines. What fails is lost: the caller has no place to keep it.
func (f *File) Write(lines []byte) (int, error) {
	err := f.prepare(int64(len(lines)))
	if f.file == nil {
		f.note(err, true)
		return 0, err
	}
	n, writeErr := f.append(lines)
	f.note(errors.Join(err, writeErr), writeErr != nil)
	return n, writeErr
}

// prepare sees to it that the path is the open file, with room in it. After an error the present file, if any, is
// written on.
func (f *File) prepare(coming int64) error {
	if f.file == nil || f.reopen.Swap(false) || f.moved() {
		if err := f.open(); err != nil {
			return err
		}
	}
	if f.size > 0 && f.size+coming > f.opts.Size {
		return f.rotate()
	}
	return nil
}

// moved reports whether the path is no longer the open file, or nobody can say.
func (f *File) moved() bool {
	at, err := os.Stat(f.opts.Path)
	if err != nil {
		return true
	}
	mine, err := f.file.Stat()
	return err != nil || !os.SameFile(at, mine)
}

// append writes behind what is there; after a write that broke off on a line of its own.
func (f *File) append(lines []byte) (int, error) {
	if f.partial {
		n, err := f.file.Write([]byte{'\n'})
		f.size += int64(n)
		if err != nil {
			return 0, fmt.Errorf("write log file: %w", err)
		}
		f.partial = false
	}
	n, err := f.file.Write(lines)
	f.size += int64(n)
	if err != nil {
		f.partial = n > 0 && n < len(lines)
		return n, fmt.Errorf("write log file: %w", err)
	}
	return n, nil
}

// rotate moves each file one number up, the oldest away, and begins a new one. A kill between two of the moves leaves a
// gap in the numbers, and no file is lost by it.
func (f *File) rotate() error {
	err := f.file.Close() // some systems move no open file
	f.file = nil
	if err == nil {
		err = f.shift()
	}
	return errors.Join(err, f.open())
}

func (f *File) shift() error {
	for i := f.opts.Keep; i > 0; i-- {
		from := f.opts.Path
		if i > 1 {
			from = f.numbered(i - 1)
		}
		if err := os.Rename(from, f.numbered(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rotate log file: %w", err)
		}
	}
	return nil
}

func (f *File) numbered(i int) string { return f.opts.Path + "." + strconv.Itoa(i) }

// note tells when trouble begins and when it is over.
func (f *File) note(err error, lost bool) {
	if lost {
		f.lost++
	}
	if f.opts.Trouble == nil || (err != nil) == f.down {
		return
	}
	f.down = err != nil
	f.opts.Trouble(err, f.lost)
	if !f.down {
		f.lost = 0
	}
}

// Close closes the file; nothing may be written after it.
func (f *File) Close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}

var _ io.WriteCloser = (*File)(nil)
