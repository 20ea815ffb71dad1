package compiled

import (
	"unsafe"

	sqlite3 "modernc.org/sqlite/lib"
)

// pointerSize is what a pointer takes.
const pointerSize = int(unsafe.Sizeof(uintptr(0)))

// keptBlock is the largest block that is kept for the next statement: more than
// the usual arguments take.
const keptBlock = 256 << 10

// block is memory of SQLite, outside of Go's heap, where the translated library
// may look.
type block struct {
	at   uintptr
	size int
}

// grow makes the block at least that large, and an unusually large one small
// again. What it held is lost.
func (b *block) grow(c *Conn, size int) error {
	if b.at != 0 && size <= b.size && (b.size <= keptBlock || size > keptBlock) {
		return nil
	}
	b.free(c)
	size = max(size, 4<<10)
	b.at = sqlite3.Xsqlite3_malloc64(c.tls, uint64(size))
	if b.at == 0 {
		return &Error{code: sqlite3.SQLITE_NOMEM, message: "out of memory"}
	}
	b.size = size
	return nil
}

func (b *block) free(c *Conn) {
	if b.at != 0 {
		sqlite3.Xsqlite3_free(c.tls, b.at)
	}
	b.at, b.size = 0, 0
}

// part is n bytes of the block.
func (b *block) part(from, n int) []byte { return bytesAt(b.at, b.size)[from : from+n] }

// address is where a part begins. One that is empty has an address too, for a
// value without one is NULL.
func (b *block) address(part []byte) uintptr {
	if len(part) == 0 {
		return b.at
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(part)))
}

// pointer is what the block holds in its first place.
func (b *block) pointer() uintptr { return *(*uintptr)(pointerTo(b.at)) }

// bytesAt is memory of SQLite as a slice.
func bytesAt(at uintptr, n int) []byte { return unsafe.Slice((*byte)(pointerTo(at)), n) }

// pointerTo is an address of SQLite's memory as a pointer. Go's collector knows
// nothing of that memory and never moves it.
func pointerTo(at uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&at)) }
