package claims

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

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// ErrVanished says that the environment was deallocated while it was being made.
var ErrVanished = errors.New("environment was deallocated while it was being made")

// Claim says who an environment belongs to, and what is needed to remove it
// when nobody remembers its definition.
type Claim struct {
	Owner
	Name        string    `json:"-"` // that of its folder
	Token       string    `json:"token"`
	Application model.UID `json:"application"`
	Isolation   string    `json:"isolation,omitempty"`
	Made        time.Time `json:"made"`
	// DiskGB is the size of the disks that go with the environment; 0 also in a
	// claim of an older version.
	DiskGB uint `json:"disk_gb,omitempty"`
}

// ValidToken reports whether it is 32 hex digits.
func ValidToken(token string) bool {
	return len(token) == 32 && strings.Trim(token, "0123456789abcdefABCDEF") == ""
}

// Claim makes the folder of the request's token, durably, or finds the one it
// has.
func (w *Workspace) Claim(ctx context.Context, req drivers.Request) (Claim, error) {
	if !ValidToken(req.Token) {
		return Claim{}, fmt.Errorf("token %q is not 32 hex digits", req.Token)
	}
	done, err := w.turns.Take(ctx, strings.ToLower(req.Token))
	if err != nil {
		return Claim{}, err
	}
	defer done()
	if found, ok, err := w.Find(drivers.Ref{Token: req.Token}); err != nil || ok {
		return found, err
	}
	if err := w.Make(); err != nil {
		return Claim{}, err
	}
	return w.placeFree(ctx, Claim{
		Owner: w.opts.Owner, Token: req.Token, Application: req.ApplicationUID, Isolation: w.opts.Isolation,
		Made: time.Now().UTC(), DiskGB: drivers.SizeOf(volume.Own(req.Definition.Resources.Disks)),
	})
}

// placeFree makes the folder under the first of the token's names that nobody
// has.
func (w *Workspace) placeFree(ctx context.Context, c Claim) (Claim, error) {
	names := w.opts.Names(c.Token)
	for _, c.Name = range names {
		if err := ctx.Err(); err != nil {
			return Claim{}, err
		}
		if w.opts.Taken != nil {
			if taken, err := w.opts.Taken(ctx, c.Name); err != nil {
				return Claim{}, err
			} else if taken {
				continue
			}
		}
		if err := w.place(c); !errors.Is(err, fs.ErrExist) {
			return c, err
		} // else another token has it
	}
	return Claim{}, fmt.Errorf("all %d names that token %s may take are used by others", len(names), c.Token)
}

// place makes the folder under a temporary name and renames it, which fails
// where one with something in it exists.
func (w *Workspace) place(c Claim) (err error) {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	making, err := os.MkdirTemp(w.opts.Path, w.prefix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(making))
		}
	}()
	if w.opts.Marks {
		if err := os.WriteFile(filepath.Join(making, stopReserve), nil, 0o600); err != nil {
			return err
		}
	}
	if err := os.Chmod(making, w.opts.Mode); err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(making, w.opts.File), text, 0o600); err != nil {
		return err
	}
	if err := os.Rename(making, w.Folder(c.Name)); err != nil {
		if _, there := os.Lstat(w.Folder(c.Name)); there == nil {
			return fs.ErrExist // systems differ in what they call it
		}
		return err
	}
	return durable.SyncFolder(w.opts.Path)
}

// Find looks an environment of the owner up, by token where there is one. Only
// an error means that it could not be found out: that of another which has a name
// of the token's hides none that is there.
func (w *Workspace) Find(ref drivers.Ref) (Claim, bool, error) {
	names := []string{w.nameOf(ref.Identifier)}
	if ref.Token != "" {
		names = w.opts.Names(ref.Token)
	}
	var errs []error
	for _, name := range names {
		c, ok, err := w.Read(name)
		if ok && (ref.Token == "" || strings.EqualFold(c.Token, ref.Token)) {
			return c, true, nil
		}
		errs = append(errs, err)
	}
	return Claim{}, false, errors.Join(errs...)
}

func (w *Workspace) nameOf(identifier string) string {
	if w.opts.NameOf == nil {
		return identifier
	}
	return w.opts.NameOf(w.opts.Path, identifier)
}

// Named reports whether a name is one that an environment's folder may have.
func (w *Workspace) Named(name string) bool { return w.opts.Pattern.MatchString(name) }

// Read returns the claim in a folder, if it is the owner's.
func (w *Workspace) Read(name string) (Claim, bool, error) {
	c, ok, err := w.readAny(name)
	if err != nil || !ok || c.Owner != w.opts.Owner {
		return Claim{}, false, err
	}
	return c, true, nil
}

// readAny reads anybody's claim.
func (w *Workspace) readAny(name string) (Claim, bool, error) {
	if !w.Named(name) {
		return Claim{}, false, nil
	}
	path := filepath.Join(w.Folder(name), w.opts.File)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Claim{}, false, nil
	}
	c := Claim{Name: name}
	if err == nil {
		err = c.decode(text)
	}
	if err != nil {
		return Claim{}, false, &UnreadableError{Path: path, Err: err}
	}
	return c, true, nil
}

// decode reads a claim. What is JSON and says not whose it is would else be
// taken for another owner's, and its environment for absent.
func (c *Claim) decode(text []byte) error {
	if err := json.Unmarshal(text, c); err != nil {
		return err
	}
	if c.Node == (model.UID{}) || c.Instance == "" || !ValidToken(c.Token) {
		return errors.New("it lacks a node, an instance or a token")
	}
	return nil
}

// UnreadableError says that a claim can not be read, so that nobody knows whose
// environment that is.
type UnreadableError struct {
	Path string // of the claim
	Err  error
}

// Error implements error.
func (e *UnreadableError) Error() string {
	return fmt.Sprintf("read claim %s: %v (nobody knows whose environment that is: let the node read it, or stop what still runs of it and remove the folder)", e.Path, e.Err)
}

// Unwrap implements the protocol of package errors.
func (e *UnreadableError) Unwrap() error { return e.Err }

// mostUnreadable is how many claims that can not be read are told at once.
const mostUnreadable = 5

// List returns everything of the owner. Claims that can not be read are an error
// beside the others, as one of them may be the owner's: what is returned is there
// all the same.
func (w *Workspace) List(ctx context.Context) ([]Claim, error) {
	found, err := os.ReadDir(w.opts.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read workspace: %w", err)
	}
	var all []Claim
	var errs []error
	for _, f := range found {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c, ok, err := w.Read(f.Name())
		if err != nil {
			errs = append(errs, err)
		}
		if ok {
			all = append(all, c)
		}
	}
	if more := len(errs) - mostUnreadable; more > 0 {
		errs = append(errs[:mostUnreadable], fmt.Errorf("and %d more claims can not be read", more))
	}
	return all, errors.Join(errs...)
}

// There reports whether an environment's folder is still its own.
func (w *Workspace) There(c Claim) (bool, error) {
	now, ok, err := w.Read(c.Name)
	return ok && now.Token == c.Token, err
}

// Lives reports whether the environment that holds a reused disk is there,
// whosever it is. What can not be found out may be.
func (w *Workspace) Lives(h volume.Holder) bool {
	c, ok, err := w.readAny(h.Identifier)
	return err != nil || ok && strings.EqualFold(c.Token, h.Token)
}

// Discard removes the folder of an environment of which nothing else is left.
// The rename makes it one step for whoever looks.
func (w *Workspace) Discard(c Claim) error {
	gone, err := w.free(gonePrefix + c.Name + "-" + c.Token)
	if err != nil {
		return err
	}
	if err := os.Rename(w.Folder(c.Name), gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(gone)
}

// free is a path in the workspace where nothing is. Something of a name may be
// there that could not be removed yet.
func (w *Workspace) free(name string) (string, error) {
	for n := 0; ; n++ {
		path := w.Folder(name)
		if n > 0 {
			path += fmt.Sprintf("-%d", n)
		}
		if there, err := exists(path); err != nil || !there {
			return path, err
		}
	}
}
