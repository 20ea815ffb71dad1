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
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// takenFile in a reused disk's folder says who has it.
const takenFile = "taken.json"

// longestFolder bounds a label in the name of a folder: file systems take 255
// bytes.
const longestFolder = 150

// Shelf is the folder of the disks that live longer than their environments.
// Instances and nodes may share it.
type Shelf struct{ path string }

// ShelfIn is the shelf in a workspace. Nothing is made. The workspace is better
// there: so that two paths to one folder are seen to be one shelf.
func ShelfIn(workspace string) Shelf {
	if resolved, err := filepath.EvalSymlinks(workspace); err == nil {
		workspace = resolved
	}
	return Shelf{filepath.Join(workspace, ".disks")}
}

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

// Exclusive names what no two environments of a node hold at once: the reused
// disks of a definition, whichever instances use this shelf.
func (s Shelf) Exclusive(disks map[string]model.Disk) []string {
	var names []string
	for name, d := range disks {
		if d.Reuse {
			names = append(names, "disk "+LabelOf(name, d)+" in "+filepath.Dir(s.path))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Need is how many GB of disks would be made for an environment. kept is what
// the shelf holds; nil where it is not known counts all.
func Need(disks map[string]model.Disk, kept Kept) (gb uint) {
	fresh := Own(disks)
	gb = drivers.SizeOf(fresh)
	for name, d := range disks {
		if _, own := fresh[name]; !own {
			gb += kept.need(LabelOf(name, d), d)
		}
	}
	return gb
}

// Own are the disks that go with their environment.
func Own(disks map[string]model.Disk) map[string]model.Disk {
	own := map[string]model.Disk{}
	for name, d := range disks {
		if !d.Reuse {
			own[name] = d
		}
	}
	return own
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
// Nothing is written, so that an environment that filled its disk can go. A note
// that can not be read keeps no environment from its end: if it was this one's,
// it gives way in Take once it can be read.
func (s Shelf) Release(token string) error {
	if there, err := exists(s.lockFile()); err != nil || !there {
		return err // nothing was ever taken
	}
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
			if holder, err := readHolder(store); err == nil && holder.Token == token {
				errs = append(errs, os.Remove(filepath.Join(store, takenFile)))
			}
		}
		return errors.Join(errs...)
	})
}

func (s Shelf) lockFile() string { return filepath.Join(s.path, ".lock") }

func (s Shelf) locked(do func() error) error { return locked(s.lockFile(), do) }

// readHolder returns who has a disk; nobody only where there is no note.
func readHolder(store string) (h Holder, err error) {
	file := filepath.Join(store, takenFile)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Holder{}, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &h)
	}
	if err == nil && h.Token == "" {
		err = errors.New("it lacks a token")
	}
	if err != nil {
		return Holder{}, fmt.Errorf("read %s: %w (nobody knows which environment has that disk: make sure that none does, and remove the file)", file, err)
	}
	return h, nil
}

// Kept are the disks that are made: the bytes that each takes now, by the names
// of their folders.
type Kept map[string]int64

// need is how many GB a disk may still grow beyond what it takes, so that who
// takes it must be promised them: all of one that is not made. A folder that is
// made counts as grown, as nothing bounds it anyway.
func (k Kept) need(label string, d model.Disk) (gb uint) {
	taken, made := k[filepath.Base(Shelf{}.Folder(label))]
	switch {
	case !made:
		return drivers.SizeOf(map[string]model.Disk{label: d})
	case TypeOf(d) == Dir:
		return 0
	}
	size := drivers.SizeOf(map[string]model.Disk{label: d}) // bounded
	return size - min(size, uint(max(0, taken)>>30))        //nolint:gosec // not negative
}

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
			if info, err := os.Lstat(filepath.Join(store, made)); err == nil {
				_, bytes := usage(info)
				kept[f.Name()] = max(kept[f.Name()], bytes)
			}
		}
	}
	return kept, nil
}
