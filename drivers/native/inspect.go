package native

import (
	"context"
	"errors"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/native/keeper"
)

var errNotRunning = errors.New("environment does not run")

// Inspect implements drivers.Driver.
func (d *driver) Inspect(ctx context.Context, ref drivers.Ref) (drivers.Report, error) {
	if err := ctx.Err(); err != nil {
		return drivers.Report{}, err
	}
	c, ok, err := d.workspace.Find(ref)
	if err != nil {
		return drivers.Report{}, fmt.Errorf("look for environment: %w", err)
	}
	if !ok {
		return d.inspectAdopted(ctx, ref)
	}
	if stopping, err := d.workspace.Stopping(c); err != nil || stopping {
		return drivers.Report{Presence: drivers.Partial}, err
	}
	state, err := keeper.Look(d.workspace.Folder(c.Name), c.Token)
	if err != nil {
		return drivers.Report{}, err
	}
	switch state.Presence {
	case keeper.Running:
		return drivers.Report{Presence: drivers.Running, Environment: environment(c.Name, ref.Definition)}, nil
	case keeper.Ended:
		return drivers.Report{Presence: drivers.Ended, Ending: state.Ending}, nil
	}
	return drivers.Report{Presence: drivers.Partial}, nil
}

// Watch implements drivers.Watcher.
func (d *driver) Watch(ctx context.Context, ref drivers.Ref) (ending string, err error) {
	c, ok, err := d.workspace.Find(ref)
	if err != nil {
		return "", fmt.Errorf("look for environment: %w", err)
	}
	if !ok {
		return "", errNotRunning
	}
	return keeper.Wait(ctx, d.workspace.Folder(c.Name), c.Token)
}

// List implements drivers.Driver. One claim that can not be read hides none of
// the others.
func (d *driver) List(ctx context.Context) ([]drivers.Ref, error) {
	all, unread := d.workspace.List(ctx)
	refs := make([]drivers.Ref, len(all))
	for i, c := range all {
		refs[i] = drivers.Ref{Token: c.Token, Identifier: c.Name, ApplicationUID: c.Application}
	}
	orphans, err := d.orphans(ctx)
	return append(refs, orphans...), errors.Join(unread, err)
}

var _ drivers.Watcher = (*driver)(nil)
