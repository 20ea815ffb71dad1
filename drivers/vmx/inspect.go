package vmx

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// watchEvery is how often a watched environment is looked at. All watchers
// share one call of vmrun.
const watchEvery = 2 * time.Second

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
	f, err := d.inspect(ctx, c, 0)
	if err != nil {
		return drivers.Report{}, err
	}
	if stands, err := d.workspace.There(c); err != nil || !stands {
		return drivers.Report{}, err // removed meanwhile
	}
	report := drivers.Report{}
	report.Presence, report.Ending = f.presence()
	if report.Presence == drivers.Running {
		report.Environment = d.environment(c, d.address(ctx, c), ref.Definition)
	}
	return report, nil
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
	for {
		f, err := d.inspect(ctx, c, watchEvery)
		if err != nil {
			return "", err
		}
		if there, err := d.workspace.There(c); err != nil || !there {
			return "", errors.Join(err, errNotRunning)
		}
		switch presence, how := f.presence(); presence {
		case drivers.Ended:
			return how, nil
		case drivers.Running:
		default:
			return "", errNotRunning
		}
		if err := pause(ctx, watchEvery); err != nil {
			return "", err
		}
	}
}

// List implements drivers.Driver. One claim that can not be read hides none of
// the others.
func (d *driver) List(ctx context.Context) ([]drivers.Ref, error) {
	all, err := d.workspace.List(ctx)
	refs, tokens := make([]drivers.Ref, len(all)), make([]string, len(all))
	for i, c := range all {
		tokens[i] = c.Token
		refs[i] = drivers.Ref{Token: c.Token, Identifier: d.workspace.vmx(c.Name), ApplicationUID: c.Application}
	}
	if err == nil || len(all) > 0 {
		d.images.KeepUses(tokens) // the node asks all its life
	}
	return refs, err
}

var _ drivers.Watcher = (*driver)(nil)
