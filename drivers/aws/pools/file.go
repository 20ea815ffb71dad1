package pools

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// file keeps what a pool must not forget.
type file struct {
	dir, pool, node string
	put             func(path string, data []byte, mode fs.FileMode) error
}

// kept is its content.
type kept struct {
	Node string `json:"node"` // a copied folder is not this node's
	Pool string `json:"pool"` // some file systems take Mac and mac for the same
	pool.Saved
}

// path is of the pool's file. The name of a former pool comes from a tag, and
// may be anything.
func (f file) path() string { return filepath.Join(f.dir, url.PathEscape(f.pool)+".json") }

// read returns what was kept, nil if nothing is known: then the pool waits
// until all that may be under way is in EC2's lists. A file that can not be
// understood is put aside, and is such a case.
func (f file) read(log *slog.Logger) (*pool.Saved, error) {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of pools: %w", err)
	}
	text, err := os.ReadFile(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what the pool kept: %w", err)
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		aside := f.path() + ".unreadable"
		log.Warn("what the pool kept can not be read, it is put aside and the pool looks around first", "file", aside, "error", err)
		if err := durable.Rename(f.path(), aside); err != nil {
			return nil, fmt.Errorf("put aside what the pool kept: %w", err)
		}
		return nil, nil
	}
	if k.Node != f.node || k.Pool != f.pool {
		log.Warn("what is kept is of another node or pool, it is left out and the pool looks around first", "file", f.path())
		return nil, nil
	}
	return &k.Saved, nil
}

// write returns when it is durable.
func (f file) write(s pool.Saved) error {
	text, err := json.Marshal(kept{f.node, f.pool, s})
	if err != nil {
		return err
	}
	return f.put(f.path(), text, 0o600)
}
