package images

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

const (
	// mostFailures and failureAge bound how much of what went wrong is listed.
	mostFailures = 50
	failureAge   = time.Hour
)

// shownAs is an image that is not here, because it is on its way or could not
// be got.
type shownAs struct {
	key    string
	status drivers.ImageStatus
	at     time.Time // of its failure
	motion Motion    // until then
}

// kept is something in the cache's folder that takes room: an image, or a
// download that nobody works on.
type kept struct {
	id            string
	place         string // of an image; "" for a download
	key           string // of a download
	name, version string
	source        string // without its query
	size          int64  // 0 for an admin's folder: nobody counts it
	foreign       bool   // an admin put it there
	laid          time.Time
	used          time.Time // zero: never
}

// last is when it was of use.
func (k kept) last() time.Time {
	if k.used.After(k.laid) {
		return k.used
	}
	return k.laid
}

func (k kept) status() drivers.ImageStatus {
	return drivers.ImageStatus{
		ID: k.id, Name: k.name, Version: k.version, Source: k.source, State: drivers.ImageReady, Size: k.size, UsedAt: k.used,
	}
}

// comingID is what an image will be named by that is not here yet.
func (c *Cache) comingID(p parsed) string {
	place := c.places(p)[0]
	entries, err := os.ReadDir(place)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return filepath.Base(place)
	}
	return p.key()
}

// scan finds what is laid out. What disappears meanwhile is left out. Only with
// inside are links followed that an admin put there: they may lead to a disk
// that does not answer, which must hold up nobody who has the turn.
func (c *Cache) scan(inside bool) ([]kept, error) {
	public, err := os.ReadDir(c.opts.Path)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	second := filepath.Join(c.opts.Path, hidden, "images")
	more, err := os.ReadDir(second)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list images: %w", err)
	}
	var found []kept
	for _, e := range public {
		dash := strings.LastIndexByte(e.Name(), '-')
		if dash <= 0 || dash == len(e.Name())-1 || e.Name()[0] == '.' {
			continue // no name of an image
		}
		k, ok := kept{id: e.Name(), place: filepath.Join(c.opts.Path, e.Name()), foreign: true}, true
		if inside || e.Type()&fs.ModeSymlink == 0 {
			k, ok = c.examine(k.place)
		}
		if ok {
			if k.name == "" {
				k.name, k.version = k.id[:dash], k.id[dash+1:]
			}
			found = append(found, k)
		}
	}
	for _, e := range more {
		if k, ok := c.examine(filepath.Join(second, e.Name())); ok && !k.foreign {
			found = append(found, k)
		}
	}
	return found, nil
}

// examine tells what is in an image's folder, and whether it is one.
func (c *Cache) examine(place string) (kept, bool) {
	id := filepath.Base(place)
	k := kept{id: id, place: place, used: c.usedAt(id)}
	raw, err := os.ReadFile(filepath.Join(place, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		entries, readErr := os.ReadDir(place)
		if readErr != nil || len(entries) == 0 {
			return k, false
		}
		// It may have been laid out between the two.
		raw, err = os.ReadFile(filepath.Join(place, markFile))
		k.foreign = errors.Is(err, fs.ErrNotExist)
		if k.foreign {
			return k, true
		}
	}
	info, statErr := os.Stat(filepath.Join(place, markFile))
	var m mark
	if err != nil || statErr != nil || json.Unmarshal(raw, &m) != nil {
		return k, false
	}
	k.name, k.version, k.size, k.laid = m.Name, m.Version, m.Size, info.ModTime()
	if u, err := url.Parse(m.URL); err == nil {
		k.source = shown(u)
	}
	if k.size == 0 { // laid out by an old version
		k.size = sizeOf(place, nil)
	}
	k.foreign = isLink(place) // moved elsewhere by an admin, who knows why
	return k, true
}

// List names what is in the cache's folder, on its way there in this process or
// another, or failed lately.
func (c *Cache) List(ctx context.Context) ([]drivers.ImageStatus, error) {
	list, own, err := c.listLaid(ctx)
	if err != nil {
		return nil, err
	}
	enough := time.After(measureWait)
	for i := range list {
		if list[i].Size == 0 { // an admin's
			list[i].Size = c.measure(filepath.Join(c.opts.Path, list[i].ID), enough)
		}
	}
	there := map[string]bool{}
	for _, s := range list {
		there[s.ID] = true
	}
	for _, s := range c.coming() {
		own[s.key] = true
		if !there[s.status.ID] { // else it came meanwhile, by whomever
			list = append(list, s.status)
		}
	}
	works, err := c.works()
	if err != nil {
		return nil, err
	}
	for _, w := range works {
		if !own[w.key] {
			list = append(list, w.status())
		} else if w.busy {
			showOther(list, w)
		}
	}
	slices.SortFunc(list, func(a, b drivers.ImageStatus) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// showOther shows how far another process is with what this one waits for.
func showOther(list []drivers.ImageStatus, w work) {
	for i := range list {
		if list[i].ID == w.ID && list[i].InUse && list[i].Total == 0 && list[i].State != drivers.ImageReady {
			list[i].Done, list[i].State = max(list[i].Done, w.size), w.status().State
		}
	}
}

// listLaid names what is laid out, and the keys that this cache works on as of
// before: what was on its way then is not shown as another's.
func (c *Cache) listLaid(ctx context.Context) ([]drivers.ImageStatus, map[string]bool, error) {
	own := map[string]bool{}
	for _, s := range c.coming() {
		own[s.key] = true
	}
	all, err := c.scan(true)
	if err != nil {
		return nil, nil, err
	}
	turn, err := c.turn(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer turn.release()
	list := make([]drivers.ImageStatus, 0, len(all))
	for _, k := range all {
		if _, err := os.Lstat(k.place); err != nil {
			continue // removed meanwhile
		}
		s := k.status()
		s.InUse = c.mayBeUsed(k.id)
		list = append(list, s)
	}
	return list, own, nil
}

// Progress names what is on its way in this process or failed lately, from
// memory.
func (c *Cache) Progress() []drivers.ImageStatus {
	var list []drivers.ImageStatus
	for _, f := range c.coming() {
		list = append(list, f.status)
	}
	slices.SortFunc(list, func(a, b drivers.ImageStatus) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// coming are the flights and the failures of late.
func (c *Cache) coming() []shownAs {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures = slices.DeleteFunc(c.failures, func(f shownAs) bool { return now.Sub(f.at) > failureAge })
	list := make([]shownAs, 0, len(c.flights)+len(c.failures))
	for _, f := range c.flights {
		list = append(list, shownAs{key: f.see.key, status: f.see.status()})
	}
	for _, f := range c.failures {
		if c.flights[f.key] == nil {
			list = append(list, f)
		}
	}
	return list
}

// noteFailure keeps why a flight ended, or forgets why earlier ones of the
// image did. mu is held.
func (c *Cache) noteFailure(see *progress, err error, now time.Time) {
	c.failures = slices.DeleteFunc(c.failures, func(f shownAs) bool { return f.key == see.key })
	if err == nil || errors.Is(err, ErrClosed) {
		return
	}
	s := see.status()
	s.State, s.Error, s.InUse = drivers.ImageFailed, err.Error(), false
	if c.failures = append(c.failures, shownAs{see.key, s, now, see.lastMotion()}); len(c.failures) > mostFailures {
		c.failures = c.failures[1:]
	}
}

// Reserved is what running downloads will still write to the file system of the
// cache, as far as their archives tell, in bytes. It answers from memory.
func (c *Cache) Reserved() int64 { return c.missing(nil, usualUnpacked) }

// missing is what all flights but one will still write.
func (c *Cache) missing(but *progress, unpacked int64) (bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.flights {
		if f.see != but {
			bytes += f.see.missing(unpacked)
		}
	}
	return bytes
}
