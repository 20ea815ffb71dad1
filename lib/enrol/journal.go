package enrol

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Journal is what a machine has still to do once its token is redeemed: everything that it takes to go on after a crash,
// without the token. It holds users' hashes and labels' secrets, and is for its owner alone.
type Journal struct {
	Node      string   `json:"node"`
	CAs       string   `json:"cas"`         // PEM
	Chain     string   `json:"certificate"` // PEM
	Addresses []string `json:"addresses"`   // for cluster_join
	// Moves are files to set aside: from, to.
	Moves [][2]string `json:"moves,omitempty"`
	// Database is the folder of the database, Kept the name that it gets there; empty: it stays, or there is none.
	Database string `json:"database,omitempty"`
	Kept     string `json:"kept,omitempty"`
	// Users and Labels are brought along.
	Users  []model.User  `json:"users,omitempty"`
	Labels []model.Label `json:"labels,omitempty"`
}

// journalPath is where a node's journal is.
func journalPath(directory, node string) string {
	return filepath.Join(directory, node+"_join.json")
}

// Save makes the journal durable: from then on the join is to be finished.
func (j Journal) Save(directory string) error {
	data, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("encode journal of the join: %w", err)
	}
	return durable.WriteFile(journalPath(directory, j.Node), data, 0o600)
}

// LoadJournal returns that of a join which was begun and not finished; nil if there is none.
func LoadJournal(directory, node string) (*Journal, error) {
	data, err := os.ReadFile(journalPath(directory, node))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var j Journal
	if err == nil {
		err = json.Unmarshal(data, &j)
	}
	if err != nil {
		return nil, fmt.Errorf("read journal of the join: %w", err)
	}
	return &j, nil
}

// Done removes the journal.
func (j Journal) Done(directory string) error { return durable.Remove(journalPath(directory, j.Node)) }

// SetFilesAside does Moves: what has its new name already is left alone, as another file may have the old one by now.
func (j Journal) SetFilesAside() error {
	for _, m := range j.Moves {
		if _, err := os.Lstat(m[1]); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return err
			}
			continue
		}
		if err := durable.Rename(m[0], m[1]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set file aside: %w", err)
		}
	}
	return nil
}

// Unfinished is an error if a join of the node was begun and not finished: a node that starts then would make a CA of
// its own, or go on with what was to be set aside.
func Unfinished(directory, node string) error {
	path := journalPath(directory, node)
	switch _, err := os.Lstat(path); {
	case err == nil:
		return fmt.Errorf("the node has begun to join a cluster (%s): finish it with 'aquarium-fish cluster join', which needs no token now", path)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look for a join that was not finished: %w", err)
	}
	return nil
}

// FindJournal is the name of the node whose join was not finished, "" if there is none: the named node, or the only one
// of the folder.
func FindJournal(directory, node string) (string, error) {
	if _, err := os.Lstat(journalPath(directory, node)); err == nil {
		return node, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look for a join that was not finished: %w", err)
	}
	const end = "_join.json"
	found, err := filepath.Glob(journalPath(escapeGlob(directory), "*"))
	if err != nil || len(found) == 0 {
		return "", err
	}
	if len(found) > 1 {
		return "", fmt.Errorf("several nodes in %s have begun to join: name one by node_name in its config", directory)
	}
	return strings.TrimSuffix(filepath.Base(found[0]), end), nil
}

// escapeGlob makes a path match itself alone.
func escapeGlob(path string) string {
	return strings.NewReplacer(`[`, `[[]`, `*`, `[*]`, `?`, `[?]`).Replace(path)
}
