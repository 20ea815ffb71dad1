package pull

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/calls"
)

// Listing is what the instances of this node keep, and what is on its way.
type Listing struct {
	Images []Image // by instance and ID
	Pulls  []Status
	// Errors are of the instances whose images are not listed.
	Errors []InstanceError
}

// Image is one of an instance. Instances that share a cache have the same ones.
type Image struct {
	Instance string
	drivers.ImageStatus
}

// List asks all ready instances that manage images, at the same time. One that
// fails or hangs is an error of its own.
func (k *Keeper) List(ctx context.Context) Listing {
	names := k.opts.Instances()
	lists := make([][]drivers.ImageStatus, len(names))
	errs := make([]error, len(names))
	var asked sync.WaitGroup
	for i, name := range names {
		manager, err := k.manager(name)
		if err != nil {
			continue // not ready: `node drivers` tells; or it has none
		}
		asked.Go(func() {
			lists[i], errs[i] = calls.Do(ctx, k.calls, name, calls.Bound{Wait: k.opts.ListTimeout, Limit: k.opts.ListTimeout}, manager.ListImages)
		})
	}
	asked.Wait()
	l := Listing{Images: []Image{}, Pulls: k.pulls(), Errors: []InstanceError{}}
	for i, name := range names {
		if errs[i] != nil {
			l.Errors = append(l.Errors, InstanceError{Instance: name, Reason: errs[i].Error()})
			continue
		}
		for _, s := range lists[i] {
			l.Images = append(l.Images, Image{name, s})
		}
	}
	return l
}

// pulls are those that run and the last ends of others, the newest first.
func (k *Keeper) pulls() []Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := make([]Status, 0, len(k.running)+len(k.ended))
	for _, f := range k.running {
		list = append(list, f.status)
	}
	for _, s := range k.ended {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Status) int {
		return cmp.Or(b.StartedAt.Compare(a.StartedAt), cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.LabelName, b.LabelName),
			cmp.Compare(b.LabelVersion, a.LabelVersion), cmp.Compare(a.Definition, b.Definition))
	})
	return list
}

// removeLimit is how long the removal of one image may take in all: a large
// folder on a slow disk.
const removeLimit = 10 * time.Minute

// ErrGoesOn says that a removal takes longer than who asked for it waits.
var ErrGoesOn = errors.New("it takes long and goes on: the list shows whether the image is still there")

// Remove removes an image of an instance. Its error is an InstanceError,
// drivers.ErrImageUnknown, drivers.ErrImageInUse, ErrGoesOn, ErrBusy, ErrStopping,
// or another. Why one failed that nobody waited for any more is logged.
func (k *Keeper) Remove(ctx context.Context, instance, id string) error {
	manager, err := k.manager(instance)
	if err != nil {
		return err
	}
	began := time.Now()
	_, err = calls.Do(ctx, k.calls, instance, calls.Bound{Wait: k.opts.RemoveTimeout, Limit: removeLimit}, func(ctx context.Context) (struct{}, error) {
		err := manager.RemoveImage(ctx, id)
		if err != nil && time.Since(began) >= k.opts.RemoveTimeout {
			k.log.Warn("image was not removed", "instance", instance, "image", id, "error", err)
		}
		return struct{}{}, err
	})
	if errors.Is(err, calls.ErrLate) {
		return ErrGoesOn
	}
	return err
}
