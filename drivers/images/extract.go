package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// errArchive says that the archive itself is bad: unpacking it again is in vain.
var errArchive = errors.New("bad archive")

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errArchive, fmt.Errorf(format, args...))
}

// ExtractOptions say to whom the files of an archive belong and how much it may
// hold. The zero value gives all to root within DefaultLimits.
type ExtractOptions struct {
	// UID and GID own all that is laid out; -1 leaves what the process makes,
	// as the same number does for os.Chown. The owners in the archive are of
	// another machine and are never taken.
	UID, GID   int
	MaxBytes   int64 // of all files together; 0 is that of DefaultLimits
	MaxEntries int   // 0 is that of DefaultLimits
	MinFree    int64 // bytes that stay free on the disk; 0 is that of DefaultLimits
	// LinksOutside allows symbolic links that lead out of the folder, such as a
	// home's link to /usr/bin/python3, which its user could make as well. No
	// file is ever written through one. What walks the folder later as root
	// must not follow links.
	LinksOutside bool
	// Replace has what was in the folder before give way to an entry of another
	// kind: a link or a file to a folder, a full folder to a file or a link. It
	// is for folders that an earlier user filled, whose links are not to be
	// followed. Without it such an entry is an error.
	Replace bool
}

// Extract lays out an archive (tar, plain or compressed with xz, gzip or zstd,
// or zip) in the folder into, which exists. Files that are there are replaced,
// others stay. Names that lead out of the folder, links that do, and device
// nodes are errors; the bits for set-user-id and set-group-id are dropped; all
// folders can be written by their owner, so that they can be removed.
//
// It may be ended at any point and started over, and leaves then what was not
// yet replaced.
func Extract(ctx context.Context, archive, into string, opts ExtractOptions) error {
	f, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("open archive: %w", err)
	}
	defer f.Close()
	if err := unpack(ctx, f, into, newLayer(into, opts)); err != nil {
		return layError(filepath.Base(archive), err)
	}
	return nil
}

// LayOut puts the image's files into the folder: those in its <name>.tar, or
// where it has none, those of its own folder. All that Extract says holds.
func (l Laid) LayOut(ctx context.Context, into string, opts ExtractOptions) error {
	if archive := l.Archive(); archive != "" {
		return Extract(ctx, archive, into, opts)
	}
	from, err := os.OpenRoot(l.Folder)
	if err != nil {
		return fmt.Errorf("open image: %w", err)
	}
	defer from.Close()
	out := newLayer(into, opts)
	err = out.run(ctx, into, func() error { return eachFile(ctx, from, out.put) })
	if err != nil {
		return layError(l.Name+"-"+l.Version, err)
	}
	return nil
}

func newLayer(into string, opts ExtractOptions) *layer {
	l := Limits{MaxBytes: opts.MaxBytes, MaxEntries: opts.MaxEntries, MinFree: opts.MinFree}.withDefaults()
	opts.MaxBytes, opts.MaxEntries, opts.MinFree = l.MaxBytes, l.MaxEntries, l.MinFree
	return &layer{opts: opts, free: func() (int64, error) { return freeBytes(into) }}
}

func layError(what string, err error) error {
	if diskFull(err) {
		err = fmt.Errorf("no room left on its disk: %w", err)
	}
	return fmt.Errorf("lay out %s: %w", what, err)
}
