package aws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
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

// mostNew is how long a launch is repeated of which EC2 says that something it
// names is not there, though it was listed: an image or a key that is new.
const mostNew = 2 * time.Minute

// mostHostTries is how many hosts of a pool are tried for one machine: one that
// is not ready after all is common, a row of them is a fault.
const mostHostTries = 5

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
	l := &launcher{driver: d, req: req, in: in, log: d.log.With("application_uid", req.ApplicationUID)}
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
// intent of a token that has none: of what is there already, where a former intent was
// lost, or of what is to be. While AWS does not answer it tries again.
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

// settle writes down what the answer to the last attempt means, and says how
// to go on.
func (l *launcher) settle(ctx context.Context, inst cloud.Instance, err error) (step, error) {
	a := l.in.last()
	v := judge(err, a.Host != "")
	if v != isMade {
		l.log.Info("launch not done", "zone", a.Zone, "type", a.Type, "spot", a.Spot, "host", a.Host, "error", err)
	}
	switch v {
	case nextPlace, nextHost, noQuota, isGone: // EC2 looks at the token before
		l.unsure = false
	}
	switch v {
	case isMade:
		return isThere, l.answered(answerMade, inst.ID)
	case nextPlace, nextHost:
		l.refusedBy(ctx, err)
		return anotherOne, l.answered(answerRefused, "")
	case noQuota:
		l.refusedBy(ctx, err)
		if a.Host != "" {
			return anotherOne, errors.Join(l.answered(answerRefused, ""), err)
		}
		if l.usedUp == nil {
			l.usedUp = map[string]bool{}
		}
		l.usedUp[a.quota()] = true // others have quotas of their own
		return anotherOne, l.answered(answerRefused, "")
	case isGone:
		return anotherOne, l.answered(answerGone, "")
	case lookItUp:
		return l.lookUp(ctx)
	case hopeless:
		l.refusedBy(ctx, err)
		return anotherOne, errors.Join(l.undone(answerRefused), err)
	case notKnown: // it was there when the intent was made
		if time.Since(l.in.Created) > mostNew {
			l.refusedBy(ctx, err)
			return anotherOne, errors.Join(l.undone(answerRefused), err)
		}
	}
	if cloud.Undone(err) {
		return sameAgain, l.undone(answerLater)
	}
	return sameAgain, nil
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
// former request whose intent was lost, and which asked for something else. It is there,
// or was, though no list may show it yet.
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

// ready waits until the machine has what the node needs of it, or is gone.
func (l *launcher) ready(ctx context.Context, inst cloud.Instance) (cloud.Instance, error) {
	bound, cancel := context.WithTimeoutCause(ctx, l.settings.AddressWait,
		fmt.Errorf("machine %s has no address %v after its launch", inst.ID, l.settings.AddressWait))
	defer cancel()
	retry := backoff{leastLook, mostLook}
	for {
		if cloud.Gone(inst.State) {
			return inst, nil
		}
		whole, err := l.complete(bound, inst)
		if err != nil || whole {
			return inst, err
		}
		if err := retry.wait(bound); err != nil {
			return inst, errors.Join(err, context.Cause(bound))
		}
		seen, err := l.look(bound, time.Now())
		if err != nil && !transient(err) {
			return inst, errors.Join(err, context.Cause(bound))
		}
		if listed, is := seen.byID[inst.ID]; is {
			inst = listed.Instance
		}
	}
}

// complete reports whether a machine has all that it should, and puts the tags
// on its disks when they are there.
func (l *launcher) complete(ctx context.Context, inst cloud.Instance) (bool, error) {
	if inst.PrivateIP == "" {
		return false, nil
	}
	if l.in.marked() {
		return true, nil
	}
	for _, device := range slices.Sorted(maps.Keys(l.in.DiskTags)) {
		id := inst.Volumes[device]
		if id == "" {
			return false, nil
		}
		err := l.api.CreateTags(ctx, []string{id}, l.in.DiskTags[device])
		if transient(err) || cloud.IsKind(err, cloud.NotFound) { // it is new, and not known everywhere
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("tag disk %s: %w", device, err)
		}
	}
	l.in.Marked = true
	return true, l.ledger.save(l.in)
}

// environment is what the node shows of a machine.
func environment(inst cloud.Instance, def model.LabelDefinition) drivers.Environment {
	return drivers.Environment{Identifier: inst.ID, IPAddr: inst.PrivateIP, HWAddr: inst.MAC, Authentication: def.Authentication}
}
