package aws

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// List implements drivers.Driver: intents, and what carries our tags, whether an
// intent tells of it or not. What ended is remains as long as its intent is there.
func (d *driver) List(ctx context.Context) ([]drivers.Ref, error) {
	found := &refs{byName: map[string]drivers.Ref{}}
	err := errors.Join(d.listIntents(found), d.listMachines(ctx, found), d.listRest(ctx, found))
	return found.sorted(), err
}

// refs are references, one for each token.
type refs struct{ byName map[string]drivers.Ref }

// add adds a reference, or what it knows beyond the one that is there.
func (r *refs) add(ref drivers.Ref) {
	name := cmp.Or(ref.Token, ref.Identifier)
	was := r.byName[name]
	was.Token, was.Identifier = ref.Token, cmp.Or(was.Identifier, ref.Identifier)
	if was.ApplicationUID == model.NilUID {
		was.ApplicationUID = ref.ApplicationUID
	}
	r.byName[name] = was
}

func (r *refs) sorted() []drivers.Ref {
	var all []drivers.Ref
	for _, ref := range r.byName {
		all = append(all, ref)
	}
	slices.SortFunc(all, func(a, b drivers.Ref) int {
		return cmp.Or(cmp.Compare(a.Token, b.Token), cmp.Compare(a.Identifier, b.Identifier))
	})
	return all
}

func (d *driver) listIntents(found *refs) error {
	tokens, err := d.ledger.tokens()
	errs := []error{err}
	for _, token := range tokens {
		in, ours, err := d.ledger.load(token)
		errs = append(errs, err)
		if err == nil && ours {
			found.add(drivers.Ref{Token: token, Identifier: in.instanceID(), ApplicationUID: in.Application})
		}
	}
	return errors.Join(errs...)
}

func (d *driver) listMachines(ctx context.Context, found *refs) error {
	seen, err := d.look(ctx, time.Now())
	if err != nil {
		return err
	}
	for _, one := range seen.byID {
		if one.Alive() && one.Work() {
			ref := refOf(one.Tags)
			ref.Identifier = one.ID
			found.add(ref)
		}
	}
	return nil
}

// listRest finds what outlives its machine: a disk that the machine's end did
// not remove, and a spot request that has no machine yet.
func (d *driver) listRest(ctx context.Context, found *refs) error {
	volumes, err := d.api.Volumes(ctx, d.marks().And("status", "available", "error"))
	if err != nil {
		return err
	}
	for _, v := range volumes {
		if isWork(v.Tags) && v.Tags[cloud.TagToken] != "" {
			found.add(refOf(v.Tags))
		}
	}
	spots, err := d.api.SpotRequests(ctx, d.marks().And("state", "open"))
	if err != nil {
		return err
	}
	for _, s := range spots {
		if isWork(s.Tags) && s.Tags[cloud.TagToken] != "" {
			found.add(refOf(s.Tags))
		}
	}
	return nil
}

// maker is this instance of this node, as tags name it.
func (d *driver) maker() cloud.Maker { return cloud.Maker{Node: d.node.String(), Instance: d.instance} }

// marks asks for what is provably of this instance of this node.
func (d *driver) marks() cloud.Query { return d.maker().Query() }

func isWork(tags cloud.Tags) bool {
	purpose := tags[cloud.TagPurpose]
	return purpose == "" || purpose == cloud.PurposeWork
}

// refOf is what tags say of the environment that a thing belongs to.
func refOf(tags cloud.Tags) drivers.Ref {
	application, err := uuid.Parse(tags[cloud.TagApplication])
	if err != nil {
		application = model.NilUID // it is of no use, and harms nothing
	}
	return drivers.Ref{Token: tags[cloud.TagToken], ApplicationUID: application}
}
