package aws

import (
	"context"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// stop brings the machine to a stop before it is released: so what it has
// written is on its disks. While the application goes on nothing is stopped, as somebody
// works there; what is taken then is of one moment, as after a cut of power.
func (r *taskRun) stop(ctx context.Context) error {
	m := r.machine
	switch wanted := r.opts.Stop; {
	case r.req.When != model.StatusDeallocate, wanted != nil && !*wanted:
		return nil
	case m.HostID != "" && wanted == nil: // a quarter of an hour to stop, and hours until the host is scrubbed
		r.log.Info("a machine on a dedicated host is not stopped for a task; the option stop would", "identifier", m.ID)
		return nil
	case m.State == cloud.Stopped:
		return nil
	}
	if err := r.markStill(ctx, m, stillTask); err != nil {
		return err
	}
	stopped, err := r.stopped(ctx, &r.rec.Stopping, cloud.Stop{})
	if err != nil || stopped {
		return err
	}
	if !r.opts.Force {
		return failure("machine %s did not stop within %v: the option force cuts its power", m.ID, stopWait)
	}
	r.log.Warn("a machine that does not stop in order has its power cut", "identifier", m.ID)
	stopped, err = r.stopped(ctx, &r.rec.Forced, cloud.Stop{Force: true})
	if err == nil && !stopped {
		return failure("machine %s did not stop, not even when its power was cut", m.ID)
	}
	return err
}

// stopped tells the machine to stop and waits for it, since when it was first
// told: so a node that restarts again and again does not wait for ever.
func (r *taskRun) stopped(ctx context.Context, since *time.Time, how cloud.Stop) (is bool, err error) {
	if since.IsZero() {
		*since = time.Now().UTC()
		if err := r.records().save(r.rec); err != nil {
			return false, err
		}
	}
	retry := backoff{leastPoll, mostPoll}
	for told := false; ; {
		if !told {
			err := r.api.StopInstance(ctx, r.machine.ID, how)
			switch told = err == nil; {
			case cloud.IsKind(err, cloud.Refused) && r.opts.Force:
				r.log.Warn("EC2 does not stop the machine; the task goes on while it runs", "identifier", r.machine.ID, "error", err)
				return true, nil
			case cloud.IsKind(err, cloud.Refused):
				return false, failure("machine %s can not be stopped: %v; the option force has the task go on while it runs", r.machine.ID, err)
			case err != nil && !mayPass(err):
				return false, err
			}
		}
		state, err := r.state(ctx)
		switch {
		case err != nil:
			return false, err
		case state == cloud.Stopped:
			return true, nil
		case cloud.Gone(state):
			return false, failure("machine %s ended before it was stopped", r.machine.ID)
		case time.Since(*since) > stopWait:
			return false, nil
		}
		if e := retry.wait(ctx); e != nil {
			return false, fmt.Errorf("machine %s is %s, and not stopped yet: %w", r.machine.ID, state, e)
		}
	}
}

// state is what the newest list shows of the machine; empty while AWS does not
// answer, or does not list it.
func (r *taskRun) state(ctx context.Context) (string, error) {
	if r.machine.token == "" { // of v0.7: without our tags
		inst, _, err := r.adopted(ctx, r.req.Ref)
		if err != nil && !transient(err) {
			return "", err
		}
		return inst.State, nil
	}
	seen, err := r.look(ctx, time.Now())
	if err != nil && !transient(err) {
		return "", err
	}
	return seen.byID[r.machine.ID].State, nil
}
