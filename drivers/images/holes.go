package images

import (
	"bytes"
	"io"
	"os"
)

// holeBlock is what a hole is made of at least: finer ones save little and
// scatter the file.
const holeBlock = 64 << 10

// holes writes a new file and leaves out its blocks of zeros, which reads as
// zeros and takes no room: most of a disk image is empty.
type holes struct {
	f   *os.File
	at  int64 // where the next byte belongs
	end int64 // of what is really written
}

// Write takes whole blocks; only the last one of the file may be shorter.
func (h *holes) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n := leading(p[done:], zero)
		if n == 0 {
			n = leading(p[done:], func(block []byte) bool { return !zero(block) })
			if _, err := h.f.WriteAt(p[done:done+n], h.at); err != nil {
				return done, err
			}
			h.end = h.at + int64(n)
		}
		h.at += int64(n)
		done += n
	}
	return len(p), nil
}

// finish gives the file its size if it ends with a hole.
func (h *holes) finish() error {
	if h.at == h.end {
		return nil
	}
	return h.f.Truncate(h.at)
}

// leading is how many bytes the first blocks have that are alike.
func leading(p []byte, alike func(block []byte) bool) (n int) {
	for n < len(p) {
		block := p[n:min(n+holeBlock, len(p))]
		if !alike(block) {
			break
		}
		n += len(block)
	}
	return n
}

// zero reports whether all bytes of a block, which is not empty, are zeros.
func zero(block []byte) bool {
	return block[0] == 0 && bytes.Equal(block[1:], block[:len(block)-1])
}

// copyBlocks copies all that r has, in whole buffers except for the last one: a
// decoder gives pieces of any size, and blocks are told by their place in the file.
func copyBlocks(w io.Writer, r io.Reader, buffer []byte) error {
	for {
		n, err := 0, error(nil)
		for n < len(buffer) && err == nil { // io.ReadFull has one error for the end and for a broken archive
			var more int
			more, err = r.Read(buffer[n:])
			n += more
		}
		if _, err := w.Write(buffer[:n]); err != nil {
			return err
		}
		if err == io.EOF { //nolint:errorlint // as io.Copy does: one that is wrapped is no end
			return nil
		}
		if err != nil {
			return err
		}
	}
}
