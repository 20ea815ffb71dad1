//go:build unix

package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// deepest is how many folders are open at once. What is deeper is moved up to
// the top first: a build makes a tree that is a million folders deep in no time.
const deepest = 100

// removeTree removes a path without looking at a path again: each folder is
// opened in the one above it.
func removeTree(ctx context.Context, path string) error {
	path = filepath.Clean(path)
	name := filepath.Base(path)
	if name == ".." || name == "." || name == "/" {
		return fmt.Errorf("remove %s: want the path of a folder in another one", path)
	}
	parent, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = parent.Close() }() // read only
	r := remover{ctx: ctx}
	err = r.remove(int(parent.Fd()), name, 0)
	if err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// remover removes one tree.
type remover struct {
	ctx    context.Context
	device uint64 // of the top folder
	top    int    // its descriptor
	moved  int    // folders that were moved up to it so far
}

// remove removes what has a name in an open folder.
func (r *remover) remove(dir int, name string, depth int) error {
	if err := unlink(dir, name, 0); !isFolder(err) {
		return err
	}
	if depth > deepest {
		return r.moveUp(dir, name)
	}
	f, err := openFolder(dir, name)
	if err != nil {
		return ignoreMissing(err)
	}
	defer func() { _ = f.Close() }() // read only
	if err := r.empty(f, depth); err != nil {
		return err
	}
	return unlink(dir, name, unix.AT_REMOVEDIR)
}

// empty removes everything in a folder, in as many rounds as it takes: names
// may be passed over when others vanish.
func (r *remover) empty(f *os.File, depth int) error {
	fd := int(f.Fd())
	if err := r.enter(fd, depth); err != nil {
		return err
	}
	for {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		if _, err := f.Seek(0, 0); err != nil {
			return err
		}
		names, err := f.Readdirnames(1000)
		if len(names) == 0 {
			return ignoreEOF(err)
		}
		for _, name := range names {
			if err := r.remove(fd, name, depth+1); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
}

// enter makes sure that an open folder is on the file system of the top one,
// and may be emptied.
func (r *remover) enter(fd, depth int) error {
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return err
	}
	device := uint64(s.Dev) //nolint:unconvert,gosec // types differ between systems
	if depth == 0 {
		r.device, r.top = device, fd
	}
	if device != r.device {
		return errMounted
	}
	if s.Mode&0o700 != 0o700 {
		_ = unix.Fchmod(fd, 0o700) // where it matters and fails, the removal says why
	}
	return nil
}

// moveUp gives a folder that is too deep another name in the top folder, which
// is read again until it is empty.
func (r *remover) moveUp(dir int, name string) error {
	for {
		r.moved++
		err := withRights(dir, name, func() error {
			return unix.Renameat(dir, name, r.top, ".deep-"+strconv.Itoa(r.moved))
		})
		if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENOTDIR) {
			return err
		}
	}
}

// openFolder opens a folder, and nothing that a link names.
func openFolder(dir int, name string) (f *os.File, err error) {
	err = withRights(dir, name, func() error {
		fd, err := openBeneath(dir, name)
		if err == nil {
			f = os.NewFile(uintptr(fd), name) //nolint:gosec // a descriptor
		}
		return err
	})
	return f, err
}

// withRights does something with a folder, again with all rights where its
// owner took them from itself.
func withRights(dir int, name string, do func() error) error {
	err := do()
	if !errors.Is(err, unix.EACCES) {
		return err
	}
	if err := unix.Fchmodat(dir, name, 0o700, 0); err != nil {
		return err
	}
	return do()
}

func unlink(dir int, name string, flags int) error {
	for {
		err := unix.Unlinkat(dir, name, flags)
		if !errors.Is(err, unix.EINTR) {
			return ignoreMissing(err)
		}
	}
}

// isFolder reports whether that was why something could not be unlinked. The
// one system says it in so many words, others that it is not permitted.
func isFolder(err error) bool {
	return errors.Is(err, unix.EISDIR) || runtime.GOOS != "linux" && errors.Is(err, unix.EPERM)
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
