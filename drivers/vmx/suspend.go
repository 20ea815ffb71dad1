package vmx

import (
	"context"
	"errors"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
)

// Suspend implements drivers.Suspender. That a machine stands still VMware
// itself notes, in its .vmx: so nothing of ours has to be written before, and a
// kill in between leaves one that runs or one that stands still.
func (d *driver) Suspend(ctx context.Context, ref drivers.Ref) error {
	return d.withLive(ctx, ref, func(c claims.Claim, f facts) error {
		if !f.running {
			return nil // it stands still already
		}
		vmx := d.workspace.vmx(c.Name)
		failed := d.tool.Suspend(ctx, vmx)
		if ctx.Err() != nil {
			return failed
		}
		off, err := d.await(ctx, vmx, false)
		if err != nil {
			return errors.Join(failed, err)
		}
		if still, err := suspended(vmx); err != nil || off && still {
			return err
		}
		return errors.Join(failed, errors.New("virtual machine was to be suspended, but does not stand still"))
	})
}

// Resume implements drivers.Suspender.
func (d *driver) Resume(ctx context.Context, ref drivers.Ref) error {
	return d.withLive(ctx, ref, func(c claims.Claim, f facts) error {
		if f.running {
			return nil
		}
		vmx := d.workspace.vmx(c.Name)
		failed := d.tool.Start(ctx, vmx)
		if ctx.Err() != nil {
			return failed
		}
		up, err := d.await(ctx, vmx, failed == nil)
		switch {
		case err != nil:
			return errors.Join(failed, err)
		case up == (failed == nil) && failed != nil:
			return failed
		case !up && failed == nil:
			return errors.New("virtual machine was to be resumed, but does not run")
		}
		return nil
	})
}

// withLive does something with an environment that runs or stands still, while
// nobody else works on it.
func (d *driver) withLive(ctx context.Context, ref drivers.Ref, do func(claims.Claim, facts) error) error {
	return d.workspace.Hold(ctx, ref, func(c claims.Claim, found bool) error {
		if !found {
			return errNotRunning
		}
		if err := d.tool.EndOrphans(ctx, d.workspace.Folder(c.Name)); err != nil {
			return err
		}
		f, err := d.inspect(ctx, c, 0)
		if err != nil {
			return err
		}
		if p, _ := f.presence(); p != drivers.Running {
			return errNotRunning
		}
		return do(c, f)
	})
}

var _ drivers.Suspender = (*driver)(nil)
