package fakeec2

import (
	"context"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// CreateTags implements cloud.API.
func (c *Cloud) CreateTags(ctx context.Context, ids []string, tags cloud.Tags) error {
	tags = copyTags(tags)
	return each(c, ids, func(ids []string) error {
		_, err := ask(ctx, c, "CreateTags", func(now time.Time) (struct{}, error) {
			return struct{}{}, c.tagAll(ids, tags, now)
		})
		return err
	})
}

// tagAll tags all of the things or, if one is unknown, none.
func (a *account) tagAll(ids []string, tags cloud.Tags, now time.Time) error {
	a.touch(ids...)
	if err := checkTags(tags); err != nil {
		return err
	}
	for _, id := range ids {
		if err := a.taggable(id, tags); err != nil {
			return err
		}
	}
	for _, id := range ids {
		a.tag(id, tags, now)
	}
	return nil
}

// TagsOf are the tags of a thing as they are now, and whether it is there: what
// a test sees, which is no request.
func (c *Cloud) TagsOf(id string) (cloud.Tags, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tags, found := c.tagsAt(id, c.catchUp())
	return copyTags(tags), found
}

// notFoundCodes are of the things that have tags, by the beginning of their ids.
func notFoundCodes() map[string]string {
	return map[string]string{
		"i": "InvalidInstanceID.NotFound", "vol": "InvalidVolume.NotFound", "h": "InvalidHostID.NotFound", "ami": "InvalidAMIID.NotFound",
		"snap": "InvalidSnapshot.NotFound", "sir": "InvalidSpotInstanceRequestID.NotFound", "vpc": "InvalidVpcID.NotFound",
		"subnet": "InvalidSubnetID.NotFound", "sg": "InvalidGroup.NotFound",
	}
}

func (a *account) taggable(id string, more cloud.Tags) error {
	prefix, _, _ := strings.Cut(id, "-")
	code, known := notFoundCodes()[prefix]
	if !known {
		return cloud.NewError("InvalidID", "The ID '%s' is not valid", id)
	}
	when := a.time.Add(-a.lagging())
	have, found := a.tagsAt(id, when)
	if !found {
		return cloud.NewError(code, "The ID '%s' does not exist", id)
	}
	merged := copyTags(have)
	if merged == nil {
		merged = cloud.Tags{}
	}
	for key, value := range more {
		merged[key] = value
	}
	return checkTags(merged)
}

// tagsAt are the tags of anything as they were.
func (a *account) tagsAt(id string, when time.Time) (cloud.Tags, bool) {
	switch prefix, _, _ := strings.Cut(id, "-"); prefix {
	case "i":
		i, found := a.instances.at(id, when)
		return i.Tags, found
	case "vol":
		v, found := a.volumes.at(id, when)
		return v.Tags, found
	case "h":
		h, found := a.hosts.at(id, when)
		return h.Tags, found
	case "ami":
		i, found := a.images.at(id, when)
		return i.Tags, found && i.Owner == a.opts.Account
	case "snap":
		s, found := a.snapshots.at(id, when)
		return s.Tags, found && s.Owner == a.opts.Account
	case "sir":
		s, found := a.spots.at(id, when)
		return s.Tags, found
	case "vpc":
		v, found := a.vpcs.at(id, when)
		return v.Tags, found
	case "subnet":
		s, found := a.subnets.at(id, when)
		return s.Tags, found
	}
	g, found := a.groups.at(id, when)
	return g.Tags, found
}

// tag changes the tags of anything.
func (a *account) tag(id string, more cloud.Tags, now time.Time) {
	merge := func(have *cloud.Tags) {
		merged := cloud.Tags{} // a copy: versions share no map
		for key, value := range *have {
			merged[key] = value
		}
		for key, value := range more {
			merged[key] = value
		}
		*have = merged
	}
	_ = a.instances.change(id, now, func(i *instance) { merge(&i.Tags) }) ||
		a.volumes.change(id, now, func(v *volume) { merge(&v.Tags) }) ||
		a.hosts.change(id, now, func(h *host) { merge(&h.Tags) }) ||
		a.images.change(id, now, func(i *image) { merge(&i.Tags) }) ||
		a.snapshots.change(id, now, func(s *snapshot) { merge(&s.Tags) }) ||
		a.spots.change(id, now, func(s *spot) { merge(&s.Tags) }) ||
		a.vpcs.change(id, now, func(v *cloud.VPC) { merge(&v.Tags) }) ||
		a.subnets.change(id, now, func(s *subnet) { merge(&s.Tags) }) ||
		a.groups.change(id, now, func(g *cloud.SecurityGroup) { merge(&g.Tags) })
}
