package vmx

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// Deallocate implements drivers.Driver: it stops the machine, makes sure that
// it does not run, and removes what it had. Each step may be repeated; the
// folder goes last, so that what a killed process left undone is found again.
func (d *driver) Deallocate(ctx context.Context, ref drivers.Ref) error {
	done, err := d.turnOf(ctx, ref)
	if err != nil {
		return err
	}
	defer done()
	c, ok, err := d.workspace.find(ref)
	if err != nil {
		return fmt.Errorf("look for environment: %w", err)
	}
	if !ok {
		return d.removeAdopted(ctx, ref)
	}
	for _, step := range d.removal(c) {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		d.log.Debug("step of a release done", "step", step.name)
	}
	return nil
}

// turnOf waits until nobody else works on the environment.
func (d *driver) turnOf(ctx context.Context, ref drivers.Ref) (done func(), err error) {
	key := ref.Token
	if key == "" {
		c, _, err := d.workspace.find(ref)
		if err != nil {
			return nil, fmt.Errorf("look for environment: %w", err)
		}
		key = cmp.Or(c.Token, ref.Identifier)
	}
	return d.turns.Take(ctx, key)
}

// removal is what to do, in order.
func (d *driver) removal(c claim) []step {
	vmx := d.workspace.vmx(c.Name)
	return []step{
		{"forbid starts", func(context.Context) error { d.forbidStarts(c); return nil }},
		{"end calls", func(ctx context.Context) error { return d.tool.EndOrphans(ctx, d.workspace.folder(c.Name)) }},
		{"stop virtual machine", func(ctx context.Context) error { return d.stop(ctx, vmx) }},
		{"release disks", func(context.Context) error { return d.releaseDisks(c) }},
		{"release images", func(context.Context) error { return d.releaseImages(c) }},
		{"delete virtual machine", func(ctx context.Context) error { return d.deleteMachine(ctx, vmx) }},
		{"make sure that it is off", func(ctx context.Context) error { return d.wantOff(ctx, vmx) }},
		{"remove folder", func(context.Context) error { return d.workspace.discard(c) }},
		// An allocation may have got an image meanwhile; from here on it sees that there is no environment.
		{"release images again", func(context.Context) error { return d.releaseImages(c) }},
	}
}

// forbidStarts notes that the environment is being removed. Where that can not
// be written it is removed all the same: it may be what fills the disk.
func (d *driver) forbidStarts(c claim) {
	if err := d.workspace.mark(c, stopFile); err != nil {
		d.log.Warn("could not note that an environment is being removed; it is removed all the same", "identifier", d.workspace.vmx(c.Name), "error", err)
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
func (d *driver) releaseImages(c claim) error { return d.images.Unuse(c.Token) }
