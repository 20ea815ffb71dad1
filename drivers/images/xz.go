package images

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// checkXZ walks the blocks of an xz file and refuses one that asks for more
// memory than maxWindow: the library would allocate up to 4 GB on the archive's
// word. It decodes nothing; what ends early is left for the library to report.
func checkXZ(r *bufio.Reader) error {
	for {
		check, err := xzStream(r)
		if err != nil {
			return xzEnd(err)
		}
		for {
			more, err := xzBlock(r, check)
			if err != nil {
				return xzEnd(err)
			}
			if !more {
				break
			}
		}
	}
}

// errXZ says that the file has a form that the library does not know either.
var errXZ = bad("not an xz file with LZMA2 alone")

func xzEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// xzStream reads a stream's header, after padding, and returns the size of the
// check that follows each block.
func xzStream(r *bufio.Reader) (check int, err error) {
	for {
		word, err := r.Peek(4)
		if err != nil {
			return 0, err
		}
		if binary.LittleEndian.Uint32(word) != 0 {
			break
		}
		if _, err := r.Discard(4); err != nil {
			return 0, err
		}
	}
	head := make([]byte, 12)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, err
	}
	sizes := map[byte]int{0: 0, 1: 4, 4: 8, 10: 32}
	check, known := sizes[head[7]]
	if string(head[:6]) != "\xfd7zXZ\x00" || !known {
		return 0, errXZ
	}
	return check, nil
}

// xzBlock walks over one block, or over the index and the stream's footer,
// after which there is no more.
func xzBlock(r *bufio.Reader, check int) (more bool, err error) {
	size, err := r.ReadByte()
	if err != nil {
		return false, err
	}
	if size == 0 {
		return false, xzIndex(r)
	}
	head := make([]byte, int(size)*4+3)
	if _, err := io.ReadFull(r, head); err != nil {
		return false, err
	}
	if err := xzHeader(head); err != nil {
		return false, err
	}
	n, err := xzChunks(r)
	if err != nil {
		return false, err
	}
	_, err = r.Discard(int((4-n%4)%4) + check)
	return true, err
}

// xzHeader looks for the dictionary's size in a block's header.
func xzHeader(head []byte) error {
	flags, rest := head[0], head[1:]
	for bit := byte(0x40); bit != 0; bit <<= 1 { // both sizes, where they are given
		if flags&bit != 0 {
			_, n := binary.Uvarint(rest)
			if n <= 0 {
				return errXZ
			}
			rest = rest[n:]
		}
	}
	if flags&3 != 0 || len(rest) < 3 || rest[0] != 0x21 || rest[1] != 1 || rest[2] > 40 {
		return errXZ
	}
	bits := rest[2]
	if dict := (int64(2) | int64(bits&1)) << (bits/2 + 11); dict > maxWindow {
		return bad("it needs %d bytes of memory to unpack, at most %d are allowed: compress it with `xz -9` or less", dict, int64(maxWindow))
	}
	return nil
}

// xzChunks walks over the LZMA2 chunks of a block and returns their bytes.
func xzChunks(r *bufio.Reader) (n int64, err error) {
	for {
		control, err := r.ReadByte()
		if err != nil {
			return n, err
		}
		n++
		if control == 0 {
			return n, nil
		}
		head := make([]byte, 2, 5)
		switch {
		case control >= 0xc0:
			head = head[:5]
		case control >= 0x80:
			head = head[:4]
		case control > 2:
			return n, errXZ
		}
		if _, err := io.ReadFull(r, head); err != nil {
			return n, err
		}
		size := head[:2]
		if control >= 0x80 {
			size = head[2:4]
		}
		skip := int(binary.BigEndian.Uint16(size)) + 1
		if _, err := r.Discard(skip); err != nil {
			return n, err
		}
		n += int64(len(head) + skip)
	}
}

// xzIndex walks over the index, of which the first byte was read, and the
// footer.
func xzIndex(r *bufio.Reader) error {
	read := 1
	number := func() (uint64, error) {
		v, err := binary.ReadUvarint(&counted{r, &read})
		if err != nil {
			err = fmt.Errorf("%w: %w", errXZ, err)
		}
		return v, err
	}
	records, err := number()
	for i := uint64(0); err == nil && i < records*2; i++ {
		_, err = number()
	}
	if err != nil {
		return err
	}
	_, err = r.Discard((4-read%4)%4 + 4 + 12)
	return err
}

// counted counts the bytes that are read.
type counted struct {
	r *bufio.Reader
	n *int
}

func (c *counted) ReadByte() (byte, error) {
	*c.n++
	return c.r.ReadByte()
}
