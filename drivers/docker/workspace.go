package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

const (
	// claimFile in a folder says whose it is.
	claimFile = "claim.json"
	// newPrefix and gonePrefix start the names of folders that are not yet, or
	// no longer, those of an environment.
	newPrefix, gonePrefix = ".new-", ".gone-"
	// abandoned is when an unfinished folder belongs to a process that is dead:
	// making one takes milliseconds.
	abandoned = 10 * time.Minute
)

// claim is what the folder of an environment says about it.
type claim struct {
	owner
	Token       string `json:"token"`
	Application string `json:"application"`
	// DiskGB is the size of the disks that go with the environment.
	DiskGB uint `json:"disk_gb,omitempty"`
}

// workspace is the folder of the folders of environments that have disks, each
// named by its token. One comes into being with its claim in it, by one rename,
// before any disk is made, and goes when all disks are gone.
type workspace struct {
	path  string
	owner owner
}

// openWorkspace makes the folder, and removes what killed processes left half
// made there.
func openWorkspace(path string, o owner) (*workspace, error) {
	w := &workspace{path: path, owner: o}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make workspace_path (allow it to the node's user or set another): %w", err)
	}
	found, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("read workspace_path: %w", err)
	}
	var errs []error
	for _, f := range found {
		old := false
		if info, err := f.Info(); err == nil {
			old = time.Since(info.ModTime()) > abandoned
		}
		if strings.HasPrefix(f.Name(), gonePrefix) || strings.HasPrefix(f.Name(), newPrefix) && old {
			errs = append(errs, os.RemoveAll(filepath.Join(path, f.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("sweep workspace_path: %w", err)
	}
	return w, nil
}

// folder is that of a token: all spellings of one have the same.
func (w *workspace) folder(token string) string { return filepath.Join(w.path, strings.ToLower(token)) }

// claim makes the token's folder, durably, unless it is there.
func (w *workspace) claim(c claim) (err error) {
	c.owner = w.owner
	if there, err := w.has(c.Token); err != nil || there {
		return err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(w.path, 0o700); err != nil { // somebody may have cleaned up
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
	if err := durable.WriteFile(filepath.Join(making, claimFile), text, 0o600); err != nil {
		return err
	}
	if err := os.Rename(making, w.folder(c.Token)); err != nil {
		return err
	}
	return durable.SyncFolder(w.path)
}

// has reports whether the token has a folder of the owner's. Only an error means
// that it could not be found out.
func (w *workspace) has(token string) (bool, error) {
	if !validToken(token) {
		return false, nil
	}
	_, ok, err := w.read(strings.ToLower(token))
	return ok, err
}

func (w *workspace) read(name string) (claim, bool, error) {
	file := filepath.Join(w.path, name, claimFile)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return claim{}, false, nil
	}
	var c claim
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return claim{}, false, fmt.Errorf("read claim %s: %w", file, err)
	}
	return c, c.owner == w.owner && strings.EqualFold(c.Token, name), nil
}

// list returns the claims of the owner.
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
		if !validToken(f.Name()) {
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

// discard removes the folder of a token whose disks are gone. The rename makes it
// one step for whoever looks.
func (w *workspace) discard(token string) error {
	gone := filepath.Join(w.path, gonePrefix+strings.ToLower(token))
	if err := os.Rename(w.folder(token), gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(gone)
}

// lives reports whether the folder of an environment, of whomever, is there.
func (w *workspace) lives(h volume.Holder) bool {
	_, err := os.Lstat(w.folder(h.Token))
	return validToken(h.Token) && !errors.Is(err, fs.ErrNotExist)
}

// written is what the owner's environments have written to the disks that
// go with them, in bytes: of each at most what it was promised. What may not be
// read is not counted.
func (w *workspace) written(ctx context.Context) (bytes int64, err error) {
	found, err := os.ReadDir(w.path)
	if err != nil {
		return 0, err
	}
	for _, f := range found {
		if !validToken(f.Name()) {
			continue
		}
		c, ours, err := w.read(f.Name())
		if err != nil || !ours || c.DiskGB == 0 {
			continue // another's, without disks, or just being removed
		}
		bytes += volume.Used(ctx, volume.DisksOf(w.folder(f.Name())), int64(min(c.DiskGB, 1<<32))<<30) //nolint:gosec // bounded
	}
	return bytes, nil
}
