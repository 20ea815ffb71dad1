package lifecycle

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// anyOf stands for the driver of an environment of which only the identifier
// is known: an old database whose label was deleted does not tell who made it.
// It is gone when every instance says so.
type anyOf struct {
	drivers.Driver // the first: what is not overridden is never called
	all            []drivers.Driver
}

// unknownDriver asks all configured instances, and is not there as long as one
// of them is not.
func (r *runner) unknownDriver() (drivers.Driver, error) {
	var d anyOf
	for _, name := range r.m.opts.Instances() {
		driver, absent := r.m.opts.Driver(name)
		if driver == nil {
			return nil, absentError{instance: name, reason: absent}
		}
		d.all = append(d.all, driver)
	}
	if len(d.all) == 0 {
		return nil, absentError{reason: "no driver is configured"}
	}
	d.Driver = d.all[0]
	return d, nil
}

// Inspect reports what the first instance that knows the environment says.
func (d anyOf) Inspect(ctx context.Context, ref drivers.Ref) (drivers.Report, error) {
	for _, driver := range d.all {
		report, err := driver.Inspect(ctx, ref)
		if err != nil || report.Presence != drivers.Absent {
			return report, err
		}
	}
	return drivers.Report{}, nil
}

// Deallocate asks every instance, and succeeds when all did.
func (d anyOf) Deallocate(ctx context.Context, ref drivers.Ref) error {
	var errs []error
	for _, driver := range d.all {
		errs = append(errs, driver.Deallocate(ctx, ref))
	}
	return errors.Join(errs...)
}

// RunTask knows no task: nobody can tell which driver's it would be.
func (d anyOf) RunTask(context.Context, drivers.TaskRequest) (json.RawMessage, error) {
	return nil, drivers.ErrTaskUnknown
}

var _ drivers.Driver = anyOf{}

// driver is the instance that an allocation belongs to.
func (r *runner) driver(a model.Allocation) (drivers.Driver, error) {
	if a.Definition.Driver == "" {
		return r.unknownDriver()
	}
	d, absent := r.m.opts.Driver(a.Definition.Driver)
	if d == nil {
		return nil, absentError{instance: a.Definition.Driver, reason: absent}
	}
	return d, nil
}
