package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// inspectTimeout bounds one look at an environment, releaseTimeout one try to
// remove it: a cloud takes minutes, and a try that was cut short is repeated.
const inspectTimeout, releaseTimeout = time.Minute, 15 * time.Minute

// absentError says that the driver instance that an environment belongs to is
// not there now.
type absentError struct{ instance, reason string }

func (e absentError) Error() string {
	return fmt.Sprintf("driver instance %q is not available: %s", e.instance, e.reason)
}

func refOf(a model.Allocation) drivers.Ref {
	return drivers.Ref{
		Token: a.Token, Identifier: a.Identifier,
		ApplicationUID: a.ApplicationUID, Definition: a.Definition,
	}
}

func (r *runner) decline(ctx context.Context, step Step) error {
	r.log.Info("grant declined", "epoch", step.Epoch, "reason", step.Reason)
	return r.endGrant(ctx, step.Epoch, model.StatusDeclined, step.Reason)
}

func (r *runner) finish(ctx context.Context, step Step) error {
	return r.endGrant(ctx, step.Epoch, model.StatusDeallocated, step.Reason)
}

// endGrant ends a grant for which nothing was made. Its hold goes first: once
// the row is there, the next vote may take a new one.
func (r *runner) endGrant(ctx context.Context, epoch uint32, status model.Status, description string) error {
	r.m.opts.Ledger.Unhold(r.uid)
	return r.update(ctx, func(e *model.Entry) model.Change { return endGrant(e, epoch, status, description) })
}

// intend stores the allocation with its token before the driver is asked.
func (r *runner) intend(ctx context.Context, e *model.Entry, step Step) error {
	label, ok := r.m.opts.Store.Label(e.Application.LabelUID)
	if !ok {
		return r.endGrant(ctx, step.Epoch, model.StatusError, "Label was deleted")
	}
	a, err := newAllocation(e, label, r.m.opts.Node, [2]string{newToken(), newToken()})
	if err != nil {
		return r.endGrant(ctx, step.Epoch, model.StatusError, err.Error())
	}
	if _, err := r.driver(a); err != nil {
		step.Reason = err.Error()
		return r.decline(ctx, step)
	}
	ledger := r.m.opts.Ledger
	if short := r.reserve(a); short != nil {
		step.Reason = "No room any more: " + short.Error()
		return r.decline(ctx, step)
	}
	stored, err := r.m.opts.Store.Update(ctx, r.uid, func(e *model.Entry) (model.Change, error) {
		return intend(e, a), nil
	})
	if err != nil {
		ledger.Return(r.uid, step.Epoch)
		return err
	}
	if _, ok := stored.Allocation(step.Epoch); !ok { // recalled meanwhile
		ledger.Return(r.uid, step.Epoch)
		return nil
	}
	r.untouched, r.unmade, r.intended = step.Epoch, step.Epoch, step.Epoch
	return nil
}

// reserve turns the hold of the vote into the reservation of the grant. A hold
// that ran out meanwhile is taken anew, if there still is room.
func (r *runner) reserve(a model.Allocation) error {
	now := time.Now()
	if r.m.opts.Ledger.Reserve(r.uid, a.Epoch, now) {
		return nil
	}
	driver, err := r.driver(a)
	if err != nil {
		return err
	}
	claim := capacity.ClaimOf(a.Definition, driver)
	offer, err := capacity.OfferOf(a.Definition, driver, claim)
	if err != nil {
		return err
	}
	if err := r.m.opts.Ledger.Hold(r.uid, claim, offer, now, now.Add(time.Minute)); err != nil {
		return err
	}
	if !r.m.opts.Ledger.Reserve(r.uid, a.Epoch, now) {
		return errors.New("its room was given back")
	}
	return nil
}

// withdraw gives up an intent for which nothing was made. Of one of an earlier
// process only the driver can confirm that.
func (r *runner) withdraw(ctx context.Context, step Step) error {
	if step.Epoch != r.unmade {
		if err := r.deallocate(ctx, step.Allocation); err != nil {
			return err
		}
	}
	r.log.Info("grant declined", "epoch", step.Epoch, "reason", step.Reason)
	err := r.update(ctx, func(e *model.Entry) model.Change { return withdrawn(e, step.Epoch, time.Now(), step.Reason) })
	if err != nil {
		return err
	}
	r.m.opts.Ledger.Return(r.uid, step.Epoch)
	r.untouched, r.unmade, r.imageless, r.intent = 0, 0, 0, age{}
	return nil
}

// allocate makes the environment. A recall cancels it; so does stopping the
// node, which leaves the intent open for the next process.
func (r *runner) allocate(ctx context.Context, step Step) error {
	a := step.Allocation
	driver, err := r.driver(a)
	if err != nil {
		return err
	}
	if stale, err := r.stale(ctx, a.Epoch); stale || err != nil {
		return err
	}
	r.untouched = 0
	if err := r.fetch(ctx, driver, a); err != nil {
		if errors.Is(err, errUnwanted) {
			return ctx.Err()
		}
		return r.giveUp(ctx, step, err)
	}
	r.unmade = 0
	var env drivers.Environment
	limit := r.m.opts.AllocateTimeout - r.intent.at(time.Now(), r.m.opts.Boot())
	err = r.await(ctx, limit, r.unwanted(a.Epoch), func(ctx context.Context) error {
		env, err = driver.Allocate(ctx, r.requestOf(a))
		return err
	})
	r.m.opts.Ledger.Placed(r.uid, a.Epoch)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return r.allocateFailed(ctx, step, err)
	}
	err = r.update(ctx, func(e *model.Entry) model.Change { return allocated(e, a.Epoch, env) })
	if err != nil {
		return err
	}
	r.log.Info("environment allocated", "instance", a.Definition.Driver, "identifier", env.Identifier)
	r.known, r.presence = true, drivers.Running
	r.watch(ctx, driver, drivers.Ref{
		Token: a.Token, Identifier: env.Identifier, ApplicationUID: a.ApplicationUID, Definition: a.Definition,
	})
	return nil
}

// stale is the last look before the driver is asked for the first time: time
// has passed since the step was decided, perhaps much, as on a machine that
// slept. The next look decides anew.
func (r *runner) stale(ctx context.Context, epoch uint32) (bool, error) {
	if r.untouched != epoch {
		return false, nil
	}
	e, err := r.m.opts.Store.Application(ctx, r.uid)
	if err != nil {
		return false, err
	}
	return Next(e, r.facts(e)).Action != Allocate, nil
}

// unwanted says when what is being made is not wanted any more.
func (r *runner) unwanted(epoch uint32) func(e *model.Entry) bool {
	return func(e *model.Entry) bool { return recalled(e) || !inForce(e, epoch, r.m.opts.Node) }
}

func recalled(e *model.Entry) bool { return e.Fold.Request != nil || e.Fold.Final }

// allocateFailed gives the allocation up, unless the try was cut short by a
// recall or by our own timeout, which Next answers.
func (r *runner) allocateFailed(ctx context.Context, step Step, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		e, readErr := r.m.opts.Store.Application(ctx, r.uid)
		late := r.intent.at(time.Now(), r.m.opts.Boot()) >= r.m.opts.AllocateTimeout
		if late || readErr == nil && r.unwanted(step.Epoch)(e) {
			return nil
		}
	}
	return r.giveUp(ctx, step, err)
}

// giveUp stores why the environment can not be made.
func (r *runner) giveUp(ctx context.Context, step Step, err error) error {
	r.log.Warn("driver could not allocate", "instance", step.Allocation.Definition.Driver, "error", err)
	return r.update(ctx, func(e *model.Entry) model.Change {
		return fail(e, step.Epoch, "Driver allocate resource error:"+err.Error())
	})
}

func (r *runner) requestOf(a model.Allocation) drivers.Request {
	return drivers.Request{
		ApplicationUID: a.ApplicationUID, Token: a.Token, Definition: a.Definition,
		Metadata: a.Metadata, LabelMetadata: a.LabelMetadata,
		MetadataURL: r.m.opts.MetadataURL(a.MetaToken), Proxy: metadata.NewProxy(r.m.opts.Proxy, a.ProxyCredential),
	}
}

// inspect finds out what there is of an environment that an earlier process
// made, or that a release has begun to remove. A recall cuts the look short,
// unless it is the release that wants to know.
func (r *runner) inspect(ctx context.Context, e *model.Entry, step Step) error {
	driver, err := r.driver(step.Allocation)
	if err != nil {
		return err
	}
	ref := refOf(step.Allocation)
	stop := recalled
	if recalled(e) {
		stop = never
	}
	var report drivers.Report
	err = r.await(ctx, inspectTimeout, stop, func(ctx context.Context) error {
		report, err = driver.Inspect(ctx, ref)
		return err
	})
	if err != nil {
		return err
	}
	r.known, r.presence, r.ending = true, report.Presence, report.Ending
	if report.Presence == drivers.Running {
		r.watch(ctx, driver, ref)
	}
	return nil
}

// tellRelease says so where an environment is removed because another node
// runs the application: that costs somebody his work.
func (r *runner) tellRelease(ctx context.Context, epoch uint32) {
	e, err := r.m.opts.Store.Application(ctx, r.uid)
	if err != nil || e.Fold.Allocated == nil || e.Fold.Allocated.Epoch == epoch && inForce(e, epoch, r.m.opts.Node) {
		return
	}
	if e.Fold.Allocated.NodeUID != r.m.opts.Node && !e.Fold.Final {
		r.log.Warn("another node runs the application too, its environment here is removed", "epoch", epoch,
			"other_epoch", e.Fold.Allocated.Epoch, "other_node_uid", e.Fold.Allocated.NodeUID)
	}
}

// release removes the environment until the driver confirms that nothing of
// it is left, writes the end and only then gives the room back.
func (r *runner) release(ctx context.Context, step Step) error {
	if err := r.deallocate(ctx, step.Allocation); err != nil {
		return err
	}
	err := r.update(ctx, func(e *model.Entry) model.Change { return released(e, step.Epoch, time.Now()) })
	if err != nil {
		return err
	}
	r.m.opts.Ledger.Return(r.uid, step.Epoch)
	r.log.Info("environment released", "instance", step.Allocation.Definition.Driver, "identifier", step.Allocation.Identifier,
		"reason", step.Reason)
	r.intent = age{}
	return nil
}

// deallocate returns when the driver confirmed that nothing is left.
func (r *runner) deallocate(ctx context.Context, a model.Allocation) error {
	driver, err := r.driver(a)
	if err != nil {
		return err
	}
	r.tellRelease(ctx, a.Epoch)
	r.stopWatch(ctx)
	r.known = false // from here on it may be gone, or half of it
	return r.await(ctx, releaseTimeout, never, func(ctx context.Context) error {
		return driver.Deallocate(ctx, refOf(a))
	})
}
