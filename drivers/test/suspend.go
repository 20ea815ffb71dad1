package test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// The modes of the file of an environment that runs and of one that stands
// still: the file is all that there is of it, so that the mode ends with it.
const (
	runningMode fs.FileMode = 0o640
	standMode   fs.FileMode = 0o440
)

var errNotThere = errors.New("environment does not exist")

// Suspend implements drivers.Suspender: the file becomes read-only.
func (d *driver) Suspend(ctx context.Context, ref drivers.Ref) error {
	return d.stand(ctx, ref, standMode)
}

// Resume implements drivers.Suspender.
func (d *driver) Resume(ctx context.Context, ref drivers.Ref) error {
	return d.stand(ctx, ref, runningMode)
}

var _ drivers.Suspender = (*driver)(nil)

// stand takes as long as a task and may kill the process like one.
func (d *driver) stand(ctx context.Context, ref drivers.Ref, mode fs.FileMode) error {
	o, err := d.options(ref.Definition)
	if err != nil {
		o = options{delays: d.settings.delays(), crashes: d.settings.crashes()} // a label from elsewhere
	}
	d.crash.at(o.crashes.task, "task", "before")
	if err := pause(ctx, o.delays.task); err != nil {
		return err
	}
	done, err := d.turnOf(ctx, ref)
	if err != nil {
		return err
	}
	defer done()
	found, err := d.workspace.find(ref)
	if err != nil {
		return fmt.Errorf("look for environment: %w", err)
	}
	if !found.made {
		return errNotThere
	}
	if err := os.Chmod(d.workspace.file(found.identifier), mode); err != nil {
		return fmt.Errorf("change mode of file: %w", err)
	}
	d.crash.at(o.crashes.task, "task", "after")
	return nil
}
