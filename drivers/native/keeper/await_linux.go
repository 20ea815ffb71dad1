package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// awaitKeeper blocks until no keeper holds the folder's FIFO open. It costs no
// thread: the runtime's poller watches the FIFO.
func awaitKeeper(ctx context.Context, folder string) error {
	fifo, err := os.OpenFile(filepath.Join(folder, aliveFile), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // not yet made, or removed already
	}
	if err != nil {
		return fmt.Errorf("watch keeper: %w", err)
	}
	defer fifo.Close()
	defer context.AfterFunc(ctx, func() { _ = fifo.SetReadDeadline(time.Now()) })() // a FIFO that has ended needs none
	if _, err := io.Copy(io.Discard, fifo); err != nil && ctx.Err() == nil {
		return fmt.Errorf("watch keeper: %w", err)
	}
	return ctx.Err()
}
