package aws

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
)

const (
	// hibernateWait is how long a machine may take until it stands still: EC2
	// refuses for some minutes after the start, and then writes all memory.
	hibernateWait = 20 * time.Minute
	// resumeWait is how long one Resume tries: where there is no capacity, the
	// node is told, and asks again.
	resumeWait = time.Minute
	// hibernateRetry is between tries of a machine that is not ready for it yet.
	hibernateRetry = 15 * time.Second
)

var errMemoryLost = errors.New("EC2 could not keep the machine's memory, and shut it down instead: resume boots it anew, with its disks as they were")

// Suspend implements drivers.Suspender by hibernation, for which the label must
// ask before the launch. That the machine is to stand still is noted before: so it has
// not ended when it does, whoever is killed in between.
func (d *driver) Suspend(ctx context.Context, ref drivers.Ref) error {
	m, err := d.machineOf(ctx, ref)
	if err != nil {
		return err
	}
	if !m.Hibernates {
		return drivers.Unable("the machine can not keep its memory: its label has no option hibernate")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, hibernateWait, fmt.Errorf("machine %s does not stand still after %v", m.ID, hibernateWait))
	defer cancel()
	if err := d.markStill(ctx, m, stillSuspended); err != nil {
		return err
	}
	if err := d.hibernate(ctx, m); err != nil {
		return withCause(ctx, err)
	}
	inst, err := d.awaitState(ctx, m.ID, cloud.Stopped)
	if err != nil {
		return withCause(ctx, err)
	}
	if !hibernated(inst.Reason) {
		d.log.Warn("a machine was to hibernate, and EC2 shut it down", "identifier", m.ID, "reason", inst.Reason.Message)
		return drivers.Unable(errMemoryLost.Error())
	}
	return nil
}

// withCause adds why a context ended to an error.
func withCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return errors.Join(cause, err)
	}
	return err
}

// hibernate asks for it until EC2 agrees.
func (d *driver) hibernate(ctx context.Context, m machine) error {
	for {
		err := d.api.StopInstance(ctx, m.ID, cloud.Stop{Hibernate: true})
		switch {
		case err == nil:
			return nil
		case !notReady(err) && cloud.IsKind(err, cloud.Refused):
			if unmarked := d.markWoken(ctx, m); unmarked != nil {
				return unmarked
			}
			return drivers.Unable("EC2 does not hibernate the machine: " + err.Error())
		case !notReady(err) && !mayPass(err):
			if cloud.Undone(err) { // it goes on running, and what stops it then is not we
				err = errors.Join(err, d.markWoken(ctx, m))
			}
			return err
		}
		if e := loop.Sleep(ctx, hibernateRetry); e != nil {
			return errors.Join(err, e)
		}
	}
}

// notReady reports whether a machine can not hibernate yet: its agent has to
// start first. EC2 has no code for it, only words.
func notReady(err error) bool {
	e, ok := errors.AsType[*cloud.Error](err)
	return ok && strings.Contains(e.Message, "not ready to hibernate")
}

// mayPass reports whether what was asked of a machine that lists show may work
// in a while: one that is new is not known everywhere.
func mayPass(err error) bool { return transient(err) || cloud.IsKind(err, cloud.NotFound) }

// Resume implements drivers.Suspender. EC2 keeps no room for what stands still:
// where it has none now, the machine goes on standing, and that is the error.
func (d *driver) Resume(ctx context.Context, ref drivers.Ref) error {
	m, err := d.machineOf(ctx, ref)
	if err != nil {
		return err
	}
	if m.still() == "" {
		if m.State == cloud.Stopped || m.State == cloud.Stopping {
			if m.in == nil || time.Since(m.in.Woken) > cloud.Settled {
				return errNotRunning
			}
		}
		return nil // it runs
	}
	ctx, cancel := context.WithTimeoutCause(ctx, resumeWait, fmt.Errorf("machine %s stands still, and does not run after %v", m.ID, resumeWait))
	defer cancel()
	if err := d.startAgain(ctx, m.ID); err != nil {
		return fmt.Errorf("the machine goes on standing still: %w", err)
	}
	if _, err := d.awaitState(ctx, m.ID, cloud.Running); err != nil {
		return withCause(ctx, err)
	}
	return d.markWoken(ctx, m)
}

// startAgain starts a machine, and tries again as long as that may help. A
// machine that runs is no error to EC2.
func (d *driver) startAgain(ctx context.Context, id string) error {
	retry := backoff{5 * time.Second, 30 * time.Second}
	for {
		err := d.api.StartInstance(ctx, id)
		if err == nil {
			return nil
		}
		if !mayPass(err) && !cloud.IsKind(err, cloud.NoCapacity, cloud.NoHostCapacity, cloud.Quota) {
			return err
		}
		if e := retry.wait(ctx); e != nil {
			return errors.Join(err, e)
		}
	}
}

var _ drivers.Suspender = (*driver)(nil)
