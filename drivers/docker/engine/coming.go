package engine

import (
	"slices"
	"time"

	"github.com/moby/moby/api/types/jsonstream"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
)

// Coming reports whether what runs is on its way into the engine and gets
// further: see drivers.ImageManager. It answers from memory.
func (i *Images) Coming(list []images.Image) bool {
	all, err := i.readAll(list)
	if err != nil {
		return false
	}
	now := time.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.flights[flightOf(all)] != nil && slices.ContainsFunc(all, func(w wanted) bool { return i.moves(w, now) })
}

// moves reports whether an image of a list gets further, which come one after
// the other. i.mu is held.
func (i *Images) moves(w wanted, now time.Time) bool {
	f := i.flights[w.key]
	return f != nil && (f.motion.Lately(now) || w.ref == nil && i.cache.Coming(w.image))
}

// flightOf is the key of the flight that brings a whole list.
func flightOf(all []wanted) string {
	if len(all) == 1 {
		return all[0].key
	}
	keys := make([]string, len(all))
	for n, w := range all {
		keys[n] = w.key
	}
	return keyOf(keys...)
}

// reach notes how far a flight is.
func (i *Images) reach(f *flight, far int64) {
	now := time.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	f.motion.Reach(now, far)
}

// steps is how far the engine is with each step of its work on an image, of
// which every layer has several.
type steps map[step]int64

type step struct{ layer, what string }

// add takes in what the engine says, and returns how far all of it is.
func (s steps) add(m jsonstream.Message) (far int64) {
	if m.ID != "" && m.Progress != nil {
		at := step{m.ID, m.Status}
		s[at] = max(s[at], m.Progress.Current)
	}
	for _, n := range s {
		far += n
	}
	return far
}
