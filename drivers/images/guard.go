package images

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aquarium-fish/aquarium-fish/drivers/space"
)

// errDiskFull ends a download or an unpacking whatever its source: no mirror
// helps.
var errDiskFull = errors.New("no room left on the disk: free some, or move images_path or workspace_path to a larger disk")

// guard is a writer that ends at a limit, with its context, and before the disk
// is full.
type guard struct {
	ctx     context.Context
	w       io.Writer
	max     int64 // bytes that may still come
	over    error // what it is called if there are more
	minFree int64
	free    func() (int64, error)
	wrote   func(int64) // is told of written bytes; may be nil
	unseen  int64       // bytes since the room was looked at
}

// roomEvery is how many bytes are written between two looks at the free room:
// well below what stays free.
const roomEvery = 64 << 20

func (g *guard) Write(p []byte) (int, error) {
	if err := context.Cause(g.ctx); err != nil {
		return 0, err
	}
	if int64(len(p)) > g.max {
		return 0, g.over
	}
	if err := g.take(int64(len(p))); err != nil {
		return 0, err
	}
	n, err := g.w.Write(p)
	g.max -= int64(n)
	if g.wrote != nil {
		g.wrote(int64(n))
	}
	return n, err
}

// take notes bytes that the disk is about to lose, and looks at it once in a
// while.
func (g *guard) take(n int64) error {
	if g.unseen += n; g.unseen <= roomEvery {
		return nil
	}
	return g.room()
}

func (g *guard) room() error {
	g.unseen = 0
	free, err := g.free()
	if err != nil {
		return fmt.Errorf("find free room: %w", err)
	}
	if free < g.minFree {
		return fmt.Errorf("%w: %d bytes are free and %d stay free", errDiskFull, free, g.minFree)
	}
	return nil
}

// freeBytes is what this user may still write on the folder's disk.
func freeBytes(dir string) (int64, error) {
	_, free, err := space.Of(dir)
	return free, err
}
