package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// info is what the file beside a download says of it, for other processes and
// for later ones: its key tells nobody anything.
type info struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Source  string `json:"source"`
}

// work is an image that a process works on, or worked on.
type work struct {
	info
	key     string
	size    int64 // of the download so far
	touched time.Time
	busy    bool // a process works on it
	unpacks bool
}

// writeInfo says what is worked on. Only what is shown suffers without it.
func (c *Cache) writeInfo(see *progress) {
	raw, err := json.Marshal(info{see.id, see.name, see.version, see.source})
	if err == nil {
		err = os.WriteFile(c.work(see.key, ".info"), raw, 0o600)
	}
	if err != nil {
		c.logger.Warn("name of a download can not be written down", "image", see.source, "error", err)
	}
}

// works lists the downloads that are on disk.
func (c *Cache) works() ([]work, error) {
	entries, err := os.ReadDir(c.work("", ""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list downloads: %w", err)
	}
	var keys []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext == ".part" || ext == ".info" {
			keys = append(keys, strings.TrimSuffix(e.Name(), ext))
		}
	}
	var list []work
	for _, key := range slices.Compact(keys) {
		w, err := c.lookAt(key)
		if err != nil {
			return nil, err
		}
		if w.busy || w.size > 0 {
			list = append(list, w)
		}
	}
	return list, nil
}

func (c *Cache) lookAt(key string) (work, error) {
	w := work{key: key}
	if raw, err := os.ReadFile(c.work(key, ".info")); err == nil {
		_ = json.Unmarshal(raw, &w.info)
	}
	if w.ID == "" {
		w.ID = key
	}
	if part, err := os.Stat(c.work(key, ".part")); err == nil {
		w.size, w.touched = part.Size(), part.ModTime()
	}
	if _, err := os.Stat(c.work(key, ".lock")); err != nil {
		return w, nil //nolint:nilerr // nobody locked it
	}
	held, err := tryLock(c.work(key, ".lock"))
	if err != nil {
		return work{}, err
	}
	if held != nil {
		held.release()
		return w, nil
	}
	w.busy = true
	_, err = os.Stat(c.work(key, ".tmp"))
	w.unpacks = err == nil
	return w, nil
}

func (w work) status() drivers.ImageStatus {
	s := drivers.ImageStatus{
		ID: w.ID, Name: w.Name, Version: w.Version, Source: w.Source, State: drivers.ImageDownloading, Done: w.size, InUse: w.busy,
	}
	switch {
	case w.unpacks:
		s.State = drivers.ImageUnpacking
	case !w.busy:
		s.State, s.Error = drivers.ImageFailed, "its download was interrupted; it is got when it is wanted again"
	}
	return s
}

// kept is the download as something that takes room.
func (w work) kept() kept {
	return kept{id: w.ID, key: w.key, name: w.Name, version: w.Version, source: w.Source, size: w.size, laid: w.touched}
}
