package aws

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// catalog is what names are looked up in.
type catalog interface {
	Images(ctx context.Context, owners []string, q cloud.Query) ([]cloud.Image, error)
	Snapshots(ctx context.Context, owners []string, q cloud.Query) ([]cloud.Snapshot, error)
	SecurityGroups(ctx context.Context, q cloud.Query) ([]cloud.SecurityGroup, error)
	Key(ctx context.Context, name string) (arn string, err error)
}

// resolver finds what labels name, among what the trusted accounts own.
type resolver struct {
	api    catalog
	owners []string // accounts, the own one first

	images    memo[cloud.Image]
	snapshots memo[cloud.Snapshot]
	groups    memo[[]cloud.SecurityGroup]
	keys      memo[string]
}

// query is by id, by tag, or by name.
func (n named) query(id, name string) cloud.Query {
	switch {
	case n.id != "":
		return cloud.Where(id, n.id)
	case n.key != "":
		return cloud.Where("tag:"+n.key, n.value)
	}
	return cloud.Where(name, n.name)
}

// String is what the label says.
func (n named) String() string {
	if n.key != "" {
		return n.key + ":" + n.value
	}
	return n.id + n.name
}

// nothing is the error about what was not found.
func (r *resolver) nothing(option string, n fmt.Stringer, what string) error {
	return labelError{fmt.Errorf("%s: %s %q is not there, in none of the trusted accounts (%s): add its owner to account_ids, or correct the label",
		option, what, n, strings.Join(r.owners, ", "))}
}

// image is the newest available one of those that are meant.
func (r *resolver) image(ctx context.Context, n named) (cloud.Image, error) {
	return r.images.get(n.String(), func() (cloud.Image, error) {
		found, err := r.api.Images(ctx, r.owners, n.query("image-id", "name"))
		if err != nil {
			return cloud.Image{}, fmt.Errorf("look for image %s: %w", n, notLabel(err))
		}
		found = slices.DeleteFunc(found, func(i cloud.Image) bool {
			return i.State != cloud.ImageAvailable || !r.trusts(i.Owner) || isStep(i.Tags)
		})
		if len(found) == 0 {
			return cloud.Image{}, r.nothing("option image", n, "an available image")
		}
		return slices.MaxFunc(found, func(a, b cloud.Image) int {
			return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
		}), nil
	})
}

// snapshot is the newest completed one of those that are meant.
func (r *resolver) snapshot(ctx context.Context, n named) (cloud.Snapshot, error) {
	return r.snapshots.get(n.String(), func() (cloud.Snapshot, error) {
		found, err := r.api.Snapshots(ctx, r.owners, n.query("snapshot-id", ""))
		if err != nil {
			return cloud.Snapshot{}, fmt.Errorf("look for snapshot %s: %w", n, notLabel(err))
		}
		found = slices.DeleteFunc(found, func(s cloud.Snapshot) bool {
			return s.State != cloud.SnapshotCompleted || !r.trusts(s.Owner) || isStep(s.Tags)
		})
		if len(found) == 0 {
			return cloud.Snapshot{}, r.nothing("clone", n, "a completed snapshot")
		}
		return slices.MaxFunc(found, func(a, b cloud.Snapshot) int {
			return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
		}), nil
	})
}

// group is a security group by its id or its name, in each VPC that has one.
func (r *resolver) group(ctx context.Context, name string) (map[string]string, error) {
	groups, err := r.groups.get(name, func() ([]cloud.SecurityGroup, error) {
		q := cloud.Where("group-name", name)
		if strings.HasPrefix(name, "sg-") {
			q = cloud.Where("group-id", name)
		}
		found, err := r.api.SecurityGroups(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("look for security group %s: %w", name, notLabel(err))
		}
		found = slices.DeleteFunc(found, func(g cloud.SecurityGroup) bool { return !r.trusts(g.Owner) })
		if len(found) == 0 {
			return nil, r.nothing("option security_group", named{name: name}, "a security group")
		}
		return found, nil
	})
	ids := map[string]string{}
	for _, g := range groups {
		ids[g.VPCID] = g.ID
	}
	return ids, err
}

// key is an encryption key's ARN.
func (r *resolver) key(ctx context.Context, name string) (string, error) {
	return r.keys.get(name, func() (string, error) {
		arn, err := r.api.Key(ctx, name)
		if cloud.IsKind(err, cloud.NotFound, cloud.Refused) {
			return "", labelError{fmt.Errorf("option encrypt_key: there is no key %q that these credentials see: %w", name, err)}
		}
		if err != nil {
			return "", fmt.Errorf("look for key %s: %w", name, err)
		}
		return arn, nil
	})
}

// isStep reports whether a thing is no result of a task yet, and may go soon.
func isStep(tags cloud.Tags) bool { return tags[cloud.TagPurpose] == cloud.PurposeStep }

// trusts reports whether things of an account may be used. EC2 was asked for the
// trusted ones only; this is for what it says all the same.
func (r *resolver) trusts(owner string) bool { return owner == "" || slices.Contains(r.owners, owner) }

// notLabel marks what EC2 says of a malformed id as the label's fault.
func notLabel(err error) error {
	if cloud.IsKind(err, cloud.Refused, cloud.NotFound) {
		return labelError{err}
	}
	return err
}
