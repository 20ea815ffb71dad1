package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// mostHostTries is how many hosts of a pool are tried for one machine: one that
// is not ready after all is common, a row of them is a fault.
const mostHostTries = 5

// arm sees to it that the last attempt is one that may be sent: one without an
// answer, which is repeated as it was, or the next candidate. It is written down
// before it is sent, each time. Or it finds that the machine is there.
func (l *launcher) arm(ctx context.Context) (there bool, err error) {
	last := l.in.last()
	if last == nil || last.Answer != answerNone && last.Answer != answerLater {
		return false, l.another(ctx)
	}
	if last.Host != "" {
		switch next, err := l.holdHost(ctx); {
		case err != nil || next == isThere:
			return err == nil, err
		case next == anotherOne:
			return false, l.another(ctx)
		}
	}
	if err := l.member.Reserve(l.need()); err != nil {
		return false, err
	}
	l.unsure = l.unsure || last.Answer == answerNone
	last.Answer, last.Sent = answerNone, time.Now().UTC()
	return false, l.ledger.save(l.in)
}

// holdHost has the pool keep the host of the last attempt, which is about to be
// sent again. Where its reservation ran out, as AWS or this node was away for
// long, the host may be another's by now, and the pool gives another one: before
// that is used it has to be known what became of the attempt.
func (l *launcher) holdHost(ctx context.Context) (step, error) {
	a := l.in.last()
	if a.Answer == answerNone { // the pool's owner may be away, and the machine there
		seen, err := l.look(ctx, time.Now())
		if inst, found := seen.byClientToken(a.ClientToken); err == nil && found && !cloud.Gone(inst.State) {
			return isThere, l.answered(answerMade, inst.ID)
		}
	}
	host, _, err := l.hosts.Reserve(ctx, l.in.Pool, l.in.Token, l.zones())
	switch {
	case err != nil:
		return sameAgain, fmt.Errorf("reserve host %s of pool %s again: %w", a.Host, l.in.Pool, err)
	case host == a.Host:
		return sameAgain, nil
	}
	l.log.Warn("the reservation of a host ran out before its launch had an answer", "host", a.Host, "instead", host)
	if a.Answer == answerLater {
		return anotherOne, l.answered(answerRefused, "")
	}
	next, err := l.lookUp(ctx)
	if err == nil && next == isThere {
		l.hosts.Failed(ctx, l.in.Pool, l.in.Token, cloud.NotSent(errors.New("the machine is on another host")))
	}
	return next, err
}

// another makes an attempt of the next candidate.
func (l *launcher) another(ctx context.Context) error {
	for {
		c, err := l.next(ctx)
		if err != nil {
			return err
		}
		if err = l.start(c); err == nil {
			return nil
		}
		full := new(account.Full)
		if !errors.As(err, &full) || c.Host != "" {
			return err
		}
		l.refusal = err // a brake, which may let a cheaper one through
	}
}

// start makes an attempt of a candidate.
func (l *launcher) start(c candidate) error {
	l.unsure = false
	n := len(l.in.Attempts)
	l.in.Attempts = append(l.in.Attempts, attempt{candidate: c, ClientToken: clientToken(l.in.Token, n, c), Sent: time.Now().UTC()})
	err := l.member.Reserve(l.need())
	if err == nil {
		err = l.ledger.save(l.in)
	}
	if err != nil {
		l.in.Attempts = l.in.Attempts[:n] // it was not sent
	}
	return err
}

// need is what the last attempt takes of the account.
func (l *launcher) need() account.Need { return needOf(l.in.Token, *l.in.last()) }

func needOf(token string, a attempt) account.Need {
	return account.Need{Token: token, Type: a.Type, Spot: a.Spot, SubnetID: a.Subnet, OnHost: a.Host != ""}
}

// next is the candidate whose turn it is.
func (l *launcher) next(ctx context.Context) (candidate, error) {
	if l.in.Pool != "" {
		return l.nextOnHost(ctx)
	}
	for l.in.Next < len(l.in.Candidates) {
		c := l.in.Candidates[l.in.Next]
		l.in.Next++
		if !l.usedUp[c.quota()] {
			return c, nil
		}
	}
	return candidate{}, l.exhausted(len(l.in.Candidates))
}

// nextOnHost is the candidate of a host that the pool gives.
func (l *launcher) nextOnHost(ctx context.Context) (candidate, error) {
	if len(l.in.Attempts) >= mostHostTries {
		return candidate{}, l.exhausted(mostHostTries)
	}
	host, zone, err := l.hosts.Reserve(ctx, l.in.Pool, l.in.Token, l.zones())
	if err != nil {
		return candidate{}, fmt.Errorf("reserve a host of pool %s: %w", l.in.Pool, err)
	}
	for _, c := range l.in.Candidates {
		if c.Zone == zone {
			c.Host = host
			return c, nil
		}
	}
	return candidate{}, fmt.Errorf("pool %s gave host %s in zone %s, in which the label's network has no subnet", l.in.Pool, host, zone)
}

// zones are those of the candidates.
func (l *launcher) zones() []string {
	var zones []string
	for _, c := range l.in.Candidates {
		if !slices.Contains(zones, c.Zone) {
			zones = append(zones, c.Zone)
		}
	}
	return zones
}

// exhausted says that nothing is left to try.
func (l *launcher) exhausted(ways int) error {
	l.member.Release(l.in.Token)
	if l.refusal != nil {
		return fmt.Errorf("no machine to be had in any of %d ways; the last answer: %w", ways, l.refusal)
	}
	return fmt.Errorf("no machine to be had in any of %d ways", ways)
}
