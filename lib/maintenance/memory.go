package maintenance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// modeFile keeps who drained a node from other users of the machine.
const modeFile fs.FileMode = 0o600

// record is the content of the file that a persistent drain is kept in. That there is a file is what counts; the
// content only says since when and by whom.
type record struct {
	Since time.Time `json:"since"`
	By    string    `json:"by"`
}

// recall reads what an earlier run left. A file that can not be understood still drains: a node that takes work during
// a repair harms more than one that waits to be told.
func recall(path string) (s state, doubt error) {
	if path == "" {
		return state{}, nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	s = state{on: true, persistent: true, since: time.Now().UTC()}
	if err != nil {
		return s, fmt.Errorf("look for drain file: %w", err)
	}
	s.since = info.ModTime().UTC()
	data, err := os.ReadFile(path)
	if err != nil {
		return s, fmt.Errorf("read drain file: %w", err)
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil || r.Since.IsZero() {
		return s, fmt.Errorf("drain file %s is damaged: since when and by whom the node is drained is lost", path)
	}
	s.since, s.by = r.Since, r.By
	return s, nil
}

// remember makes the file say what the state says; after it returned nil, so it is after a power loss.
func remember(path string, s state) error {
	if !s.persistent {
		return durable.Remove(path)
	}
	data, err := json.Marshal(record{Since: s.since, By: s.by})
	if err != nil {
		return fmt.Errorf("encode drain: %w", err)
	}
	return durable.WriteFile(path, append(data, '\n'), modeFile)
}
