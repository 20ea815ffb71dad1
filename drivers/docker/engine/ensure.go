package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
)

const (
	// lookEvery is how old an answer of Cached may be: images come and go also by
	// other hands, and votes are many.
	lookEvery = 30 * time.Second
	// touchEvery is how exact the last use of an image is known: each note of it
	// is a call to the engine.
	touchEvery = 5 * time.Minute
)

// Cached reports whether what runs is in the engine, as of the last look.
func (i *Images) Cached(list []images.Image) bool {
	all, err := i.readAll(list)
	if err != nil {
		return false
	}
	i.lookSoon()
	i.mu.Lock()
	defer i.mu.Unlock()
	last := all[len(all)-1]
	if _, ok := i.known[last.key]; ok {
		return true
	}
	_, ok := i.names[last.id()] // in the form of the engine's lists
	return ok
}

// lookSoon has the engine asked what it holds, unless it was just now.
func (i *Images) lookSoon() {
	i.mu.Lock()
	due := time.Since(i.asked) >= lookEvery
	if due {
		i.asked = time.Now()
	}
	i.mu.Unlock()
	if due {
		i.spawn(i.look)
	}
}

// look learns what the engine holds, and forgets what it holds no more, or by
// the label's name no more: somebody gave that to another image.
func (i *Images) look(ctx context.Context) {
	i.mu.Lock()
	before := maps.Clone(i.known)
	i.mu.Unlock()
	ctx, cancel := i.call(ctx)
	defer cancel()
	list, err := i.cli.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		i.log.Debug("engine does not say which images it has", "error", err)
		return
	}
	names, ids := map[string]string{}, map[string]bool{}
	for _, image := range list.Items {
		ids[image.ID] = true
		for _, name := range slices.Concat(image.RepoTags, image.RepoDigests) {
			names[name] = image.ID
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.names = names
	for key, k := range before {
		moved := k.name != "" && names[k.name] != k.id
		if now, ok := i.known[key]; ok && now.id == k.id && (moved || !ids[k.id]) {
			delete(i.known, key)
		}
	}
}

// Ensure returns the engine's ID of the image that runs, the last of the list,
// when it can be used. Until release is called nobody here removes it. ctx ends
// the wait only: what was begun goes on.
func (i *Images) Ensure(ctx context.Context, list []images.Image) (id string, release func(), err error) {
	all, err := i.readAll(list)
	if err != nil {
		return "", nil, err
	}
	if id, err = i.obtain(ctx, all); err != nil {
		return "", nil, err
	}
	done := false
	return id, func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		if !done {
			done = true
			i.release(id)
		}
	}, nil
}

// Pull returns when everything that the list names is in the engine.
func (i *Images) Pull(ctx context.Context, list []images.Image) error {
	_, release, err := i.Ensure(ctx, list)
	if err == nil {
		release()
	}
	return err
}

// Forget is for a caller whom the engine told that it has no such image: the
// next Ensure looks again.
func (i *Images) Forget(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for key, k := range i.known {
		if k.id == id {
			delete(i.known, key)
		}
	}
}

// obtain returns the ID of the last image, held.
func (i *Images) obtain(ctx context.Context, all []wanted) (string, error) {
	last := all[len(all)-1]
	if id, ok := i.holdKnown(last); ok {
		return id, nil
	}
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("get image %s: %w", last.source(), err)
	}
	work := func(ctx context.Context, f *flight) (known, error) { return i.bring(ctx, f, last) }
	key, shown := flightOf(all), last.ref != nil // an archive is the cache's to show until it is loaded
	if len(all) > 1 {
		shown = false // its parts show themselves
		work = func(ctx context.Context, _ *flight) (known, error) { return i.bringAll(ctx, all) }
	}
	f, err := i.join(key, last, shown, work)
	if err != nil {
		return "", err
	}
	return i.await(ctx, f, last)
}

// holdKnown answers from memory, which the hot path of an allocation needs.
func (i *Images) holdKnown(w wanted) (string, bool) {
	i.mu.Lock()
	k, ok := i.known[w.key]
	if !ok || i.removing[k.id] != nil {
		i.mu.Unlock()
		return "", false
	}
	i.held[k.id]++
	due := k.claim != "" && time.Since(k.touched) >= touchEvery
	if due {
		k.touched = time.Now()
		i.known[w.key] = k
		i.held[k.id]++ // until it is noted
	}
	i.mu.Unlock()
	if due && !i.spawn(func(ctx context.Context) { i.touch(ctx, k) }) {
		i.mu.Lock()
		i.release(k.id)
		i.mu.Unlock()
	}
	return k.id, true
}

// release gives back one hold; i.mu is held.
func (i *Images) release(id string) {
	if i.held[id]--; i.held[id] <= 0 {
		delete(i.held, id)
	}
}

// touch notes in the engine that the image is used, where the next process and
// other nodes see it: the engine knows when an image was last named.
func (i *Images) touch(ctx context.Context, k known) {
	defer func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.release(k.id)
	}()
	ctx, cancel := i.call(ctx)
	defer cancel()
	if _, err := i.cli.ImageTag(ctx, client.ImageTagOptions{Source: k.id, Target: k.claim}); err != nil {
		i.log.Debug("use of an image is not noted", "image", k.claim, "error", err)
	}
}

// bringAll brings the images of a list, the earlier ones first: a later
// archive may lack what they hold.
func (i *Images) bringAll(ctx context.Context, all []wanted) (known, error) {
	need := all
	_, found, err := i.find(ctx, all[len(all)-1])
	if err != nil {
		return known{}, err
	}
	if found {
		need = all[len(all)-1:]
	}
	var held []string
	defer func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		for _, id := range held {
			i.release(id)
		}
	}()
	for n := range need {
		id, err := i.obtain(ctx, need[n:n+1])
		if err != nil {
			return known{}, err
		}
		held = append(held, id)
	}
	return known{id: held[len(held)-1]}, nil
}

// bring finds one image in the engine, or loads or pulls it.
func (i *Images) bring(ctx context.Context, f *flight, w wanted) (k known, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, i.opts.Limits.Total, fmt.Errorf("it took longer than %v", i.opts.Limits.Total))
	defer cancel()
	// Before it is claimed somebody else at the engine may remove it: once more.
	for range 2 {
		if k, err = i.bringOnce(ctx, f, w); !errdefs.IsNotFound(err) {
			break
		}
	}
	if err != nil {
		return known{}, err
	}
	if w.ref != nil {
		k.name = w.id()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.known[w.key] = k
	return k, nil
}

func (i *Images) bringOnce(ctx context.Context, f *flight, w wanted) (known, error) {
	k, found, err := i.find(ctx, w)
	switch {
	case found || err != nil:
		return k, err
	case w.ref == nil:
		return i.load(ctx, f, w)
	}
	return i.pull(ctx, f, w)
}

// find asks the engine for the image.
func (i *Images) find(ctx context.Context, w wanted) (known, bool, error) {
	name := w.claim
	if w.ref != nil {
		name = w.ref.String()
	}
	k, found, err := i.inspect(ctx, name, w)
	if found || err != nil || w.ref != nil || w.image.Sum != "" {
		return k, found, err
	}
	// Without a sum anything of the name would do, so what an admin put into the
	// engine does (contract 30). What was pulled for other labels was put there by nobody.
	ref, err := reference.ParseNormalizedNamed(w.name + ":" + w.version)
	if err != nil {
		return known{}, false, nil //nolint:nilerr // no engine can have an image of that name
	}
	found = false
	got, there, err := i.inspectImage(ctx, ref.String())
	if err == nil && there {
		found = !slices.ContainsFunc(got.RepoTags, func(tag string) bool { return strings.HasPrefix(tag, namespace) })
	}
	return known{id: got.ID}, found, err
}

func (i *Images) inspect(ctx context.Context, name string, w wanted) (known, bool, error) {
	got, found, err := i.inspectImage(ctx, name)
	if !found || err != nil {
		return known{}, false, err
	}
	k := known{id: got.ID}
	if slices.Contains(got.RepoTags, w.claim) {
		k.claim = w.claim
	}
	return k, true, nil
}

// inspectImage asks the engine for an image by name or ID.
func (i *Images) inspectImage(ctx context.Context, name string) (client.ImageInspectResult, bool, error) {
	ctx, cancel := i.call(ctx)
	defer cancel()
	got, err := i.cli.ImageInspect(ctx, name)
	if noImage(err) {
		return client.ImageInspectResult{}, false, nil
	}
	if err != nil {
		return client.ImageInspectResult{}, false, fmt.Errorf("look for image %s in the engine: %w", name, causeOf(ctx, err))
	}
	if got.ID == "" {
		return client.ImageInspectResult{}, false, fmt.Errorf("look for image %s in the engine: its answer has no ID", name)
	}
	return got, true, nil
}

// causeOf is why a call failed: if its context ended, the reason of that.
func causeOf(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// status is what there is to say of the image before anything is known of it.
func (w wanted) status() drivers.ImageStatus {
	return drivers.ImageStatus{ID: w.id(), Name: w.name, Version: w.version, Source: w.source(), State: drivers.ImageDownloading}
}
