package native

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// layout puts the files of images into a folder. What an earlier image, or an
// earlier environment on a reused disk, left there may be anything, links that
// point elsewhere included: all goes through an os.Root, which never leaves
// the folder.
type layout struct{ root *os.Root }

// layOut copies an image into the folder: what its archive of the image's own
// name holds, or else the files beside each other as they are (contract 30).
func layOut(ctx context.Context, image, name, folder string) (err error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	l := layout{root}
	archive, err := os.Open(filepath.Join(image, name+".tar"))
	if errors.Is(err, fs.ErrNotExist) {
		return l.copyTree(ctx, image)
	}
	if err != nil {
		return err
	}
	defer func() { _ = archive.Close() }() // read only
	if err := l.unpack(ctx, archive); err != nil {
		return fmt.Errorf("unpack %s: %w", archive.Name(), err)
	}
	return nil
}

// copyTree copies everything below a folder.
func (l layout) copyTree(ctx context.Context, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil || name == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return l.copyEntry(name, path, info)
	})
}

func (l layout) copyEntry(name, path string, info fs.FileInfo) error {
	switch info.Mode().Type() {
	case fs.ModeDir:
		return l.dir(name, info.Mode())
	case fs.ModeSymlink:
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return l.symlink(target, name)
	case 0:
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // read only
		return l.file(name, f, info.Mode(), info.ModTime())
	}
	return fmt.Errorf("%s is neither file nor folder nor link", path)
}

// unpack lays out a tar archive.
func (l layout) unpack(ctx context.Context, archive io.Reader) error {
	reader := tar.NewReader(bufio.NewReaderSize(archive, 1<<20))
	for {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := l.unpackEntry(h, reader); err != nil {
			return err
		}
	}
}

func (l layout) unpackEntry(h *tar.Header, data io.Reader) error {
	name := filepath.Clean(filepath.FromSlash(h.Name))
	if name == "." {
		return nil
	}
	if !filepath.IsLocal(name) {
		return fmt.Errorf("entry %q leads out of the archive", h.Name)
	}
	if h.Typeflag != tar.TypeDir {
		if err := l.root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return l.dir(name, h.FileInfo().Mode())
	case tar.TypeReg:
		return l.file(name, data, h.FileInfo().Mode(), h.ModTime)
	case tar.TypeSymlink:
		return l.symlink(h.Linkname, name)
	case tar.TypeLink:
		if err := l.clear(name); err != nil {
			return err
		}
		return l.root.Link(filepath.FromSlash(h.Linkname), name)
	case tar.TypeXGlobalHeader:
		return nil
	}
	return fmt.Errorf("entry %q is neither file nor folder nor link", h.Name)
}

// dir makes a folder, or keeps the one that is there.
func (l layout) dir(name string, mode fs.FileMode) error {
	info, err := l.root.Lstat(name)
	if err == nil && !info.IsDir() {
		err = l.clear(name)
	}
	if ignoreMissing(err) != nil {
		return err
	}
	if err := l.root.MkdirAll(name, 0o700); err != nil {
		return err
	}
	return l.root.Chmod(name, mode.Perm()|0o700) // as files have to get into it
}

// clear makes room for a file or a link.
func (l layout) clear(name string) error {
	return ignoreMissing(l.root.RemoveAll(name))
}

func (l layout) symlink(target, name string) error {
	if err := l.clear(name); err != nil {
		return err
	}
	return l.root.Symlink(target, name)
}

func (l layout) file(name string, data io.Reader, mode fs.FileMode, changed time.Time) error {
	if err := l.clear(name); err != nil {
		return err
	}
	f, err := l.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, data)
	err = errors.Join(err, f.Chmod(mode.Perm()), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return l.root.Chtimes(name, changed, changed)
}
