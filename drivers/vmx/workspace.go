package vmx

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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

// Names in an environment's folder, beside those of VMware.
const (
	specFile    = "spec.json" // the claim
	startedFile = "started"   // it ran: nothing is made again
	stopFile    = "stop"      // it is being removed: nothing starts any more
	imageFolder = "image"     // what it is cloned from
)

const (
	// newPrefix and gonePrefix start the names of what is not yet, or no longer,
	// an environment's.
	newPrefix, gonePrefix = ".new-", ".gone-"
	// abandoned is when something unfinished of a stranger belongs to a process that is dead:
	// longer than any call of a tool may be by default.
	abandoned = time.Hour
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
	Name        string    `json:"name"` // the hardware address as 12 hex digits
	Token       string    `json:"token"`
	Application model.UID `json:"application"`
	Made        time.Time `json:"made"`
	DiskGB      uint      `json:"disk_gb,omitempty"` // of the disks that go with it
}

// workspace is the folder of environments, each in a folder of its own that is
// named by its hardware address.
//
// A folder comes into being with its claim in it, by one rename, before there
// is anything of VMware; and it goes when nothing of VMware is left. So
// whatever exists can be found by its folder.
type workspace struct {
	path string // without links in it, as vmrun shows paths
	// begins starts the names of what this owner has not made yet: the next
	// process of the owner knows that nobody is at it any more.
	begins string
	owner  owner
	names  *regexp.Regexp
}

// openWorkspace makes the folder, and notices here and not at the first
// allocation that it may not.
func openWorkspace(path string, o owner) (*workspace, error) {
	const hint = "(allow it to the node's user or set another)"
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make workspace_path %s: %w", hint, err)
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("find workspace_path: %w", err)
	}
	sum := sha256.Sum256([]byte(o.Node.String() + " " + o.Instance))
	w := &workspace{path: path, begins: newPrefix + hex.EncodeToString(sum[:6]) + "-", owner: o, names: namePattern()}
	probe, err := os.MkdirTemp(path, w.begins)
	if volume.Full(err) {
		return w, nil // who else would remove what fills it
	}
	if err != nil {
		return nil, fmt.Errorf("write to workspace_path %s: %w", hint, err)
	}
	if err := os.Remove(probe); err != nil {
		return nil, fmt.Errorf("write to workspace_path: %w", err)
	}
	return w, nil
}

// sweep removes what killed processes left of claims and of folders whose
// environments are gone. What can not be removed, such as what a virtual machine
// holds open on Windows, keeps nobody from the rest.
func (w *workspace) sweep(now time.Time) error {
	found, err := os.ReadDir(w.path)
	if err != nil {
		return fmt.Errorf("read workspace_path: %w", err)
	}
	var errs []error
	for _, f := range found {
		own := strings.HasPrefix(f.Name(), w.begins)
		remove := own || strings.HasPrefix(f.Name(), gonePrefix)
		if info, err := f.Info(); err == nil && !own && strings.HasPrefix(f.Name(), newPrefix) {
			remove = now.Sub(info.ModTime()) > abandoned
		}
		if remove {
			errs = append(errs, os.RemoveAll(filepath.Join(w.path, f.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweep workspace_path: %w", err)
	}
	return nil
}

func (w *workspace) folder(name string) string { return filepath.Join(w.path, name) }

// vmx is the path of a virtual machine, and the identifier of its environment.
func (w *workspace) vmx(name string) string { return filepath.Join(w.path, name, name+".vmx") }

// nameOf is the name in an identifier; false for what is none.
func (w *workspace) nameOf(identifier string) (string, bool) {
	name := filepath.Base(filepath.Dir(identifier))
	return name, w.names.MatchString(name) && identifier == w.vmx(name)
}

// claim makes the token's folder, durably, or finds the one it has.
func (w *workspace) claim(c claim) (claim, error) {
	if found, ok, err := w.find(drivers.Ref{Token: c.Token}); err != nil || ok {
		return found, err
	}
	if err := os.MkdirAll(w.path, 0o700); err != nil { // somebody may have cleaned up
		return claim{}, err
	}
	for _, name := range names(c.Token) {
		c.Name = name
		err := w.place(c)
		if errors.Is(err, fs.ErrExist) {
			continue // another token has it
		}
		return c, err
	}
	return claim{}, fmt.Errorf("all %d hardware addresses that token %s may take are used by others", candidates, c.Token)
}

// place makes the folder under a temporary name and renames it, which fails
// where one with something in it exists.
func (w *workspace) place(c claim) (err error) {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	making, err := os.MkdirTemp(w.path, w.begins)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(making))
		}
	}()
	if err := durable.WriteFile(filepath.Join(making, specFile), text, 0o600); err != nil {
		return err
	}
	if err := os.Rename(making, w.folder(c.Name)); err != nil {
		if _, there := os.Lstat(w.folder(c.Name)); there == nil {
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
		name, ok := w.nameOf(ref.Identifier)
		if !ok {
			return claim{}, false, nil
		}
		return w.read(name)
	}
	for _, name := range names(ref.Token) {
		c, ok, err := w.read(name)
		if err != nil || ok && c.Token == ref.Token {
			return c, err == nil, err
		}
	}
	return claim{}, false, nil
}

// read returns the claim in a folder, if it is the owner's.
func (w *workspace) read(name string) (claim, bool, error) {
	c, ok, err := readClaim(filepath.Join(w.folder(name), specFile))
	if err != nil || !ok || c.owner != w.owner {
		return claim{}, false, err
	}
	c.Name = name
	return c, true, nil
}

// readClaim reads anybody's claim.
func readClaim(path string) (claim, bool, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return claim{}, false, nil
	}
	if err != nil {
		return claim{}, false, fmt.Errorf("read claim: %w", err)
	}
	var c claim
	if err := json.Unmarshal(text, &c); err != nil {
		return claim{}, false, fmt.Errorf("read claim %s: %w (nobody knows whose environment that is: stop its virtual machine if it runs, and remove the folder)", path, err)
	}
	return c, true, nil
}

// stands reports an error unless the claim is still there and nobody began to
// remove it.
func (w *workspace) stands(c claim) error {
	now, ok, err := w.read(c.Name)
	if err != nil {
		return err
	}
	if !ok || now.Token != c.Token {
		return errVanished
	}
	if stopping, err := w.marked(c, stopFile); err != nil || stopping {
		return errors.Join(err, errStopping)
	}
	return nil
}

// mark notes something about an environment, for good.
func (w *workspace) mark(c claim, file string) error {
	return durable.WriteFile(filepath.Join(w.folder(c.Name), file), nil, 0o600)
}

func (w *workspace) marked(c claim, file string) (bool, error) {
	return exists(filepath.Join(w.folder(c.Name), file))
}

// discard removes the folder of an environment of which nothing else is left.
// The rename makes it one step for whoever looks.
func (w *workspace) discard(c claim) error {
	gone := filepath.Join(w.path, gonePrefix+c.Name+"-"+c.Token)
	if err := os.Rename(w.folder(c.Name), gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
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

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
