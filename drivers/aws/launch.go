package aws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The pauses between tries. RunInstances has a bucket of 2 requests a second for
// the whole account, so what is only repeated is repeated slowly.
const (
	leastRetry = 2 * time.Second
	mostRetry  = 30 * time.Second
	// leastLook and mostLook are between looks at what will change soon.
	leastLook = time.Second
	mostLook  = 5 * time.Second
)

var errEnding = errors.New("the environment is being removed")

// Allocate implements drivers.Driver. It returns when the machine has its id and
// its private address; it boots for minutes after that.
func (d *driver) Allocate(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
	done, err := d.turns.Take(ctx, req.Token)
	if err != nil {
		return drivers.Environment{}, err
	}
	defer done()
	in, found, err := d.ledger.load(req.Token)
	if err != nil {
		return drivers.Environment{}, err
	}
	if found && in.Ending {
		return drivers.Environment{}, errEnding
	}
	if found {
		if err := d.reaches(in); err != nil {
			return drivers.Environment{}, err
		}
	}
	l := &launcher{driver: d, req: req, in: in, log: d.log.With("application_uid", req.ApplicationUID), usedUp: map[string]bool{}}
	if !found || !in.unread.IsZero() {
		l.in = nil
	}
	if err := l.begin(ctx); err != nil {
		return drivers.Environment{}, err
	}
	inst, err := l.machine(ctx)
	if err != nil {
		return drivers.Environment{}, err
	}
	return environment(inst, req.Definition), nil
}

// launcher makes one machine, or completes it. It has the turn of its token.
type launcher struct {
	*driver
	req     drivers.Request
	in      *intent
	log     *slog.Logger
	refusal error // of the last candidate
	// unsure: the last attempt was sent before, and nobody knows what became of
	// that. A refusal at the door, such as of credentials, says nothing about it.
	unsure bool
	// usedUp are the quotas of which nothing was left in this try.
	usedUp map[string]bool
}

// begin waits until it is known what earlier processes made, and writes the
// intent of a token that has none: of what is there already, where a former
// intent was lost, or of what is to be. While AWS does not answer it tries again.
func (l *launcher) begin(ctx context.Context) error {
	retry := newRetry()
	for {
		seen, err := l.look(ctx, l.began) // what this process made has an intent
		plan := l.in
		if err == nil && plan == nil {
			plan, err = l.plan(ctx, l.req)
		}
		if err == nil && l.in == nil {
			l.in = plan
			l.takeUp(seen)
			return l.ledger.save(l.in)
		}
		if !transient(err) || ctx.Err() != nil {
			return err
		}
		l.log.Info("what is to be launched is not looked up yet", "error", err)
		if err := retry.wait(ctx); err != nil {
			return err
		}
	}
}

// takeUp takes a machine that is there for the one of a new intent.
func (l *launcher) takeUp(seen sight) {
	if inst, found := seen.living(l.in.Token); found {
		l.log.Warn("a machine is taken up whose intent is lost", "identifier", inst.ID)
		l.in.Attempts = []attempt{attemptOf(inst)}
		l.in.Next = len(l.in.Candidates)
	}
}

// attemptOf is the attempt that a machine came of.
func attemptOf(inst cloud.Instance) attempt {
	return attempt{
		candidate:   candidate{Type: inst.Type, Zone: inst.Zone, Subnet: inst.SubnetID, Host: inst.HostID, Spot: inst.Spot},
		ClientToken: inst.ClientToken, Sent: inst.LaunchTime, Answer: answerMade, InstanceID: inst.ID,
	}
}

// machine goes through the plan until there is a machine that can be used.
func (l *launcher) machine(ctx context.Context) (cloud.Instance, error) {
	for {
		inst, err := l.made(ctx)
		if err != nil {
			return cloud.Instance{}, err
		}
		if inst, err = l.ready(ctx, inst); err != nil {
			return cloud.Instance{}, err
		}
		if !cloud.Gone(inst.State) {
			return inst, nil
		}
		died := fmt.Errorf("machine %s ended at once: %s", inst.ID, endingOf(inst))
		l.refusedBy(ctx, died)
		if err := l.answered(answerGone, ""); err != nil {
			return cloud.Instance{}, err
		}
		if diedOf(inst.Reason) == hopeless {
			return cloud.Instance{}, died
		}
	}
}

// made returns a machine that was made: by an attempt of before, or by the next.
func (l *launcher) made(ctx context.Context) (cloud.Instance, error) {
	if l.in.instanceID() != "" {
		return l.known(ctx), nil
	}
	if err := l.count(ctx); err != nil {
		return cloud.Instance{}, err
	}
	retry := newRetry()
	for {
		there, err := l.arm(ctx)
		if err != nil {
			return cloud.Instance{}, err
		}
		if there {
			return l.known(ctx), nil
		}
		inst, err := l.api.RunInstance(ctx, l.in.request(*l.in.last()))
		if err != nil && ctx.Err() != nil {
			return cloud.Instance{}, err // it has no answer: it is repeated, or removed
		}
		next, err := l.settle(ctx, inst, err)
		switch {
		case err != nil:
			return cloud.Instance{}, err
		case next == sameAgain:
			if err := retry.wait(ctx); err != nil {
				return cloud.Instance{}, err
			}
		case next == anotherOne:
			retry = newRetry()
		default:
			return l.taken(ctx, inst), nil
		}
	}
}

// count waits until the brakes know what there is: they refuse everything before.
// Where that can not be found out at all, they refuse, and say so.
func (l *launcher) count(ctx context.Context) error {
	retry := newRetry()
	for {
		err := l.member.Counted(ctx)
		if err == nil {
			return nil
		}
		l.log.Info("what there is already is not counted yet", "error", err)
		if !transient(err) && ctx.Err() == nil {
			return nil
		}
		if err := retry.wait(ctx); err != nil {
			return err
		}
	}
}

// step is how a launch goes on.
type step int

const (
	isThere step = iota
	sameAgain
	anotherOne
)

func newRetry() *backoff { return &backoff{leastRetry, mostRetry} }

// taken is a machine that the launch ends with.
func (l *launcher) taken(ctx context.Context, inst cloud.Instance) cloud.Instance {
	if inst.ID == "" { // it was found by its token
		return l.known(ctx)
	}
	l.member.Launched(l.in.Token, inst)
	l.tellHost(ctx)
	return inst
}

// known is the machine that the intent names; ready looks at it.
func (l *launcher) known(ctx context.Context) cloud.Instance {
	l.tellHost(ctx)
	return cloud.Instance{ID: l.in.instanceID(), State: cloud.Pending}
}

// tellHost tells the pool what is on its host, once more where the process that
// launched it may have been killed before.
func (l *launcher) tellHost(ctx context.Context) {
	if a := l.in.last(); a.Host != "" {
		l.hosts.Launched(ctx, l.in.Pool, l.in.Token, a.InstanceID)
	}
}

// environment is what the node shows of a machine.
func environment(inst cloud.Instance, def model.LabelDefinition) drivers.Environment {
	return drivers.Environment{Identifier: inst.ID, IPAddr: inst.PrivateIP, HWAddr: inst.MAC, Authentication: def.Authentication}
}
