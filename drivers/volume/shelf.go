package volume

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// takenFile in a reused disk's folder says who has it.
const takenFile = "taken.json"

// longestFolder bounds a label in the name of a folder: file systems take 255
// bytes.
const longestFolder = 150

// Shelf is the folder of the disks that live longer than their environments.
// Instances and nodes may share it.
type Shelf struct{ path string }

// ShelfIn is the shelf in a workspace. Nothing is made.
func ShelfIn(workspace string) Shelf { return Shelf{filepath.Join(workspace, ".disks")} }

// Path is the folder of the shelf, which exists once a disk was taken from it.
func (s Shelf) Path() string { return s.path }

// Folder is where the disk of a label is. Labels that are paths get names that
// are none, and no two labels the same.
func (s Shelf) Folder(label string) string {
	var name strings.Builder
	for i := range len(label) {
		c := label[i]
		plain := c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if plain || i > 0 && (c == '.' || c == '-') {
			name.WriteByte(c)
		} else {
			fmt.Fprintf(&name, "%%%02X", c)
		}
	}
	folder := name.String()
	if len(folder) > longestFolder {
		sum := sha256.Sum256([]byte(label))
		folder = folder[:longestFolder-34] + "%%" + hex.EncodeToString(sum[:16])
	}
	return filepath.Join(s.path, folder)
}

// Holder is the environment that has a reused disk.
type Holder struct {
	Identifier string `json:"identifier"`
	Token      string `json:"token"`
}

// Take notes durably who has a reused disk, or says who does. The node keeps
// two of its environments from taking the same; this keeps those of other
// nodes away, and notices what a restored database does not know. lives tells
// whether another holder, of whomever, still exists: one that does not gives
// way. It is asked under the lock of the shelf, and so looks at files only.
func (s Shelf) Take(label string, h Holder, lives func(Holder) bool) error {
	store := s.Folder(label)
	if err := os.MkdirAll(store, storeMode); err != nil {
		return err
	}
	return s.locked(func() error {
		holder, err := readHolder(store)
		if err != nil {
			return err
		}
		if holder.Token != "" && holder.Token != h.Token && lives(holder) {
			return fmt.Errorf("reused disk %q is in use by environment %s", label, holder.Identifier)
		}
		text, err := json.Marshal(h)
		if err != nil {
			return err
		}
		return durable.WriteFile(filepath.Join(store, takenFile), text, 0o600)
	})
}

// Release lets the next environment have the disks of this one. All are looked
// through, because the definition may be forgotten. The disks must be unmounted.
func (s Shelf) Release(token string) error {
	found, err := os.ReadDir(s.path)
	if err != nil {
		return ignoreMissing(err)
	}
	return s.locked(func() error {
		var errs []error
		for _, f := range found {
			if !f.IsDir() {
				continue
			}
			store := filepath.Join(s.path, f.Name())
			holder, err := readHolder(store)
			if err == nil && holder.Token == token {
				err = os.Remove(filepath.Join(store, takenFile))
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

func (s Shelf) locked(do func() error) error { return locked(filepath.Join(s.path, ".lock"), do) }

func readHolder(store string) (h Holder, err error) {
	file := filepath.Join(store, takenFile)
	text, err := os.ReadFile(file)
	if err != nil {
		return h, ignoreMissing(err)
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return h, fmt.Errorf("read %s: %w", file, err)
	}
	return h, nil
}

// Kept are the disks that are made, by the names of their folders: see Has.
type Kept map[string]bool

// Has reports whether the disk of a label is made, so that it takes no more
// room than it has.
func (k Kept) Has(label string) bool { return k[filepath.Base(Shelf{}.Folder(label))] }

// Kept looks which disks are made.
func (s Shelf) Kept() (Kept, error) {
	found, err := os.ReadDir(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	kept := Kept{}
	for _, f := range found {
		store := filepath.Join(s.path, f.Name())
		for _, made := range []string{imageFile, imageFile + ".sparseimage", dataFolder} {
			if there, err := exists(filepath.Join(store, made)); err == nil && there {
				kept[f.Name()] = true
			}
		}
	}
	return kept, nil
}
