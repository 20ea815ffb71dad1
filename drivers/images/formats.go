package images

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

const (
	// maxWindow is the most memory that an archive may ask for to be unpacked:
	// that of `zstd --long` and twice that of `xz -9`.
	maxWindow = 128 << 20
	// maxTail is how much may follow the end of a tar: padding.
	maxTail = 16 << 20
	// maxDirectory is how long the list of a zip's files may be: it is read into
	// memory, several times its size, before the first of them is seen.
	maxDirectory = 32 << 20
	// entryCost is what an entry of a tar may take beside its content.
	entryCost = 4 << 10
	// maxTarget bounds the target of a symbolic link in a zip, as systems do.
	maxTarget = 4096
)

// each hands every entry of the archive to put, in order. The format is known
// by the content: the file's name may be anything. Of a tar no more is read
// than what it may unpack to, most: to skip bytes takes its time as well.
func each(ctx context.Context, archive *os.File, most int64, put func(entry) error) error {
	info, err := archive.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, 6)
	if n, err := archive.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	} else if n == 0 {
		return bad("it is empty")
	}
	whole := io.NewSectionReader(archive, 0, info.Size())
	if bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06")) {
		return eachZip(ctx, whole, whole.Size(), maxDirectory, put)
	}
	r, err := decompressed(ctx, head, whole)
	if err != nil {
		return readError(err)
	}
	defer r.Close()
	return eachTar(&bounded{r, most, bad("it unpacks to more than %d bytes", most)}, put)
}

// decompressed unpacks by the first bytes; what is of no known format is taken
// for a plain tar.
func decompressed(ctx context.Context, head []byte, whole *io.SectionReader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(&cancelled{ctx, whole}, 256<<10)
	switch {
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		if err := checkXZ(bufio.NewReaderSize(&cancelled{ctx, io.NewSectionReader(whole, 0, whole.Size())}, 64<<10)); err != nil {
			return nil, err
		}
		r, err := xz.NewReader(in)
		return io.NopCloser(r), err
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(in)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// One goroutine, because it must not take the cores of the environments.
		r, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return r.IOReadCloser(), nil
	}
	return io.NopCloser(in), nil
}

func eachTar(r io.Reader, put func(entry) error) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return readError(err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		mode := h.FileInfo().Mode()
		if err := put(entry{
			name: h.Name, link: h.Linkname, mode: mode, hard: h.Typeflag == tar.TypeLink,
			mtime: h.ModTime, body: &reading{t},
		}); err != nil {
			return err
		}
	}
	// The checksums of compressed formats come last.
	_, err := io.CopyN(io.Discard, r, maxTail)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return readError(err)
}

func eachZip(ctx context.Context, whole io.ReaderAt, size, directory int64, put func(entry) error) error {
	list := &opening{ReaderAt: whole, left: directory}
	z, err := zip.NewReader(list, size)
	if err != nil {
		return readError(err)
	}
	list.done = true
	for _, f := range z.File {
		if err := zipEntry(ctx, f, put); err != nil {
			return err
		}
	}
	return nil
}

func zipEntry(ctx context.Context, f *zip.File, put func(entry) error) error {
	body, err := f.Open()
	if err != nil {
		return readError(fmt.Errorf("%q: %w", f.Name, err))
	}
	defer body.Close()
	e := entry{name: f.Name, mode: f.Mode(), mtime: f.Modified, body: &reading{&cancelled{ctx, body}}}
	if e.mode&fs.ModeSymlink != 0 {
		target, err := io.ReadAll(io.LimitReader(e.body, maxTarget))
		if err != nil {
			return err
		}
		e.link = string(target)
	}
	return put(e)
}

// eachFile hands every file, folder and link below the folder to put.
func eachFile(ctx context.Context, from *os.Root, put func(entry) error) error {
	return fs.WalkDir(from.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." || name == markFile {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := entry{name: name, mode: info.Mode(), mtime: info.ModTime()}
		if e.mode&fs.ModeSymlink != 0 {
			if e.link, err = from.Readlink(name); err != nil {
				return err
			}
		}
		if !e.mode.IsRegular() {
			return put(e)
		}
		f, err := from.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		e.body = &cancelled{ctx, f}
		return put(e)
	})
}

// opening is a zip file of which little may be read until it is open.
type opening struct {
	io.ReaderAt
	left int64
	done bool
}

func (o *opening) ReadAt(p []byte, at int64) (int, error) {
	if o.left -= int64(len(p)); o.left < 0 && !o.done {
		return 0, bad("its list of files is too long to be read into memory: pack it as tar")
	}
	return o.ReaderAt.ReadAt(p, at)
}

// bounded is a reader that ends with an error where there is more than expected.
type bounded struct {
	io.Reader
	left int64
	over error
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, b.over
	}
	return n, err
}

// reading marks the errors of reading, so that they are told from those of
// writing.
type reading struct{ io.Reader }

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = readError(err)
	}
	return n, err
}

// readError says that the archive is bad, unless its file could not be read.
func readError(err error) error {
	var file *fs.PathError
	if errors.As(err, &file) || errors.Is(err, errArchive) {
		return err
	}
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return bad("it needs more than the allowed %d bytes of memory to unpack: compress it with `zstd --long=27` or less", maxWindow)
	}
	return bad("it is no whole zip, nor tar that is plain or compressed with xz, gzip or zstd: %w", err)
}
