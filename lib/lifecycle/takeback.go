package lifecycle

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Allocations are this node's own and are not replicated, its ALLOCATED rows and Resources are. On a database that is older
// than what the node told the others an execution comes back without its allocation: the environment is there, or was.

// forgotten is the epoch that this node allocated by its own word, that has not ended, and of which it knows no allocation.
func forgotten(e *model.Entry, node model.UID) (epoch uint32, ok bool) {
	for i := range e.States {
		s := &e.States[i]
		if s.Status != model.StatusAllocated || s.NodeUID != node || ended(e, s.Epoch) {
			continue
		}
		if _, known := e.Allocation(s.Epoch); !known {
			return s.Epoch, true
		}
	}
	return 0, false
}

// takeBack stores the allocation anew, for what the driver finds of the environment. Where it finds nothing the life ends as
// that of any environment that is gone.
func (r *runner) takeBack(ctx context.Context, e *model.Entry, step Step) error {
	a := r.remembered(e, step.Epoch)
	ref, found, err := r.search(ctx, e, a, never) // a release needs it as well
	if err != nil {
		return err
	}
	if found {
		a = ofRef(a, ref)
	}
	_, err = r.takeUp(ctx, a, found)
	return err
}

// ofRef is the allocation of what the driver has.
func ofRef(a model.Allocation, ref drivers.Ref) model.Allocation {
	a.Token, a.Identifier = ref.Token, ref.Identifier
	if a.Definition.Driver == "" {
		a.Definition = ref.Definition
	}
	return a
}

// remembered is the allocation as far as replicated rows tell it. Its token is new: it names the environment only if the
// driver finds none.
func (r *runner) remembered(e *model.Entry, epoch uint32) model.Allocation {
	a := model.Allocation{
		ApplicationUID: r.uid, Epoch: epoch, NodeUID: r.m.opts.Node, Token: newToken(), MetaToken: newToken(),
		LabelUID: e.Application.LabelUID, Metadata: e.Application.Metadata,
	}
	for i := range e.States {
		if s := &e.States[i]; s.Status == model.StatusElected && s.Epoch == epoch && s.Decision != nil {
			a.DefinitionIndex = s.Decision.Definition
		}
	}
	if res := e.Resource; res != nil && res.NodeUID == a.NodeUID {
		a.Identifier, a.DefinitionIndex, a.Metadata = res.Identifier, res.DefinitionIndex, res.Metadata
	}
	r.define(&a)
	return a
}

// define puts into an allocation what its label says, and reports whether that is here.
func (r *runner) define(a *model.Allocation) bool {
	label, known := r.m.opts.Store.Label(a.LabelUID)
	if !known || a.DefinitionIndex < 0 || a.DefinitionIndex >= len(label.Definitions) {
		return false
	}
	a.Definition, a.LabelMetadata = label.Definitions[a.DefinitionIndex], label.Metadata
	return true
}

// incomplete says that an allocation was stored before this node had the label: it names neither resources, of which each
// label has some, nor a lifetime.
func incomplete(a model.Allocation) bool {
	return a.LabelUID != model.NilUID && a.Definition.Resources.CPU == 0
}

// completed is an allocation that was taken up before this node had the label, with what that says: rows of different
// nodes come in any order.
func (r *runner) completed(e *model.Entry) (model.Allocation, bool) {
	for _, a := range e.OpenAllocations() {
		driver := a.Definition.Driver // that has the environment
		if !incomplete(a) || !r.define(&a) {
			continue
		}
		if driver != "" {
			a.Definition.Driver = driver
		}
		if !incomplete(a) {
			return a, true
		}
	}
	return model.Allocation{}, false
}

// complete stores what completed found, and counts it.
func (r *runner) complete(ctx context.Context, a model.Allocation) error {
	err := r.update(ctx, func(e *model.Entry) model.Change {
		have, ok := e.Allocation(a.Epoch)
		if !ok || !incomplete(have) {
			return model.Change{}
		}
		have.Definition, have.LabelMetadata = a.Definition, a.LabelMetadata
		return model.Change{Allocations: []model.Allocation{have}}
	})
	if err == nil {
		r.m.opts.Ledger.Reclaim(r.uid, a.Epoch, r.m.claimOf(a))
	}
	return err
}

// untilComplete bounds a wait while an allocation is incomplete: nobody tells of a label that comes.
func untilComplete(e *model.Entry, wait time.Duration) time.Duration {
	if slices.ContainsFunc(e.OpenAllocations(), incomplete) && (wait == 0 || wait > recheck) {
		return recheck
	}
	return wait
}

// search asks the driver for the application's environment; of a label that is gone all drivers, at the same time. Not to be
// able to look is an error, and never absence. It is cut short when stop says so.
func (r *runner) search(
	ctx context.Context, e *model.Entry, a model.Allocation, stop func(e *model.Entry) bool,
) (drivers.Ref, bool, error) {
	instances := []string{a.Definition.Driver}
	if a.Definition.Driver == "" {
		instances = r.m.opts.Instances()
	}
	lists := make([][]drivers.Ref, len(instances)) // of those that answered, be it in part
	err := r.await(ctx, inspectTimeout, stop, func(ctx context.Context) error {
		var g errgroup.Group
		for i, instance := range instances {
			g.Go(func() (err error) {
				lists[i], err = r.listOf(ctx, instance)
				return err
			})
		}
		return g.Wait()
	})
	for i, instance := range instances {
		if ref, found := r.find(e, a, lists[i]); found {
			if ref.Definition.Driver == "" {
				ref.Definition.Driver = instance
			}
			return ref, true, nil
		}
	}
	return drivers.Ref{}, false, err
}

// find is the application's environment in what a driver has.
func (r *runner) find(e *model.Entry, a model.Allocation, refs []drivers.Ref) (drivers.Ref, bool) {
	for _, ref := range refs {
		named := ref.Identifier != "" && ref.Identifier == a.Identifier
		if (named || ref.ApplicationUID == r.uid) && !holds(e, ref) {
			return ref, true
		}
	}
	return drivers.Ref{}, false
}

// holds reports whether a known allocation is that of the environment.
func holds(e *model.Entry, ref drivers.Ref) bool {
	for _, a := range e.Allocations {
		if a.Token != "" && a.Token == ref.Token || a.Identifier != "" && a.Identifier == ref.Identifier {
			return true
		}
	}
	return false
}

func (r *runner) listOf(ctx context.Context, instance string) ([]drivers.Ref, error) {
	driver, reason := r.m.opts.Driver(instance)
	if driver == nil {
		return nil, absentError{instance, reason}
	}
	return listBy(ctx, driver, r.log)
}

// listBy asks a driver what it has, within inspectTimeout. What it returns with an
// error is there, but may not be all.
func listBy(ctx context.Context, driver drivers.Driver, log *slog.Logger) (refs []drivers.Ref, err error) {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	err = drivers.Guard(log, func() (err error) {
		refs, err = driver.List(ctx)
		return err
	})
	if err == nil {
		err = ctx.Err() // it may be half a list
	}
	return refs, err
}
