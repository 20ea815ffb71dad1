// Package claims keeps the folders of environments on this machine, which are
// all that a driver remembers of them.
//
// A workspace is a folder of them, each with a claim in it: a file that says
// whose it is. A folder comes into being with its claim, by one rename, before
// there is anything else of the environment; and it goes last. So whatever
// there is can be found by its folder, whenever a process was killed. DESIGN.md
// tells what is found after a kill at any point.
package claims

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/turns"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	// newPrefix and gonePrefix start the names of what is not yet, or no longer,
	// an environment's.
	newPrefix, gonePrefix = ".new-", ".gone-"
	// abandoned is when something unfinished of another owner belongs to a
	// process that is dead: longer than any call of a tool may be by default.
	abandoned = time.Hour
)

// Owner is whose an environment is. Instances and nodes may share a workspace.
type Owner struct {
	Node     model.UID `json:"node"`
	Instance string    `json:"instance"`
}

// String is the owner in words.
func (o Owner) String() string { return o.Node.String() + " " + o.Instance }

// Options say what a driver's workspace is like.
type Options struct {
	Path  string // workspace_path: made if it is missing
	Owner Owner
	Mode  fs.FileMode // of the workspace, if it is made, and of each folder in it
	File  string      // the name of the claim in a folder
	// Names are those of folders that a token may take, in order, and Pattern
	// what all such names look like.
	Names   func(token string) []string
	Pattern *regexp.Regexp
	// NameOf is the name of the folder that an identifier speaks of, in a
	// workspace; anything else for none. Nil: identifiers are names.
	NameOf func(workspace, identifier string) string
	// Taken reports whether somebody else in the system uses a name; nil: a
	// folder is all that may have one.
	Taken func(ctx context.Context, name string) (bool, error)
	// Marks reserves room for the mark of Stop, for drivers that set it.
	Marks bool
	// Isolation is noted in each claim.
	Isolation string
	Logger    *slog.Logger
}

// Workspace is the folder of environments.
type Workspace struct {
	opts   Options
	prefix string
	turns  *turns.Turns
}

// Open makes the folder, and notices here and not at the first allocation that
// it may not. What killed processes left there unfinished is removed; what can
// not be, such as what a virtual machine holds open on Windows, keeps nobody
// from work.
func Open(o Options) (*Workspace, error) {
	sum := sha256.Sum256([]byte(o.Owner.String()))
	w := &Workspace{opts: o, prefix: newPrefix + hex.EncodeToString(sum[:6]) + "-", turns: turns.New()}
	const hint = "(allow it to the node's user or set another)"
	if err := w.Make(); err != nil {
		return nil, fmt.Errorf("make workspace_path %s: %w", hint, err)
	}
	if err := w.probe(); err != nil {
		return nil, fmt.Errorf("write to workspace_path %s: %w", hint, err)
	}
	if err := w.sweep(time.Now()); err != nil {
		o.Logger.Warn("not all that a killed node left could be removed; the next start tries again", "error", err)
	}
	return w, nil
}

// Make makes the workspace if it is missing: somebody may have cleaned up. One
// that is there stays as its owner wants it.
func (w *Workspace) Make() error {
	if there, err := exists(w.opts.Path); err != nil || there {
		return err
	}
	return errors.Join(os.MkdirAll(w.opts.Path, w.opts.Mode), os.Chmod(w.opts.Path, w.opts.Mode)) // whatever the umask says
}

// probe writes to the folder. A full disk is no reason not to begin: who else
// would remove what fills it.
func (w *Workspace) probe() error {
	made, err := os.MkdirTemp(w.opts.Path, w.prefix)
	if volume.Full(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Remove(made)
}

// sweep removes what killed processes left of claims and of folders whose
// environments are gone.
func (w *Workspace) sweep(now time.Time) error {
	found, err := os.ReadDir(w.opts.Path)
	if err != nil {
		return fmt.Errorf("read workspace_path: %w", err)
	}
	var errs []error
	for _, f := range found {
		if w.isLeft(f, now) {
			errs = append(errs, os.RemoveAll(filepath.Join(w.opts.Path, f.Name())))
		}
	}
	return errors.Join(errs...)
}

// isLeft reports whether nobody is at something in the workspace any more.
func (w *Workspace) isLeft(f fs.DirEntry, now time.Time) bool {
	if strings.HasPrefix(f.Name(), w.prefix) || strings.HasPrefix(f.Name(), gonePrefix) {
		return true
	}
	info, err := f.Info()
	return err == nil && strings.HasPrefix(f.Name(), newPrefix) && now.Sub(info.ModTime()) > abandoned
}

// Path is that of the workspace.
func (w *Workspace) Path() string { return w.opts.Path }

// Owner is whose environments the workspace finds.
func (w *Workspace) Owner() Owner { return w.opts.Owner }

// Prefix starts the names of what this owner has not made yet: the next process
// of the owner knows that nobody is at it any more, and removes it.
func (w *Workspace) Prefix() string { return w.prefix }

// Folder is that of an environment.
func (w *Workspace) Folder(name string) string { return filepath.Join(w.opts.Path, name) }

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
