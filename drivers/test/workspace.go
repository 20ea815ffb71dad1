package test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	// markersDir is the folder in the workspace that says whose each file is.
	markersDir = ".fish"
	// dirMode is of contract 3.
	dirMode = 0o750
	// alphabet is what the 6 characters of an identifier are made of; one case
	// only, because file systems may not tell two apart.
	alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
	// candidates is how many names a token may take: the first is free but for
	// one chance in two thousand million per file.
	candidates = 4
)

var errVanished = errors.New("environment was deallocated while it was being made")

// owner is whose an environment is. Many instances and nodes share a folder.
type owner struct {
	node     model.UID
	instance string
}

// entry is one environment, or the claim to a name where one is to be.
type entry struct {
	identifier  string // empty: there is none
	token       string // empty: adopted, made by an old version that left no marker
	application model.UID
	made        bool // the file exists
}

// workspace is the folder of files, and the markers that say whose they are.
//
// A marker is a symbolic link `.fish/<identifier>` whose target is the text
// `<node>,<instance>,<token>,<application>`. One system call makes it, whole
// and only if the name is free: so it can not be found half-written, and no
// two owners can get one name. It exists before the file and longer than it.
type workspace struct {
	path  string
	owner owner
	names *regexp.Regexp // what an identifier may look like

	evidence evidence

	filesFlusher, markersFlusher *flusher
}

// openWorkspace makes the folders, and notices here and not at the first
// allocation that it may not.
func openWorkspace(path string, o owner) (*workspace, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find workspace_path %q: %w", path, err)
	}
	w := &workspace{
		path:           absolute,
		owner:          o,
		names:          regexp.MustCompile(`^test-[^/\\\x00]{6}$`),
		filesFlusher:   newFlusher(absolute),
		markersFlusher: newFlusher(filepath.Join(absolute, markersDir)),
	}
	if err := w.makeFolders(); err != nil {
		return nil, fmt.Errorf("make workspace_path (allow it to the node's user or set another): %w", err)
	}
	// The name is the owner's: what a kill leaves of it the next start removes.
	probe := filepath.Join(w.markers(), "probe-"+o.node.String()+"-"+strings.ReplaceAll(o.instance, "/", "-"))
	f, err := os.OpenFile(probe, os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("write to workspace_path (allow it to the node's user or set another): %w", err)
	}
	return w, errors.Join(f.Close(), remove(probe))
}

func (w *workspace) makeFolders() error { return os.MkdirAll(w.markers(), dirMode) }

func (w *workspace) markers() string { return filepath.Join(w.path, markersDir) }

func (w *workspace) marker(identifier string) string { return filepath.Join(w.markers(), identifier) }

func (w *workspace) file(identifier string) string { return filepath.Join(w.path, identifier) }

// identifiers are the names that a token may take, in order.
func identifiers(token string) [candidates]string {
	var names [candidates]string
	for i := range names {
		sum := sha256.Sum256(append([]byte(token), byte(i)))
		n := binary.BigEndian.Uint64(sum[:])
		name := []byte("test-")
		for range 6 {
			name = append(name, alphabet[n%uint64(len(alphabet))])
			n /= uint64(len(alphabet))
		}
		names[i] = string(name)
	}
	return names
}

// validToken reports whether it is 32 hex digits.
func validToken(token string) bool {
	if len(token) != 32 {
		return false
	}
	return strings.Trim(token, "0123456789abcdefABCDEF") == ""
}

// claim marks a name as the token's, durably, or finds the one it has.
func (w *workspace) claim(token string, application model.UID) (entry, error) {
	if found, err := w.find(drivers.Ref{Token: token}); err != nil || found.identifier != "" {
		return found, err
	}
	if err := w.makeFolders(); err != nil { // somebody may have cleaned up
		return entry{}, err
	}
	for _, name := range identifiers(token) {
		free, err := w.free(name)
		if err != nil {
			return entry{}, err
		}
		if !free {
			continue
		}
		target := strings.Join([]string{w.owner.node.String(), w.owner.instance, token, application.String()}, ",")
		err = os.Symlink(target, w.marker(name))
		if errors.Is(err, fs.ErrExist) {
			continue // another owner was quicker
		}
		if err != nil {
			return entry{}, err
		}
		return entry{identifier: name, token: token, application: application}, w.markersFlusher.flush()
	}
	return entry{}, fmt.Errorf("all %d names that token %s may take are used by others", candidates, token)
}

// free reports whether no file of the name exists: one without a marker was
// made by an old version or by hand, and is not ours.
func (w *workspace) free(name string) (bool, error) {
	exists, err := w.exists(name)
	return !exists, err
}

func (w *workspace) exists(name string) (bool, error) {
	_, err := os.Lstat(w.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// complete makes the file of a claim that still stands.
func (w *workspace) complete(e entry) error {
	now, marked, err := w.read(e.identifier)
	if err != nil {
		return err
	}
	if !marked || now.token != e.token {
		return errVanished
	}
	if err := w.evidence.note(evidenceStarted, e); err != nil {
		return err
	}
	f, err := os.OpenFile(w.file(e.identifier), os.O_CREATE|os.O_WRONLY, runningMode)
	if err != nil {
		return err
	}
	return f.Close()
}

// find looks an environment up. Only an error means that it could not be
// found out; the entry without identifier means that there is none.
func (w *workspace) find(ref drivers.Ref) (entry, error) {
	if ref.Token == "" {
		return w.findNamed(ref.Identifier)
	}
	for _, name := range identifiers(ref.Token) {
		e, marked, err := w.read(name)
		if err != nil {
			return entry{}, err
		}
		if marked && e.token == ref.Token {
			return e, nil
		}
	}
	return entry{}, nil
}

// findNamed looks up what is known by its identifier alone. A file without a
// marker is taken for what the node's own old database says it is.
func (w *workspace) findNamed(name string) (entry, error) {
	if !w.names.MatchString(name) {
		return entry{}, nil // never made by this driver, old or new
	}
	e, marked, err := w.read(name)
	if marked || err != nil {
		return e, err
	}
	made, err := w.exists(name)
	if !made || err != nil {
		return entry{}, err
	}
	return entry{identifier: name, made: true}, nil
}

// read returns what the marker of the name says, if there is one. That of
// another owner yields an empty entry.
func (w *workspace) read(name string) (e entry, marked bool, err error) {
	target, err := os.Readlink(w.marker(name))
	if errors.Is(err, fs.ErrNotExist) {
		return entry{}, false, nil
	}
	if err != nil {
		return entry{}, false, err
	}
	part := strings.Split(target, ",")
	if len(part) != 4 || part[0] != w.owner.node.String() || part[1] != w.owner.instance {
		return entry{}, true, nil
	}
	application, err := uuid.Parse(part[3])
	if err != nil {
		return entry{}, false, fmt.Errorf("read marker %s: %w", w.marker(name), err)
	}
	made, err := w.exists(name)
	return entry{identifier: name, token: part[2], application: application, made: made}, true, err
}

// release removes the file, then the marker, each durably: whatever moment the
// process or the machine dies at, a file that is left has its marker. between
// is called with the one gone and the other there.
func (w *workspace) release(e entry, between func()) error {
	if err := remove(w.file(e.identifier)); err != nil {
		return err
	}
	if err := w.filesFlusher.flush(); err != nil {
		return err
	}
	if err := w.evidence.note(evidenceStopped, e); err != nil {
		return err
	}
	between()
	if e.token == "" {
		return nil // adopted: it has no marker, and one made meanwhile is another's
	}
	return remove(w.marker(e.identifier))
}

// remove removes what may not exist.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// list returns everything that has a marker of the owner.
func (w *workspace) list(ctx context.Context) ([]drivers.Ref, error) {
	found, err := os.ReadDir(w.markers())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list markers: %w", err)
	}
	var refs []drivers.Ref
	var errs []error
	for _, f := range found {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if f.Type() != fs.ModeSymlink {
			continue // a probe, or not of this driver
		}
		e, _, err := w.read(f.Name())
		if err != nil {
			errs = append(errs, fmt.Errorf("list markers: %w", err))
		}
		if e.identifier != "" {
			refs = append(refs, drivers.Ref{Token: e.token, Identifier: e.identifier, ApplicationUID: e.application})
		}
	}
	return refs, errors.Join(errs...)
}
