//go:build unix

package vmx

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// copySparse copies what is written of a file, and not its holes, to a place in
// another.
func copySparse(ctx context.Context, from, to *os.File, at int64) error {
	end := int64(0)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		begin, err := unix.Seek(int(from.Fd()), end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // only a hole is left
		}
		if err != nil {
			return err
		}
		if end, err = unix.Seek(int(from.Fd()), begin, unix.SEEK_HOLE); err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(to, at+begin), io.NewSectionReader(from, begin, end-begin)); err != nil {
			return err
		}
	}
}
