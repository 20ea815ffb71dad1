package vmx

import (
	"context"
	"errors"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
)

// Deallocate implements drivers.Driver: it stops the machine, makes sure that
// it does not run, and removes what it had. Each step may be repeated; the
// folder goes last, so that what a killed process left undone is found again.
func (d *driver) Deallocate(ctx context.Context, ref drivers.Ref) error {
	return d.workspace.Hold(ctx, ref, func(c claims.Claim, found bool) error {
		if !found {
			return d.removeAdopted(ctx, ref)
		}
		return claims.Do(ctx, d.log, d.removal(c))
	})
}

// removal is what to do, in order.
func (d *driver) removal(c claims.Claim) []claims.Step {
	vmx := d.workspace.vmx(c.Name)
	return []claims.Step{
		{Name: "forbid starts", Do: func(context.Context) error { return d.workspace.Stop(c) }},
		{Name: "end calls", Do: func(ctx context.Context) error { return d.tool.EndOrphans(ctx, d.workspace.Folder(c.Name)) }},
		{Name: "stop virtual machine", Do: func(ctx context.Context) error { return d.stop(ctx, vmx) }},
		{Name: "release disks", Do: func(context.Context) error { return d.releaseDisks(c) }},
		{Name: "release images", Do: func(context.Context) error { return d.releaseImages(c) }},
		{Name: "delete virtual machine", Do: func(ctx context.Context) error { return d.deleteMachine(ctx, vmx) }},
		{Name: "make sure that it is off", Do: func(ctx context.Context) error { return d.wantOff(ctx, vmx) }},
		{Name: "remove folder", Do: func(context.Context) error { return d.workspace.Discard(c) }},
		// An allocation may have got an image meanwhile; from here on it sees that there is no environment.
		{Name: "release images again", Do: func(context.Context) error { return d.releaseImages(c) }},
	}
}

// stop ends the machine: softly where the guest listens, hard where it does
// not, and by its process where VMware does not.
func (d *driver) stop(ctx context.Context, vmx string) error {
	running, err := d.runs(ctx, vmx, 0)
	if err != nil {
		return err
	}
	var errs []error
	if running {
		errs = append(errs, d.tool.StopSoft(ctx, vmx))
		if running, err = d.runs(ctx, vmx, 0); err != nil {
			return err
		}
	}
	if running {
		errs = append(errs, d.tool.StopHard(ctx, vmx))
		if _, err = d.await(ctx, vmx, false); err != nil {
			return err
		}
	}
	if err := errors.Join(errs...); err != nil {
		d.log.Debug("virtual machine did not stop at once", "identifier", vmx, "error", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.Join(d.tool.EndMachine(ctx, vmx), d.wantOff(ctx, vmx))
}

// wantOff makes sure that the machine does not run: what goes on running
// without its files can not be found again.
func (d *driver) wantOff(ctx context.Context, vmx string) error {
	off, err := d.await(ctx, vmx, false)
	if err == nil && !off {
		err = errors.New("vmrun still lists the virtual machine after it was stopped hard; look whether VMware hangs")
	}
	return err
}

// deleteMachine lets VMware forget the machine and remove its files. What it
// can not or will not is removed with the folder: the machine is off.
func (d *driver) deleteMachine(ctx context.Context, vmx string) error {
	if there, err := exists(vmx); err != nil || !there {
		return err
	}
	err := d.detachKept(vmx)
	if err == nil {
		err = d.tool.Delete(ctx, vmx)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		d.log.Warn("vmrun could not delete a virtual machine; its files are removed all the same", "identifier", vmx, "error", err)
	}
	return nil
}

// releaseImages lets the images go that the environment was made from.
func (d *driver) releaseImages(c claims.Claim) error { return d.images.Unuse(c.Token) }
