package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	enginetypes "github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// kept is an image in the engine that carries a name of ours.
type kept struct {
	id     string   // the engine's
	claims []string // our names
	names  []string // others that go with our claims: what was pulled under them
	size   int64
	// brought says that we loaded or pulled it, so that we may evict it. What
	// tasks made is kept until somebody removes it.
	brought bool
	status  drivers.ImageStatus
}

// List names the images in the engine that are ours, those on their way, those
// that could not be had, and the archives of the cache, sorted by ID.
func (i *Images) List(ctx context.Context) ([]drivers.ImageStatus, error) {
	all, err := i.kept(ctx)
	if err != nil {
		return nil, err
	}
	archives, err := i.cache.List(ctx)
	if err != nil {
		return nil, err
	}
	byID := map[string]drivers.ImageStatus{}
	for _, s := range archives { // their IDs have no colon, those of the engine do
		byID[s.ID] = s
	}
	for _, k := range all {
		byID[k.status.ID] = k.status
	}
	i.mu.Lock()
	for _, f := range i.failed {
		if _, there := byID[f.status.ID]; !there {
			byID[f.status.ID] = f.status
		}
	}
	for _, f := range i.flights {
		if f.shown {
			byID[f.status.ID] = f.status
		}
	}
	i.mu.Unlock()
	list := make([]drivers.ImageStatus, 0, len(byID))
	for _, s := range byID {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b drivers.ImageStatus) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// kept asks the engine for everything of ours, with its use.
func (i *Images) kept(ctx context.Context) ([]kept, error) {
	ctx, cancel := i.call(ctx)
	defer cancel()
	list, err := i.cli.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list images of the engine: %w", causeOf(ctx, err))
	}
	used, err := i.used(ctx)
	if err != nil {
		return nil, err
	}
	var all []kept
	for _, s := range list.Items {
		k, ours := keptOf(s)
		if !ours {
			continue
		}
		got, err := i.cli.ImageInspect(ctx, s.ID)
		if noImage(err) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("inspect image %s: %w", k.status.ID, causeOf(ctx, err))
		}
		if k.brought {
			k.status.UsedAt = got.Metadata.LastTagTime
		}
		i.mu.Lock()
		k.status.InUse = used[s.ID] || i.held[s.ID] > 0
		i.mu.Unlock()
		all = append(all, k)
	}
	return all, nil
}

// noImage says that the engine answered that it has no such image. Of one that it
// is just removing, whose files went first, it says so with another status (moby's
// issue 21215).
func noImage(err error) bool {
	return errdefs.IsNotFound(err) || err != nil && strings.Contains(err.Error(), "layer does not exist")
}

// used are the images of all containers in the engine, anybody's.
func (i *Images) used(ctx context.Context) (map[string]bool, error) {
	list, err := i.cli.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil, fmt.Errorf("list containers of the engine: %w", causeOf(ctx, err))
	}
	used := map[string]bool{}
	for _, c := range list.Items {
		used[c.ImageID] = true
	}
	return used, nil
}

// keptOf says what an image of the engine is to us, if anything.
func keptOf(s enginetypes.Summary) (kept, bool) {
	k := kept{id: s.ID, size: s.Size}
	k.status = drivers.ImageStatus{State: drivers.ImageReady, Size: s.Size}
	for _, tag := range s.RepoTags {
		if strings.HasPrefix(tag, namespace) {
			k.claims = append(k.claims, tag)
		}
	}
	slices.Sort(k.claims)
	for _, claim := range k.claims {
		repo, tag := cutTag(claim)
		switch repo {
		case loadedRepo:
			k.brought = true
			_, k.status.Name, k.status.Version = splitTag(tag)
		case pulledRepo:
			k.brought = true
			if name := pulledAs(tag, s); name != "" {
				k.names = append(k.names, name)
				k.status.Source = name
			} else if len(k.claims) == len(s.RepoTags) {
				k.names = append(k.names, s.RepoDigests...) // all that is left of the pull
			}
		}
	}
	if len(k.claims) == 0 {
		return kept{}, false
	}
	slices.Sort(k.names)
	// The plain name before the claim: it is what people wrote.
	k.status.ID = cmp.Or(slices.Concat(k.names, k.claims)...)
	if k.status.Name == "" {
		k.status.Name, k.status.Version = cutTag(k.status.ID)
	}
	return k, true
}

// pulledAs finds the name under which an image with that claim was pulled; it
// is empty where somebody gave the name to another image since.
func pulledAs(key string, s enginetypes.Summary) string {
	for _, name := range slices.Concat(s.RepoTags, s.RepoDigests) {
		ref, err := reference.ParseNormalizedNamed(name)
		if err == nil && keyOf("named", ref.String()) == key {
			return name
		}
	}
	return ""
}

// cutTag cuts a name before its tag or digest.
func cutTag(name string) (repo, tag string) {
	if repo, digest, ok := strings.Cut(name, "@"); ok {
		return repo, digest
	}
	at := strings.LastIndexByte(name, ':')
	if at <= strings.LastIndexByte(name, '/') {
		return name, ""
	}
	return name[:at], name[at+1:]
}

// Remove removes an image from the engine, or its archive from the cache, by the
// ID of List.
func (i *Images) Remove(ctx context.Context, id string) error {
	i.mu.Lock()
	for _, f := range i.flights {
		if f.shown && f.status.ID == id {
			i.mu.Unlock()
			return fmt.Errorf("%s is on its way into the engine: %w", id, drivers.ErrImageInUse)
		}
	}
	i.mu.Unlock()
	all, err := i.kept(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(k kept) bool {
		return k.status.ID == id || slices.Contains(k.names, id) || slices.Contains(k.claims, id)
	})
	if at >= 0 {
		return i.remove(ctx, all[at])
	}
	if i.forgetFailure(id) {
		return nil
	}
	return i.cache.Remove(ctx, id)
}

func (i *Images) forgetFailure(id string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for key, f := range i.failed {
		if f.status.ID == id {
			delete(i.failed, key)
			return true
		}
	}
	return false
}

// remove takes our names off an image, the claims last: killed in the middle,
// it is still known as ours. The engine removes it with its last name, and
// refuses that while a container needs it.
func (i *Images) remove(ctx context.Context, k kept) error {
	gone, free := i.startRemoving(k.id)
	if !free {
		return fmt.Errorf("%s is about to be used: %w", k.status.ID, drivers.ErrImageInUse)
	}
	defer i.endRemoving(k.id, gone)
	call, cancel := i.call(ctx)
	defer cancel()
	used, err := i.used(call) // as of now: nobody here gets it any more
	if err != nil {
		return err
	}
	if used[k.id] {
		return fmt.Errorf("%s has containers in the engine: %w", k.status.ID, drivers.ErrImageInUse)
	}
	for _, name := range slices.Concat(k.names, k.claims) {
		if err := i.untag(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// untag removes a name, and with the last one its image. A large image takes time.
func (i *Images) untag(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, i.opts.Limits.Stall)
	defer cancel()
	_, err := i.cli.ImageRemove(ctx, name, client.ImageRemoveOptions{PruneChildren: true})
	switch {
	case err == nil, errdefs.IsNotFound(err):
		return nil
	case errdefs.IsConflict(err):
		return fmt.Errorf("%w: %w", drivers.ErrImageInUse, err)
	}
	return fmt.Errorf("remove image %s: %w", name, causeOf(ctx, err))
}

func (i *Images) startRemoving(id string) (gone chan struct{}, free bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.held[id] > 0 || i.removing[id] != nil {
		return nil, false
	}
	gone = make(chan struct{})
	i.removing[id] = gone
	for key, k := range i.known {
		if k.id == id {
			delete(i.known, key)
		}
	}
	i.asked = time.Time{} // what Cached knows is old now
	i.names = nil
	return gone, true
}

func (i *Images) endRemoving(id string, gone chan struct{}) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.removing, id)
	close(gone)
}

// evict removes what was brought and not used for the longest time, until the
// rest is within MaxSize.
func (i *Images) evict(ctx context.Context) {
	if i.opts.MaxSize <= 0 {
		return
	}
	all, err := i.kept(ctx)
	if err != nil {
		i.log.Warn("images of the engine are not evicted", "error", err)
		return
	}
	for _, k := range surplus(all, i.opts.MaxSize) {
		if err := i.remove(ctx, k); err != nil {
			i.log.Warn("image is not evicted", "image", k.status.ID, "error", err)
			continue
		}
		i.log.Info("image is evicted", "image", k.status.ID, "bytes", k.size, "used_at", k.status.UsedAt)
	}
}

// surplus chooses what has to go for the rest to fit. Layers that images share
// count for each of them: too much is evicted rather than too little.
func surplus(all []kept, limit int64) []kept {
	var total int64
	var free []kept
	for _, k := range all {
		if !k.brought {
			continue
		}
		total += k.size
		if !k.status.InUse {
			free = append(free, k)
		}
	}
	slices.SortStableFunc(free, func(a, b kept) int { return a.status.UsedAt.Compare(b.status.UsedAt) })
	for n, k := range free {
		if total <= limit {
			return free[:n]
		}
		total -= k.size
	}
	return free
}
