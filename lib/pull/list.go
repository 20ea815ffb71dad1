package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
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
			lists[i], errs[i] = call(ctx, k, name, bound{k.opts.ListTimeout, k.opts.ListTimeout}, manager.ListImages)
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
	_, err = call(ctx, k, instance, bound{k.opts.RemoveTimeout, removeLimit}, func(ctx context.Context) (struct{}, error) {
		err := manager.RemoveImage(ctx, id)
		if err != nil && time.Since(began) >= k.opts.RemoveTimeout {
			k.log.Warn("image was not removed", "instance", instance, "image", id, "error", err)
		}
		return struct{}{}, err
	})
	if errors.Is(err, errLate) {
		return ErrGoesOn
	}
	return err
}

// bound says how long a caller waits, and how long the call may take in all.
type bound struct{ wait, limit time.Duration }

// maxCalls bounds the calls of one instance that have not returned: one that
// hangs must not collect the requests of all who ask.
const maxCalls = 8

var errLate = errors.New("it did not answer in time")

// ErrBusy says that an instance is asked nothing more for now.
var ErrBusy = fmt.Errorf("the driver instance has not answered %d questions yet", maxCalls)

// call does f, a call of an instance, and waits for it no longer than the bound
// says. What does not return then has the keeper for its owner.
func call[T any](ctx context.Context, k *Keeper, instance string, b bound, f func(ctx context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	if err := k.enter(instance); err != nil {
		return none, err
	}
	done := make(chan answer, 1)
	go func() { //nolint:contextcheck // a removal goes on without who asked for it
		defer k.leave(instance)
		limited, cancel := context.WithTimeout(k.ctx, b.limit)
		defer cancel()
		var a answer
		a.err = drivers.Guard(k.log.With("instance", instance), func() (err error) {
			a.value, err = f(limited)
			return err
		})
		switch {
		case a.err == nil:
		case k.ctx.Err() != nil:
			a.err = ErrStopping
		case limited.Err() != nil: // and not what the driver itself gave up waiting for
			a.err = errLate
		}
		done <- a
	}()
	late := time.NewTimer(b.wait)
	defer late.Stop()
	select {
	case a := <-done:
		return a.value, a.err
	case <-late.C:
		return none, errLate
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// enter counts a call of the instance, and takes it into what Run waits for.
func (k *Keeper) enter(instance string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.closed:
		return ErrStopping
	case k.calls[instance] >= maxCalls:
		return ErrBusy
	}
	k.calls[instance]++
	k.work.Add(1)
	return nil
}

func (k *Keeper) leave(instance string) {
	k.mu.Lock()
	k.calls[instance]--
	k.mu.Unlock()
	k.work.Done()
}
