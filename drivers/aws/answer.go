package aws

import (
	"context"
	"errors"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// mostNew is how long a launch is repeated of which EC2 says that something it
// names is not there, though it was listed: an image or a key that is new.
const mostNew = 2 * time.Minute

// settle writes down what the answer to the last attempt means, and says how
// to go on.
func (l *launcher) settle(ctx context.Context, inst cloud.Instance, err error) (step, error) {
	a := l.in.last()
	v := judge(err, a.Host != "")
	if v != isMade {
		l.log.Info("launch not done", "zone", a.Zone, "type", a.Type, "spot", a.Spot, "host", a.Host, "error", err)
	}
	if v == notKnown && time.Since(l.in.Created) > mostNew { // it was there when the intent was made
		v = hopeless
	}
	switch v {
	case isMade:
		return isThere, l.answered(answerMade, inst.ID)
	case isGone:
		l.unsure = false
		return anotherOne, l.answered(answerGone, "")
	case lookItUp:
		return l.lookUp(ctx)
	case nextPlace, nextHost, noQuota:
		return anotherOne, l.refused(ctx, v, err)
	case hopeless:
		l.refusedBy(ctx, err)
		return anotherOne, errors.Join(l.undone(answerRefused), err)
	}
	if cloud.Undone(err) {
		return sameAgain, l.undone(answerLater)
	}
	return sameAgain, nil
}

// refused ends an attempt for which EC2 has no room, or no quota. It looks at the
// client token before it says so: nothing came of a former request either.
func (l *launcher) refused(ctx context.Context, v verdict, err error) error {
	l.unsure = false
	l.refusedBy(ctx, err)
	a, written := l.in.last(), l.answered(answerRefused, "")
	switch {
	case v != noQuota:
	case a.Host != "": // it will be so on each host of the pool
		return errors.Join(written, err)
	default:
		l.usedUp[a.quota()] = true // others have quotas of their own
	}
	return written
}

// undone writes down that the last attempt led to nothing, unless only its
// last repetition certainly did.
func (l *launcher) undone(is answer) error {
	if l.unsure {
		return nil
	}
	return l.answered(is, "")
}

// answered writes down the answer to the last attempt.
func (l *launcher) answered(is answer, id string) error {
	a := l.in.last()
	a.Answer, a.InstanceID = is, id
	return l.ledger.save(l.in)
}

// refusedBy tells who keeps count of zones, quotas and hosts why there is no
// machine.
func (l *launcher) refusedBy(ctx context.Context, err error) {
	a := l.in.last()
	l.refusal = err
	l.member.Failed(l.need(), a.Zone, err)
	if l.unsure { // something may have come of it
		return
	}
	l.member.Release(l.in.Token)
	if a.Host != "" {
		l.hosts.Failed(ctx, l.in.Pool, l.in.Token, err)
	}
}

// lookUp looks for what the last attempt's client token was used for before: a
// former request whose intent was lost, and which asked for something else. It is
// there, or was, though no list may show it yet.
func (l *launcher) lookUp(ctx context.Context) (step, error) {
	a := l.in.last()
	retry := backoff{leastLook, mostLook}
	for began := time.Now(); ; {
		seen, err := l.look(ctx, time.Now())
		if err != nil && !transient(err) {
			return anotherOne, err
		}
		if inst, found := seen.byClientToken(a.ClientToken); found {
			if cloud.Gone(inst.State) {
				return anotherOne, l.answered(answerGone, "")
			}
			return isThere, l.answered(answerMade, inst.ID)
		}
		if err == nil && time.Since(began) > cloud.Settled {
			return anotherOne, l.answered(answerGone, "")
		}
		if err := retry.wait(ctx); err != nil {
			return anotherOne, err
		}
	}
}
