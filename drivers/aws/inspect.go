package aws

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Inspect implements drivers.Driver. While it is not certain what there is, it
// looks again until its context ends.
func (d *driver) Inspect(ctx context.Context, ref drivers.Ref) (drivers.Report, error) {
	retry := backoff{leastLook, mostLook}
	for {
		report, certain, err := d.inspect(ctx, ref, time.Now())
		if err != nil {
			return drivers.Report{}, err
		}
		if certain {
			return report, nil
		}
		if err := retry.wait(ctx); err != nil {
			return drivers.Report{}, fmt.Errorf("AWS does not list the machine, and may not yet or for a moment: %w", err)
		}
	}
}

// inspect looks once, at what was listed after a time.
func (d *driver) inspect(ctx context.Context, ref drivers.Ref, since time.Time) (report drivers.Report, certain bool, err error) {
	seen, err := d.look(ctx, since)
	if err != nil {
		return drivers.Report{}, false, err
	}
	token, err := d.tokenOf(ref, seen)
	if err != nil {
		return drivers.Report{}, false, err
	}
	if token == "" {
		return d.inspectByID(ctx, ref, seen)
	}
	in, found, err := d.ledger.load(token) // after the list: what is not there then was not there before
	if err != nil {
		return drivers.Report{}, false, err
	}
	f := findings{token: token, definition: ref.Definition, seen: seen, doubt: d.ledger.doubt()}
	if found {
		if err := d.reaches(in); err != nil {
			return drivers.Report{}, false, err
		}
		f.in = in
	}
	if id := f.id(); id != "" {
		f.missing = d.absences.of(id, seen)
	}
	report, certain = f.report()
	return report, certain, nil
}

// tokenOf is the token that a reference means; empty where none is known.
func (d *driver) tokenOf(ref drivers.Ref, seen sight) (string, error) {
	if ref.Token != "" || ref.Identifier == "" {
		return ref.Token, nil
	}
	if one, listed := seen.byID[ref.Identifier]; listed && one.Work() {
		return one.Tags[cloud.TagToken], nil
	}
	tokens, err := d.ledger.tokens()
	if err != nil {
		return "", err
	}
	for _, token := range tokens {
		in, found, err := d.ledger.load(token)
		if err != nil {
			return "", err
		}
		if found && in.instanceID() == ref.Identifier {
			return token, nil
		}
	}
	return "", nil
}

// findings is what an inspection decides by.
type findings struct {
	in         *intent // nil: there is none
	token      string
	definition model.LabelDefinition
	seen       sight
	missing    time.Duration // for how long the intent's machine has not been listed
	doubt      time.Time     // until when something may appear that no intent tells of
}

// id is the machine that the intent names.
func (f findings) id() string {
	if f.in == nil {
		return ""
	}
	return f.in.instanceID()
}

// report says what there is of an environment, and whether that is certain. It is pure.
func (f findings) report() (report drivers.Report, certain bool) {
	if f.in == nil {
		return f.reportByTags()
	}
	id := f.id()
	if f.in.Ending || !f.in.unread.IsZero() || id == "" {
		return drivers.Report{Presence: drivers.Partial}, true // Allocate completes it, Deallocate removes it
	}
	one, listed := f.seen.byID[id]
	switch {
	case !listed && f.missing > cloud.Settled && f.seen.asked.Sub(f.in.last().Sent) > cloud.Settled:
		return drivers.Report{Presence: drivers.Ended, Ending: notThere}, true
	case !listed || !one.Missing.IsZero() && one.Alive():
		return drivers.Report{}, false
	}
	return f.reportOf(one), true
}

// reportByTags is of a token without an intent: it was removed, or never was,
// or the intent was lost.
func (f findings) reportByTags() (report drivers.Report, certain bool) {
	for _, one := range f.seen.of(f.token) {
		if one.Alive() {
			report = f.reportOf(one)
			if report.Presence == drivers.Ended {
				report = drivers.Report{Presence: drivers.Partial}
			}
			return report, one.Missing.IsZero()
		}
	}
	return drivers.Report{Presence: drivers.Absent}, f.seen.asked.After(f.doubt)
}

// reportOf is of a machine that is known.
func (f findings) reportOf(one account.Sighting) drivers.Report {
	switch {
	case !one.Alive(), f.halted(one):
		return drivers.Report{Presence: drivers.Ended, Ending: endingOf(one.Instance)}
	case one.PrivateIP == "" || f.in != nil && !f.in.marked():
		return drivers.Report{Presence: drivers.Partial}
	}
	return drivers.Report{Presence: drivers.Running, Environment: environment(one.Instance, f.definition)}
}

// halted reports whether a machine was stopped by somebody else. One that we
// stopped stands still; one that we started again lists may still show as stopped.
func (f findings) halted(one account.Sighting) bool {
	switch {
	case one.State != cloud.Stopping && one.State != cloud.Stopped:
		return false
	case f.in == nil:
		return !hibernated(one.Reason)
	}
	return f.in.Still == "" && !f.seen.asked.Before(f.in.Woken.Add(cloud.Settled))
}

// inspectByID is for a machine that only its id is known of: v0.7 put no mark on
// what it made. One that carries somebody's mark is theirs.
func (d *driver) inspectByID(ctx context.Context, ref drivers.Ref, seen sight) (drivers.Report, bool, error) {
	inst, whose, err := d.adopted(ctx, ref)
	if err != nil {
		return drivers.Report{}, false, err
	}
	if whose == nobodys {
		return drivers.Report{Presence: drivers.Absent}, d.absences.of(ref.Identifier, seen) > cloud.Settled, nil
	}
	d.absences.forget(ref.Identifier)
	if whose == others || cloud.Gone(inst.State) {
		return drivers.Report{Presence: drivers.Absent}, true, nil
	}
	f := findings{definition: ref.Definition, seen: seen}
	return f.reportOf(account.Sighting{Instance: inst}), true, nil
}

var errNotRunning = errors.New("environment does not run")

// Watch implements drivers.Watcher. All that are watched share one look.
func (d *driver) Watch(ctx context.Context, ref drivers.Ref) (ending string, err error) {
	changed, stop := d.member.Subscribe()
	defer stop()
	for since := time.Now(); ; since = time.Now().Add(-d.settings.WatchPeriod / 2) {
		report, certain, err := d.inspect(ctx, ref, since)
		switch {
		case err != nil:
			return "", err
		case !certain:
		case report.Presence == drivers.Ended:
			return report.Ending, nil
		case report.Presence != drivers.Running:
			return "", errNotRunning
		}
		if err := d.dropSurplus(ctx, ref.Token); err != nil {
			d.log.Warn("a second machine of one environment is not removed yet", "error", err)
		}
		if err := d.rest(ctx, ref.Identifier, changed); err != nil {
			return "", err
		}
	}
}

// rest waits until it is time for another look, or until a list that somebody
// else asked for shows that the machine does not run.
func (d *driver) rest(ctx context.Context, id string, changed <-chan struct{}) error {
	timer := time.NewTimer(d.settings.WatchPeriod)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		case <-changed:
			one, known := d.member.Instance(id)
			if known && one.State != cloud.Running && one.State != cloud.Pending {
				return nil
			}
		}
	}
}

// dropSurplus ends machines of a token beside its own. There is one only where
// the intents were lost, and the launch that was under way was made anew in
// another zone before lists showed the first.
func (d *driver) dropSurplus(ctx context.Context, token string) error {
	list, _ := d.member.Instances()
	seen := sight{byID: map[string]account.Sighting{}}
	for _, one := range list {
		if one.Alive() && one.Tags[cloud.TagToken] == token {
			seen.byID[one.ID] = one
		}
	}
	if len(seen.of(token)) < 2 {
		return nil
	}
	in, found, err := d.ledger.load(token)
	if err != nil || !found || in.Ending {
		return err
	}
	if _, lives := seen.byID[in.instanceID()]; !lives {
		return nil // which of them is the environment is not clear: its end removes all
	}
	var ids []string
	for _, one := range seen.of(token) {
		if one.ID != in.instanceID() {
			ids = append(ids, one.ID)
		}
	}
	d.log.Warn("removing a second machine of one environment", "identifiers", ids, "kept", in.instanceID())
	return d.api.TerminateInstances(ctx, ids)
}

var _ drivers.Watcher = (*driver)(nil)
