package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"
)

const (
	// hidden holds what is the cache's own; no image has a name with a dot in
	// front.
	hidden = ".fish"
	// markFile, inside an image's folder, says what was unpacked there. A
	// folder without it was made by an admin, and is believed.
	markFile = ".fish-image.json"
	// partAge is how long a download that nobody resumes is kept.
	partAge = 7 * 24 * time.Hour
)

// mark is the content of markFile.
type mark struct {
	Name    string            `json:"name"`
	Version string            `json:"version"`
	URL     string            `json:"url"`
	Sums    map[string]string `json:"sums"` // algorithm -> digits, as computed from the archive
	Size    int64             `json:"size"` // on disk; 0 in marks of old versions
}

// fits says whether what was unpacked is the image.
func (m mark) fits(p parsed) bool {
	if m.Name != p.name || m.Version != p.version {
		return false
	}
	if p.sum.algo != "" {
		return m.Sums[p.sum.algo] == p.sum.hex
	}
	return m.URL == p.url.String()
}

// places are the folders in which the image may be, the public one first. The
// second is taken where the first holds another image of that name.
func (c *Cache) places(p parsed) [2]string {
	return [2]string{
		filepath.Join(c.opts.Path, p.name+"-"+p.version),
		filepath.Join(c.opts.Path, hidden, "images", p.key()),
	}
}

func (c *Cache) work(key, suffix string) string {
	return filepath.Join(c.opts.Path, hidden, "work", key+suffix)
}

// find looks for the image on disk. An error says that its folder is there and
// unusable.
func (c *Cache) find(p parsed) (Laid, bool, error) {
	for _, place := range c.places(p) {
		laid, found, err := findAt(place, p)
		if found || err != nil {
			return laid, found, err
		}
	}
	return Laid{}, false, nil
}

// findAt looks for the image in one place. What was read counts only if the
// folder was not taken away meanwhile, as by an eviction: then it is not there.
func findAt(place string, p parsed) (Laid, bool, error) {
	root, err := os.OpenRoot(place)
	if errors.Is(err, fs.ErrNotExist) {
		return Laid{}, false, nil
	}
	if err != nil {
		return Laid{}, false, fmt.Errorf("read image folder: %w", err)
	}
	defer root.Close()
	fits, err := holds(root, p)
	folder := ""
	if err != nil {
		err = fmt.Errorf("read image folder: %w", err)
	} else if fits {
		if folder, err = locate(place, p); err != nil {
			err = fmt.Errorf("image folder %s: %w; correct it, or remove it to have the image downloaded", place, err)
		}
	}
	if !stays(root, place) || err == nil && !fits {
		return Laid{}, false, nil
	}
	if err != nil {
		return Laid{}, false, err
	}
	return Laid{Folder: folder, Name: p.name, Version: p.version, id: filepath.Base(place)}, true, nil
}

// stays says whether the open folder still is where it was opened. An image's
// folder that was taken away never comes back.
func stays(root *os.Root, place string) bool {
	opened, err := root.Stat(".")
	if err != nil {
		return false
	}
	there, err := os.Stat(place)
	return err == nil && os.SameFile(opened, there)
}

// holds says whether the folder holds the image: one that was unpacked from
// it, or one that an admin filled. An empty folder holds nothing.
func holds(root *os.Root, p parsed) (bool, error) {
	raw, err := root.ReadFile(markFile)
	if err == nil {
		var m mark
		return json.Unmarshal(raw, &m) == nil && m.fits(p), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	return len(entries) > 0, err
}

// locate finds the folder of the image inside its archive: the one folder, or
// link to one, whose name starts with the image's (contract 30); also the top
// itself, where <name>.tar or <name>.vmx lies there.
func locate(top string, p parsed) (string, error) {
	entries, err := os.ReadDir(top)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.Name() == p.name+".tar" || e.Name() == p.name+".vmx" {
			return top, nil
		}
	}
	names := candidates(top, entries, p)
	if len(names) == 0 && slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == "manifest.json" }) {
		return "", fmt.Errorf("it is what `docker save` wrote: put that into an archive as %s.tar", p.name)
	}
	if len(names) == 0 {
		return "", fmt.Errorf("it holds no folder whose name starts with %q, but %s", p.name, listed(entries))
	}
	first, err := os.Stat(filepath.Join(top, names[0].name))
	if err != nil {
		return "", err
	}
	for _, other := range names[1:] {
		info, err := os.Stat(filepath.Join(top, other.name))
		if err == nil && other.rank == names[0].rank && !os.SameFile(first, info) {
			return "", fmt.Errorf("it holds several folders whose names start with %q: %s and %s", p.name, names[0].name, other.name)
		}
	}
	return filepath.Join(top, names[0].name), nil
}

// candidate is a folder that may be the image's; the lowest rank is the most likely.
type candidate struct {
	name string
	rank int
}

func candidates(top string, entries []os.DirEntry, p parsed) []candidate {
	var found []candidate
	for _, e := range entries {
		name := e.Name()
		rest, ok := strings.CutPrefix(name, p.name)
		if !ok {
			continue
		}
		if info, err := os.Stat(filepath.Join(top, name)); err != nil || !info.IsDir() {
			continue
		}
		c := candidate{name: name, rank: 4}
		switch {
		case rest == "-"+p.version:
			c.rank = 0
		case rest == "":
			c.rank = 1
		case rest[0] == '_':
			c.rank = 2
		case rest[0] == '-':
			c.rank = 3
		}
		found = append(found, c)
	}
	sort.Slice(found, func(i, j int) bool {
		if found[i].rank != found[j].rank {
			return found[i].rank < found[j].rank
		}
		return found[i].name < found[j].name
	})
	return found
}

// listed names what is there, for an error.
func listed(entries []os.DirEntry) string {
	var names []string
	for _, e := range entries {
		if e.Name() == markFile {
			continue
		}
		if len(names) == 5 {
			names = append(names, "...")
			break
		}
		names = append(names, e.Name())
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// folders makes the cache's own folders, also where an admin removed them since.
// They are closed to others: an image may hold secrets.
func (c *Cache) folders() error {
	for _, dir := range []string{c.work("", ""), filepath.Join(c.opts.Path, hidden, "images"), c.uses(""), c.trash()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make folder of images: %w", err)
		}
	}
	return nil
}

// sweep makes the cache's folders and removes what processes that died left:
// every half-unpacked image, and downloads that nobody resumed for long. What
// another process works on is locked, and left alone.
func (c *Cache) sweep() error {
	if err := c.folders(); err != nil {
		return err
	}
	entries, err := os.ReadDir(c.work("", ""))
	if err != nil {
		return err
	}
	c.warnOfLeases(c.endLeases())
	c.sweepTrash()
	c.sweepUnused()
	done := map[string]bool{}
	for _, e := range entries {
		key := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))
		if done[key] {
			continue
		}
		done[key] = true
		if err := c.sweepOne(key); err != nil {
			c.logger.Warn("remains of an image can not be removed", "error", err) // its next download tries again
		}
	}
	return nil
}

func (c *Cache) sweepOne(key string) error {
	held, err := tryLock(c.work(key, ".lock"))
	if err != nil || held == nil {
		return err
	}
	defer held.release()
	if err := os.RemoveAll(c.work(key, ".tmp")); err != nil {
		return err
	}
	info, err := os.Stat(c.work(key, ".part"))
	if err == nil && info.Size() > 0 && time.Since(info.ModTime()) < partAge {
		return nil
	}
	return c.dropPart(key)
}

// dropPart removes a download and what tells whose it is.
func (c *Cache) dropPart(key string) error {
	return errors.Join(remove(c.work(key, ".part")), remove(c.work(key, ".info")))
}
