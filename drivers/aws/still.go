package aws

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// still is why a machine that is stopped has not ended.
type still string

const (
	// stillSuspended: Suspend stopped it, and Resume starts it again.
	stillSuspended still = "suspended"
	// stillTask: a task of a release stopped it, and nothing starts it again.
	stillTask still = "task"
)

// hibernated reports whether EC2 says that the memory was kept: where it can
// not be, EC2 shuts the machine down and says nothing.
func hibernated(r cloud.StateReason) bool {
	return strings.HasSuffix(r.Code, "UserInitiatedHibernate")
}

// machine is the live machine of an environment.
type machine struct {
	cloud.Instance
	token string  // empty: of v0.7
	in    *intent // nil: there is none
}

// still is why it may be stopped without having ended.
func (m machine) still() still {
	switch {
	case m.in != nil:
		return m.in.Still
	case m.State == cloud.Stopped && hibernated(m.Reason):
		return stillSuspended
	}
	return ""
}

// errMachineGone is the errNotRunning of a machine that was there, and is not any more.
var errMachineGone = fmt.Errorf("%w: its machine is gone", errNotRunning)

// machineOf finds the machine that a reference means, and waits while lists may
// not show it yet. What is gone or being removed is errNotRunning.
func (d *driver) machineOf(ctx context.Context, ref drivers.Ref) (machine, error) {
	retry := backoff{leastLook, mostLook}
	for {
		seen, err := d.look(ctx, time.Now())
		if err != nil {
			return machine{}, err
		}
		m, certain, err := d.machineIn(ctx, ref, seen)
		if err != nil || certain {
			return m, err
		}
		if err := retry.wait(ctx); err != nil {
			return machine{}, fmt.Errorf("AWS does not list the machine, and may not yet or for a moment: %w", err)
		}
	}
}

// machineIn looks for the machine in one list. An absence may be uncertain.
func (d *driver) machineIn(ctx context.Context, ref drivers.Ref, seen sight) (m machine, certain bool, err error) {
	token, err := d.tokenOf(ref, seen)
	switch {
	case err != nil:
		return machine{}, false, err
	case token == "":
		inst, whose, err := d.adopted(ctx, ref)
		switch {
		case err != nil:
		case whose != ours:
			err = errNotRunning
		case cloud.Gone(inst.State):
			err = errMachineGone
		}
		return machine{Instance: inst}, true, err
	}
	in, found, err := d.ledger.load(token)
	switch {
	case err != nil:
		return machine{}, false, err
	case found && in.unread.IsZero():
		return d.machineBy(in, seen)
	}
	inst, lives := seen.living(token)
	switch {
	case !lives && len(seen.of(token)) > 0:
		return machine{}, false, errMachineGone
	case !lives:
		return machine{}, false, unless(!seen.asked.After(d.ledger.doubt()), errNotRunning)
	}
	return machine{Instance: inst, token: token}, true, nil
}

// machineBy is the machine that an intent names.
func (d *driver) machineBy(in *intent, seen sight) (m machine, certain bool, err error) {
	id := in.instanceID()
	if in.Ending || id == "" {
		return machine{}, false, errNotRunning
	}
	one, listed := seen.byID[id]
	switch {
	case listed && !one.Alive():
		return machine{}, false, errMachineGone
	case !listed || !one.Missing.IsZero():
		return machine{}, false, unless(d.absences.of(id, seen) <= cloud.Settled, errMachineGone)
	}
	return machine{Instance: one.Instance, token: in.Token, in: in}, true, nil
}

// unless is the error, but where something is so nil.
func unless(is bool, err error) error {
	if is {
		return nil
	}
	return err
}

// note changes the intent of a machine. One without an intent has nothing that
// could be noted.
func (d *driver) note(ctx context.Context, m machine, edit func(in *intent)) error {
	if m.in == nil {
		return nil
	}
	done, err := d.turns.Take(ctx, m.token)
	if err != nil {
		return err
	}
	defer done()
	in, found, err := d.ledger.load(m.token)
	switch {
	case err != nil:
		return err
	case !found || in.Ending || !in.unread.IsZero():
		return errEnding
	}
	edit(in)
	return d.ledger.save(in)
}

// markStill notes that the machine is about to be stopped: from then on being
// stopped is no end.
func (d *driver) markStill(ctx context.Context, m machine, why still) error {
	if m.still() != "" {
		return nil
	}
	return d.note(ctx, m, func(in *intent) { in.Still, in.Woken = why, time.Time{} })
}

// markWoken notes that the machine runs again. Lists may say for a while that it
// does not.
func (d *driver) markWoken(ctx context.Context, m machine) error {
	return d.note(ctx, m, func(in *intent) { in.Still, in.Woken = "", time.Now().UTC() })
}

// awaitState waits until lists show a machine in a state.
func (d *driver) awaitState(ctx context.Context, id, state string) (cloud.Instance, error) {
	retry := backoff{leastLook, mostLook}
	for {
		seen, err := d.look(ctx, time.Now())
		if err != nil && !transient(err) {
			return cloud.Instance{}, err
		}
		one, listed := seen.byID[id]
		switch {
		case listed && one.State == state:
			return one.Instance, nil
		case listed && !one.Alive():
			return cloud.Instance{}, errNotRunning
		}
		if err := retry.wait(ctx); err != nil {
			return cloud.Instance{}, errors.Join(fmt.Errorf("machine %s is not %s yet", id, state), err)
		}
	}
}
