package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// mostPasses is the longest pause between two looks at what is on its way out.
const mostPasses = 10 * time.Second

// Deallocate implements drivers.Driver. It returns nil only when each request
// that was sent is known to have led to nothing, or to what is gone.
func (d *driver) Deallocate(ctx context.Context, ref drivers.Ref) error {
	seen, err := d.look(ctx, time.Now())
	if err != nil {
		return err
	}
	token, err := d.tokenOf(ref, seen)
	if err != nil {
		return err
	}
	if token == "" {
		return d.removeAdopted(ctx, ref)
	}
	done, err := d.turns.Take(ctx, token)
	if err != nil {
		return err
	}
	defer done()
	r, err := d.removal(token)
	if err != nil {
		return err
	}
	if err := r.finish(ctx); err != nil {
		return err
	}
	d.hosts.Released(ctx, r.in.Pool, token)
	d.member.Release(token)
	for _, a := range r.in.Attempts {
		d.absences.forget(a.InstanceID)
	}
	return d.ledger.forget(token)
}

// removal removes what came of one token. It has the token's turn.
type removal struct {
	*driver
	in    *intent
	known bool      // there is an intent
	doubt time.Time // until when something may appear that the intent does not tell of
	waits []string  // for what, in words
}

// removal writes down that nothing is sent any more. A disk that is full does
// not keep it from removing: what is paid for matters more.
func (d *driver) removal(token string) (*removal, error) {
	in, found, err := d.ledger.load(token)
	if err != nil {
		return nil, err
	}
	r := &removal{driver: d, in: in, known: found}
	switch {
	case !found:
		r.in, r.doubt = &intent{Token: token}, d.ledger.doubt()
		return r, nil
	case !in.unread.IsZero():
		r.doubt = in.unread.Add(cloud.Settled)
		return r, nil
	}
	if err := d.reaches(in); err != nil {
		return nil, err
	}
	if !in.Ending {
		in.Ending = true
		if err := d.ledger.save(in); err != nil {
			d.log.Warn("the end of an environment is not written down; it is removed all the same", "error", err)
		}
	}
	return r, nil
}

// finish makes one pass after the other until nothing is left.
func (r *removal) finish(ctx context.Context) error {
	retry := backoff{leastLook, mostPasses}
	for {
		r.waits = nil
		if err := r.pass(ctx); err != nil {
			return err
		}
		if len(r.waits) == 0 {
			return nil
		}
		if err := retry.wait(ctx); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(r.waits, "; "), err)
		}
	}
}

// wait says what is not done yet.
func (r *removal) wait(format string, args ...any) {
	r.waits = append(r.waits, fmt.Sprintf(format, args...))
}

// pass looks at all that may be there, and begins to remove what is.
func (r *removal) pass(ctx context.Context) error {
	seen, err := r.look(ctx, time.Now())
	if err != nil {
		return err
	}
	if err := r.cancelSpots(ctx); err != nil { // first, as one that is open may make another machine
		return err
	}
	for _, one := range seen.of(r.in.Token) {
		if err := r.end(ctx, one); err != nil {
			return err
		}
	}
	for i := range r.in.Attempts {
		if err := r.follow(ctx, &r.in.Attempts[i], seen); err != nil {
			return err
		}
	}
	if !seen.asked.After(r.doubt) {
		r.wait("the record of what was sent is lost, and what was sent shows by %s", r.doubt.UTC().Format(time.RFC3339))
	}
	return r.removeVolumes(ctx)
}

// follow finds out what became of an attempt.
func (r *removal) follow(ctx context.Context, a *attempt, seen sight) error {
	if !a.open() {
		return nil
	}
	settled := seen.asked.Sub(a.Sent) > cloud.Settled
	if a.Answer == answerNone {
		if _, found := seen.byClientToken(a.ClientToken); !found && !settled {
			r.wait("a launch was sent at %s and has no answer: it shows within %v", a.Sent.Format(time.RFC3339), cloud.Settled)
		}
		return nil // what is found has the token, and was looked at
	}
	if one, listed := seen.byID[a.InstanceID]; listed {
		if one.Tags[cloud.TagToken] == r.in.Token && one.Work() {
			return nil // it was looked at
		}
		return r.end(ctx, one)
	}
	err := r.api.TerminateInstances(ctx, []string{a.InstanceID})
	switch {
	case cloud.IsKind(err, cloud.NotFound) && settled:
		return nil // it is so old that EC2 has forgotten it
	case err != nil && !cloud.IsKind(err, cloud.NotFound):
		return err
	}
	return r.see(ctx, a.InstanceID)
}

// end ends a machine that is ours, and looks whether that is seen.
func (r *removal) end(ctx context.Context, one account.Sighting) error {
	if !one.Alive() {
		return nil
	}
	if err := r.terminate(ctx, one.ID); err != nil {
		return err
	}
	if !one.Missing.IsZero() {
		return r.see(ctx, one.ID)
	}
	r.wait("machine %s is %s", one.ID, one.State)
	return nil
}

// see looks for a machine by its id that is not listed by its tags: lists are
// late, or somebody has taken the tags away.
func (r *removal) see(ctx context.Context, id string) error {
	list, err := r.api.Instances(ctx, cloud.Where("instance-id", id))
	if err != nil {
		return err
	}
	if len(list) == 0 || !cloud.Gone(list[0].State) {
		r.wait("machine %s is not listed as gone yet", id)
	}
	return nil
}

// terminate ends a machine that is ours by its tags.
func (r *removal) terminate(ctx context.Context, id string) error {
	err := r.api.TerminateInstances(ctx, []string{id})
	if cloud.IsKind(err, cloud.NotFound) { // lists say that it is there; one of them is late
		return nil
	}
	return err
}

// cancelSpots ends requests that may still make machines.
func (r *removal) cancelSpots(ctx context.Context) error {
	if r.known && r.in.unread.IsZero() && !slices.ContainsFunc(r.in.Attempts, func(a attempt) bool { return a.Spot }) {
		return nil
	}
	list, err := r.api.SpotRequests(ctx, r.marks().And("tag:"+cloud.TagToken, r.in.Token))
	if err != nil {
		return err
	}
	var ids []string
	for _, s := range list {
		if s.State == "open" || s.State == "active" {
			ids = append(ids, s.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	err = r.api.CancelSpotRequests(ctx, ids)
	if cloud.IsKind(err, cloud.NotFound) { // it is new, and not known everywhere
		r.wait("spot requests %s are not cancelled yet", strings.Join(ids, ", "))
		return nil
	}
	return err
}

// removeVolumes removes disks that outlived their machine, and waits for those
// that go with it.
func (r *removal) removeVolumes(ctx context.Context) error {
	list, err := r.api.Volumes(ctx, r.marks().And("tag:"+cloud.TagToken, r.in.Token))
	if err != nil {
		return err
	}
	for _, v := range list {
		if !isWork(v.Tags) || v.State == "deleting" || v.State == "deleted" {
			continue
		}
		if v.State == "available" || v.State == "error" {
			if err := r.api.DeleteVolume(ctx, v.ID); err != nil && !cloud.IsKind(err, cloud.NotFound, cloud.Busy) {
				return err
			}
		}
		r.wait("disk %s is %s", v.ID, cmp.Or(v.State, "there"))
	}
	return nil
}

// owner is whose a machine is that only its id is known of.
type owner int

const (
	nobodys owner = iota // it is not listed
	ours                 // it carries no mark, and this node's old database knows it
	others               // it carries somebody's mark
)

// adopted finds a machine by its id alone. It is ours only by the node's old
// database, so it must carry no mark of another owner.
func (d *driver) adopted(ctx context.Context, ref drivers.Ref) (cloud.Instance, owner, error) {
	if ref.Token != "" || !strings.HasPrefix(ref.Identifier, "i-") {
		return cloud.Instance{}, others, nil
	}
	list, err := d.api.Instances(ctx, cloud.Where("instance-id", ref.Identifier))
	if err != nil {
		return cloud.Instance{}, nobodys, err
	}
	for _, inst := range list {
		if inst.ID != ref.Identifier {
			continue
		}
		if _, marked := inst.Tags[cloud.TagNode]; !marked || d.maker().Made(inst.Tags) && isWork(inst.Tags) {
			return inst, ours, nil
		}
		return inst, others, nil
	}
	return cloud.Instance{}, nobodys, nil
}

// removeAdopted ends a machine that only its id is known of. It is old: what is
// not listed is gone.
func (d *driver) removeAdopted(ctx context.Context, ref drivers.Ref) error {
	retry := backoff{leastLook, mostPasses}
	for {
		inst, whose, err := d.adopted(ctx, ref)
		if err != nil || whose != ours || cloud.Gone(inst.State) {
			return err
		}
		if err := d.api.TerminateInstances(ctx, []string{inst.ID}); err != nil && !cloud.IsKind(err, cloud.NotFound) {
			return err
		}
		if err := retry.wait(ctx); err != nil {
			return errors.Join(fmt.Errorf("machine %s is %s", inst.ID, inst.State), err)
		}
	}
}
