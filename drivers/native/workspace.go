package native

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	// folderMode lets an environment's user pass to its home and nothing else;
	// who may not list a folder has to know the names in it.
	folderMode = 0o711
	specFile   = "spec.json"
	// stopFile in a folder says that its environment is being removed.
	stopFile = "stop"
	// stopReserve becomes stopFile: a full disk has no room for a file more.
	stopReserve = stopFile + ".reserve"
	// newPrefix and gonePrefix start the names of folders that are not yet, or
	// no longer, those of an environment.
	newPrefix, gonePrefix = ".new-", ".gone-"
	// abandoned is when an unfinished claim belongs to a process that is dead:
	// making one takes milliseconds.
	abandoned = 10 * time.Minute
	// candidates is how many names a token may take: the first is free but for
	// one chance in three hundred million per environment.
	candidates = 8
)

var (
	errVanished = errors.New("environment was deallocated while it was being made")
	errStopping = errors.New("environment is being deallocated")
)

// owner is whose an environment is. Instances and nodes may share a workspace.
type owner struct {
	Node     model.UID `json:"node"`
	Instance string    `json:"instance"`
}

// claim is what spec.json holds: who an environment belongs to, and what is
// needed to remove it when nobody remembers its definition.
type claim struct {
	owner
	Identifier  string    `json:"identifier"`
	Token       string    `json:"token"`
	Application model.UID `json:"application"`
	Isolation   string    `json:"isolation"`
	Made        time.Time `json:"made"`
	// DiskGB is the size of the disks that go with the environment; 0 also in a
	// claim of an older version.
	DiskGB uint `json:"disk_gb,omitempty"`
}

// workspace is the folder of environments, each in a folder of its own that is
// named by its identifier.
//
// A folder comes into being with its spec.json in it, by one rename, before
// there is a user or a process; and it is what goes last. So whatever exists
// can be found by its folder.
type workspace struct {
	path  string
	owner owner
	names *regexp.Regexp // what an identifier looks like
}

// openWorkspace makes the folder, and notices here and not at the first
// allocation that it may not.
func openWorkspace(path string, o owner) (*workspace, error) {
	w := &workspace{path: path, owner: o, names: regexp.MustCompile(`^fish-[a-z]{6}$`)}
	if err := makeFolder(path); err != nil {
		return nil, fmt.Errorf("make workspace_path (allow it to the node's user or set another): %w", err)
	}
	if err := probe(path); err != nil {
		return nil, err
	}
	if err := w.sweep(); err != nil {
		return nil, err
	}
	return w, nil
}

// probe writes to the folder. A full disk is no reason not to begin: who else
// would remove what fills it.
func probe(path string) error {
	made, err := os.MkdirTemp(path, newPrefix)
	if volume.Full(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write to workspace_path (allow it to the node's user or set another): %w", err)
	}
	if err := os.Remove(made); err != nil {
		return fmt.Errorf("write to workspace_path: %w", err)
	}
	return nil
}

// sweep removes what killed processes left of claims and of folders whose
// environments are gone.
func (w *workspace) sweep() error {
	found, err := os.ReadDir(w.path)
	if err != nil {
		return fmt.Errorf("read workspace_path: %w", err)
	}
	var errs []error
	for _, f := range found {
		path := filepath.Join(w.path, f.Name())
		if strings.HasPrefix(f.Name(), gonePrefix) {
			errs = append(errs, os.RemoveAll(path))
			continue
		}
		if !strings.HasPrefix(f.Name(), newPrefix) {
			continue
		}
		if info, err := f.Info(); err == nil && time.Since(info.ModTime()) > abandoned {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweep workspace_path: %w", err)
	}
	return nil
}

func (w *workspace) folder(identifier string) string { return filepath.Join(w.path, identifier) }

// identifiers are the names that a token may take, in order.
func identifiers(token string) [candidates]string {
	var names [candidates]string
	for i := range names {
		sum := sha256.Sum256(append([]byte("native:"+token), byte(i)))
		n := binary.BigEndian.Uint64(sum[:])
		name := []byte("fish-")
		for range 6 {
			name = append(name, byte('a'+n%26))
			n /= 26
		}
		names[i] = string(name)
	}
	return names
}

// validToken reports whether it is 32 hex digits.
func validToken(token string) bool {
	return len(token) == 32 && strings.Trim(token, "0123456789abcdefABCDEF") == ""
}

// claim makes the token's folder, durably, or finds the one it has. taken
// reports whether somebody else in the system uses a name.
func (w *workspace) claim(c claim, taken func(name string) (bool, error)) (claim, error) {
	if found, ok, err := w.find(drivers.Ref{Token: c.Token}); err != nil || ok {
		return found, err
	}
	if err := makeFolder(w.path); err != nil { // somebody may have cleaned up
		return claim{}, err
	}
	for _, name := range identifiers(c.Token) {
		if used, err := taken(name); err != nil {
			return claim{}, err
		} else if used {
			continue
		}
		c.Identifier = name
		err := w.place(c)
		if errors.Is(err, fs.ErrExist) {
			continue // another token has it
		}
		return c, err
	}
	return claim{}, fmt.Errorf("all %d names that token %s may take are used by others", candidates, c.Token)
}

// place makes the folder under a temporary name and renames it, which fails
// where one with something in it exists.
func (w *workspace) place(c claim) (err error) {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	making, err := os.MkdirTemp(w.path, newPrefix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(making))
		}
	}()
	if err := writeDurably(filepath.Join(making, specFile), text, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(making, stopReserve), nil, 0o600); err != nil {
		return err
	}
	if err := os.Chmod(making, folderMode); err != nil {
		return err
	}
	if err := durable.SyncFolder(making); err != nil {
		return err
	}
	if err := os.Rename(making, w.folder(c.Identifier)); err != nil {
		if _, there := os.Lstat(w.folder(c.Identifier)); there == nil {
			return fs.ErrExist // systems differ in what they call it
		}
		return err
	}
	return durable.SyncFolder(w.path)
}

// find looks an environment of the owner up, by token where there is one. Only
// an error means that it could not be found out.
func (w *workspace) find(ref drivers.Ref) (claim, bool, error) {
	if ref.Token == "" {
		if !w.names.MatchString(ref.Identifier) {
			return claim{}, false, nil
		}
		return w.read(ref.Identifier)
	}
	for _, name := range identifiers(ref.Token) {
		c, ok, err := w.read(name)
		if err != nil || ok && c.Token == ref.Token {
			return c, err == nil, err
		}
	}
	return claim{}, false, nil
}

// read returns the claim in a folder, if it is the owner's.
func (w *workspace) read(name string) (claim, bool, error) {
	text, err := os.ReadFile(filepath.Join(w.folder(name), specFile))
	if errors.Is(err, fs.ErrNotExist) {
		return claim{}, false, nil
	}
	if err != nil {
		return claim{}, false, fmt.Errorf("read claim: %w", err)
	}
	var c claim
	if err := json.Unmarshal(text, &c); err != nil {
		return claim{}, false, fmt.Errorf("read claim %s: %w", filepath.Join(w.folder(name), specFile), err)
	}
	if c.owner != w.owner {
		return claim{}, false, nil
	}
	c.Identifier = name
	return c, true, nil
}

// stands reports an error unless the claim is still there and nobody began to
// remove it.
func (w *workspace) stands(c claim) error {
	now, ok, err := w.read(c.Identifier)
	if err != nil {
		return err
	}
	if !ok || now.Token != c.Token {
		return errVanished
	}
	if stopping, err := w.stopping(c); err != nil || stopping {
		return errors.Join(err, errStopping)
	}
	return nil
}

// stop marks the environment as one in which nothing may start any more. It
// needs no room on the disk, which the environment may have filled.
func (w *workspace) stop(c claim) error {
	folder := w.folder(c.Identifier)
	err := durable.Rename(filepath.Join(folder, stopReserve), filepath.Join(folder, stopFile))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Stopped before, or claimed by a version that reserved nothing.
	stopping, err := w.stopping(c)
	switch {
	case err != nil:
		return err
	case !stopping:
		return writeDurably(filepath.Join(folder, stopFile), nil, 0o600)
	}
	return durable.SyncFolder(folder) // who stopped it may have been killed before
}

func (w *workspace) stopping(c claim) (bool, error) {
	return exists(filepath.Join(w.folder(c.Identifier), stopFile))
}

// discard removes the folder of an environment of which nothing else is left.
// The rename makes it one step for whoever looks.
func (w *workspace) discard(c claim) error {
	gone := filepath.Join(w.path, gonePrefix+c.Identifier+"-"+c.Token)
	if err := os.Rename(w.folder(c.Identifier), gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(gone)
}

// list returns everything of the owner.
func (w *workspace) list(ctx context.Context) ([]claim, error) {
	found, err := os.ReadDir(w.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read workspace: %w", err)
	}
	var claims []claim
	for _, f := range found {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !w.names.MatchString(f.Name()) {
			continue
		}
		c, ok, err := w.read(f.Name())
		if err != nil {
			return nil, err
		}
		if ok {
			claims = append(claims, c)
		}
	}
	return claims, nil
}
