package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// entry is one thing in an archive of any format.
type entry struct {
	name  string
	link  string // target of a symbolic link, or name of a hard link's other entry
	mode  fs.FileMode
	hard  bool
	mtime time.Time
	body  io.Reader
}

// layer is one archive being laid out in a folder. All paths go through root,
// which no link leads out of.
type layer struct {
	ctx     context.Context
	opts    ExtractOptions
	free    func() (int64, error)
	wrote   func(int64) // is told of written bytes; may be nil
	reason  string      // for MaxBytes, in an error
	root    *os.Root
	out     guard
	buffer  []byte
	entries int
	folders map[string]entry // that are there: their attributes come last
	links   map[string]bool  // that it made
}

// unpack lays out the archive with the options and the room of l. Decoders are
// made by others and archives by anybody: one that panics is a bad archive.
func unpack(ctx context.Context, archive *os.File, into string, l *layer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = bad("it can not be unpacked: %v", p)
		}
	}()
	most := l.opts.MaxBytes + int64(l.opts.MaxEntries)*entryCost
	return l.run(ctx, into, func() error { return each(ctx, archive, most, l.put) })
}

// run lays out in the folder what source hands to put.
func (l *layer) run(ctx context.Context, into string, source func() error) error {
	root, err := os.OpenRoot(into)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	defer root.Close()
	l.ctx, l.root, l.buffer = ctx, root, make([]byte, 4*holeBlock)
	l.folders, l.links = map[string]entry{}, map[string]bool{}
	l.out = guard{
		ctx: ctx, max: l.opts.MaxBytes, minFree: l.opts.MinFree, free: l.free,
		over: bad("it unpacks to more than %d bytes%s", l.opts.MaxBytes, l.reason), wrote: l.wrote,
	}
	if err := l.out.room(); err != nil {
		return err
	}
	if err := source(); err != nil {
		if why := context.Cause(ctx); why != nil {
			return why
		}
		return err
	}
	return l.finish()
}

// put lays out one entry.
func (l *layer) put(e entry) error {
	if err := context.Cause(l.ctx); err != nil {
		return err
	}
	if l.entries++; l.entries > l.opts.MaxEntries {
		return bad("it has more than %d entries", l.opts.MaxEntries)
	}
	if err := l.out.take(entryCost); err != nil {
		return err
	}
	name, err := localName(e.name)
	switch {
	case err != nil:
		return err
	case name == "." && e.mode.IsDir():
		return nil // the folder itself belongs to the caller
	case name == ".":
		return bad("entry %q would be in place of the folder", e.name)
	}
	if err := l.parents(path.Dir(name)); err != nil {
		return refused(name, err)
	}
	switch {
	case e.mode.IsDir():
		err = l.folder(name, e)
	case e.hard:
		err = l.hardLink(name, e)
	case e.mode&fs.ModeSymlink != 0:
		err = l.symlink(name, e)
	case e.mode.IsRegular():
		err = l.regular(name, e)
	default:
		err = bad("%q is a %s: only files, folders and links are laid out", name, kind(e.mode))
	}
	return refused(name, err)
}

// refused names the entry that an error is about.
func refused(name string, err error) error {
	if err == nil || errors.Is(err, errArchive) {
		return err
	}
	return fmt.Errorf("entry %q: %w", name, err)
}

func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeDevice != 0:
		return "device node"
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	}
	return "special file"
}

// localName is the entry's path below the folder, with slashes.
func localName(name string) (string, error) {
	clean := path.Clean(name)
	up := slices.Contains(strings.Split(name, "/"), "..")
	if name == "" || up || !filepath.IsLocal(filepath.FromSlash(clean)) {
		return "", bad("entry %q leads out of the folder", name)
	}
	return clean, nil
}

// parents makes the folders that the archive has no entry for, or not yet.
func (l *layer) parents(name string) error {
	if _, there := l.folders[name]; there || name == "." {
		return nil
	}
	if err := l.parents(path.Dir(name)); err != nil {
		return err
	}
	err := l.root.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrExist) && l.obstructs(name) {
		if err = l.root.Remove(name); err == nil {
			err = l.root.Mkdir(name, 0o700)
		}
	}
	if err == nil {
		l.folders[name] = entry{mode: fs.ModeDir | 0o755}
		return nil
	}
	return l.present(name)
}

// obstructs says whether what is at name has to give way to a folder. A link
// of this archive has not: its entries may well be named through it.
func (l *layer) obstructs(name string) bool {
	if !l.opts.Replace || l.links[name] {
		return false
	}
	info, err := l.root.Lstat(name)
	return err == nil && !info.IsDir()
}

// present takes the folder that is there already.
func (l *layer) present(name string) error {
	info, err := l.root.Stat(name)
	if err != nil {
		return bad("%q can not be a folder: %w", name, err)
	}
	if !info.IsDir() {
		return bad("%q is a folder and something else", name)
	}
	l.folders[name] = entry{}
	if l.opts.Replace && info.Mode().Perm()&0o700 != 0o700 { // its owner may have made it read-only
		return l.root.Chmod(name, info.Mode().Perm()|0o700)
	}
	return nil
}

func (l *layer) folder(name string, e entry) error {
	if err := l.parents(name); err != nil {
		return err
	}
	l.folders[name] = e
	return nil
}

// fresh runs create, after removing what is at name if that is in its way. So
// nothing is ever written into a file that has other names.
func (l *layer) fresh(name string, create func() error) error {
	err := create()
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	remove := l.root.Remove
	if _, known := l.folders[name]; l.opts.Replace && !known { // a known one holds entries of this archive
		remove = l.root.RemoveAll
	}
	if err := remove(name); err != nil {
		return err
	}
	delete(l.folders, name)
	delete(l.links, name)
	return create()
}

func (l *layer) regular(name string, e entry) error {
	var f *os.File
	err := l.fresh(name, func() (err error) {
		f, err = l.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	sparse := &holes{f: f}
	l.out.w = sparse
	err = copyBlocks(&l.out, e.body, l.buffer)
	if err == nil {
		err = sparse.finish()
	}
	if err == nil && l.owned() {
		err = f.Chown(l.opts.UID, l.opts.GID)
	}
	if err == nil {
		err = f.Chmod(e.mode.Perm())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return l.setTime(name, e.mtime)
}

func (l *layer) symlink(name string, e entry) error {
	if err := l.leadsInside(name, e.link); err != nil {
		return err
	}
	err := l.fresh(name, func() error { return l.root.Symlink(e.link, name) })
	if err != nil {
		return err
	}
	l.links[name] = true
	return l.own(name)
}

// leadsInside refuses a symbolic link that leads out of the folder by its name.
func (l *layer) leadsInside(name, link string) error {
	target := filepath.FromSlash(link)
	inside := !filepath.IsAbs(target) && filepath.IsLocal(filepath.Join(filepath.FromSlash(path.Dir(name)), target))
	if link == "" || !inside && !l.opts.LinksOutside {
		return bad("link %q leads out of the folder, to %q", name, link)
	}
	return nil
}

func (l *layer) hardLink(name string, e entry) error {
	other, err := localName(e.link)
	if err != nil {
		return err
	}
	info, err := l.root.Lstat(other)
	if err != nil || !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0 {
		return bad("link %q: there is no file %q before it", name, other)
	}
	if other == name {
		return nil
	}
	link := func() error { return l.root.Link(other, name) }
	if info.Mode().IsRegular() {
		return l.fresh(name, link)
	}
	// Another name of a symbolic link, which leads elsewhere from there.
	target, err := l.root.Readlink(other)
	if err != nil {
		return err
	}
	if err := l.leadsInside(name, target); err != nil {
		return err
	}
	if err := l.fresh(name, link); err != nil {
		return err
	}
	l.links[name] = true
	return nil
}

func (l *layer) owned() bool { return l.opts.UID >= 0 || l.opts.GID >= 0 }

func (l *layer) own(name string) error {
	if !l.owned() {
		return nil
	}
	return l.root.Lchown(name, l.opts.UID, l.opts.GID)
}

// setTime keeps the entry's time, if it is one that file systems can hold.
func (l *layer) setTime(name string, t time.Time) error {
	if t.Year() < 1970 || t.Year() > 2200 {
		return nil
	}
	return l.root.Chtimes(name, t, t)
}

// finish checks the links where they really lead, now that all are there, and
// sets the attributes of the folders, the deepest first.
func (l *layer) finish() error {
	for name := range l.links {
		_, err := l.root.Stat(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !l.opts.LinksOutside {
			return bad("link %q: %w", name, err)
		}
	}
	names := make([]string, 0, len(l.folders))
	for name := range l.folders {
		names = append(names, name)
	}
	slices.Sort(names)
	slices.Reverse(names)
	for _, name := range names {
		if err := l.finishFolder(name, l.folders[name]); err != nil {
			return refused(name, err)
		}
	}
	return nil
}

func (l *layer) finishFolder(name string, e entry) error {
	info, err := l.root.Lstat(name)
	if err != nil || !info.IsDir() || e.mode == 0 {
		return err // it was there before, and the archive says nothing of it
	}
	if err := l.own(name); err != nil {
		return err
	}
	if err := l.root.Chmod(name, e.mode.Perm()|0o700); err != nil {
		return err
	}
	return l.setTime(name, e.mtime)
}
