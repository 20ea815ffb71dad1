package policytest

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Things are what a guard has to know of the account; fakeec2.Cloud does.
type Things interface {
	// TagsOf are the tags of a thing, and whether it is there.
	TagsOf(id string) (cloud.Tags, bool)
	// Instance and Image are a thing as it is, and whether it is there.
	Instance(id string) (cloud.Instance, bool)
	Image(id string) (cloud.Image, bool)
}

// Guard is an API that tells of each request that the policy does not allow.
// The request is done all the same. What is asked of AWS for each of them is
// that of its Service Authorization Reference.
func Guard(api cloud.API, p Policy, things Things, denied func(Request)) cloud.API {
	return &guard{api, p, things, denied}
}

type guard struct {
	cloud.API
	policy Policy
	things Things
	denied func(Request)
}

// The condition keys of tags.
const (
	requestTag  = "aws:RequestTag/"
	resourceTag = "aws:ResourceTag/"
	tagKeys     = "aws:TagKeys"
)

func (g *guard) ask(action, resource string, keys map[string][]string) {
	if r := (Request{action, resource, keys}); !g.policy.Allows(r) {
		g.denied(r)
	}
}

// arn is that of a thing; images and snapshots are of no account in it.
func arn(kind, id string) string {
	if kind == "image" || kind == "snapshot" {
		return "arn:aws:ec2:eu-central-1::" + kind + "/" + id
	}
	return "arn:aws:ec2:eu-central-1:123456789012:" + kind + "/" + id
}

// kinds are the names of kinds of things by the beginning of their ids.
func kinds() map[string]string {
	return map[string]string{"i": "instance", "vol": "volume", "h": "dedicated-host", "ami": "image", "snap": "snapshot",
		"sir": "spot-instances-request", "subnet": "subnet", "sg": "security-group"}
}

// made asks for the making of a thing of each kind, and for its tags.
func (g *guard) made(action string, tags cloud.Tags, of ...string) {
	keys := map[string][]string{tagKeys: slices.Sorted(maps.Keys(tags))}
	for key, value := range tags {
		keys[requestTag+key] = []string{value}
	}
	for _, kind := range of {
		g.ask("ec2:"+action, arn(kind, "*"), keys)
		if len(tags) > 0 {
			tagging := maps.Clone(keys)
			tagging["ec2:CreateAction"] = []string{action}
			g.ask("ec2:CreateTags", arn(kind, "*"), tagging)
		}
	}
}

// used asks for the use of things that are there. Of what is not, AWS says so
// or denies it, and the driver lives with both.
func (g *guard) used(action string, more map[string][]string, ids ...string) {
	for _, id := range ids {
		tags, there := g.things.TagsOf(id)
		if !there {
			continue
		}
		keys := map[string][]string{}
		maps.Copy(keys, more)
		for key, value := range tags {
			keys[resourceTag+key] = []string{value}
		}
		prefix, _, _ := strings.Cut(id, "-")
		g.ask("ec2:"+action, arn(kinds()[prefix], id), keys)
	}
}

// encrypted asks for what EC2 asks KMS for in our name.
func (g *guard) encrypted(key string) {
	if key == "" {
		return
	}
	keys := map[string][]string{"kms:ViaService": {"ec2.eu-central-1.amazonaws.com"}, "kms:GrantIsForAWSResource": {"true"}}
	for _, action := range []string{"CreateGrant", "Decrypt", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"} {
		g.ask("kms:"+action, key, keys)
	}
}

// RunInstance implements cloud.API.
func (g *guard) RunInstance(ctx context.Context, l cloud.Launch) (cloud.Instance, error) {
	const action = "RunInstances"
	g.made(action, l.Tags, "instance", "volume", "network-interface")
	if l.Spot {
		g.made(action, l.Tags, "spot-instances-request")
		g.ask("iam:CreateServiceLinkedRole", "arn:aws:iam::123456789012:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot",
			map[string][]string{"iam:AWSServiceName": {"spot.amazonaws.com"}})
	}
	g.used(action, nil, append([]string{l.ImageID, l.SubnetID}, l.SecurityGroupIDs...)...)
	for _, d := range l.Disks {
		g.used(action, nil, d.SnapshotID)
		g.encrypted(d.KeyID)
	}
	if l.IAMProfile != "" { // its role, which in tests has the same name
		name := l.IAMProfile[strings.LastIndex(l.IAMProfile, "/")+1:]
		g.ask("iam:PassRole", "arn:aws:iam::123456789012:role/"+name, map[string][]string{"iam:PassedToService": {"ec2.amazonaws.com"}})
	}
	return g.API.RunInstance(ctx, l)
}

// StopInstance implements cloud.API.
func (g *guard) StopInstance(ctx context.Context, id string, how cloud.Stop) error {
	g.used("StopInstances", nil, id)
	return g.API.StopInstance(ctx, id, how)
}

// StartInstance implements cloud.API.
func (g *guard) StartInstance(ctx context.Context, id string) error {
	g.used("StartInstances", nil, id)
	return g.API.StartInstance(ctx, id)
}

// TerminateInstances implements cloud.API.
func (g *guard) TerminateInstances(ctx context.Context, ids []string) error {
	g.used("TerminateInstances", nil, ids...)
	return g.API.TerminateInstances(ctx, ids)
}

// AllocateHost implements cloud.API.
func (g *guard) AllocateHost(ctx context.Context, r cloud.HostRequest) (string, error) {
	g.made("AllocateHosts", r.Tags, "dedicated-host")
	return g.API.AllocateHost(ctx, r)
}

// ReleaseHosts implements cloud.API.
func (g *guard) ReleaseHosts(ctx context.Context, ids []string) ([]string, map[string]*cloud.Error, error) {
	g.used("ReleaseHosts", nil, ids...)
	return g.API.ReleaseHosts(ctx, ids)
}

// CreateImage implements cloud.API.
func (g *guard) CreateImage(ctx context.Context, r cloud.ImageRequest) (string, error) {
	g.made("CreateImage", r.Tags, "image", "snapshot")
	g.used("CreateImage", nil, r.InstanceID)
	return g.API.CreateImage(ctx, r)
}

// CopyImage implements cloud.API.
func (g *guard) CopyImage(ctx context.Context, r cloud.ImageCopy) (string, error) {
	g.made("CopyImage", r.Tags, "image", "snapshot")
	g.used("CopyImage", nil, r.SourceID)
	g.encrypted(r.KeyID)
	return g.API.CopyImage(ctx, r)
}

// DeregisterImage implements cloud.API.
func (g *guard) DeregisterImage(ctx context.Context, id string) error {
	g.used("DeregisterImage", nil, id)
	image, _ := g.things.Image(id)
	for _, d := range image.Disks { // which go with it
		g.used("DeleteSnapshot", nil, d.SnapshotID)
	}
	return g.API.DeregisterImage(ctx, id)
}

// CreateSnapshots implements cloud.API.
func (g *guard) CreateSnapshots(ctx context.Context, r cloud.SnapshotsRequest) ([]cloud.Snapshot, error) {
	g.made("CreateSnapshots", r.Tags, "snapshot")
	i, _ := g.things.Instance(r.InstanceID)
	g.used("CreateSnapshots", nil, append(slices.Sorted(maps.Values(i.Volumes)), r.InstanceID)...)
	return g.API.CreateSnapshots(ctx, r)
}

// DeleteSnapshot implements cloud.API.
func (g *guard) DeleteSnapshot(ctx context.Context, id string) error {
	g.used("DeleteSnapshot", nil, id)
	return g.API.DeleteSnapshot(ctx, id)
}

// DeleteVolume implements cloud.API.
func (g *guard) DeleteVolume(ctx context.Context, id string) error {
	g.used("DeleteVolume", nil, id)
	return g.API.DeleteVolume(ctx, id)
}

// CreateTags implements cloud.API.
func (g *guard) CreateTags(ctx context.Context, ids []string, tags cloud.Tags) error {
	g.used("CreateTags", map[string][]string{tagKeys: slices.Sorted(maps.Keys(tags))}, ids...)
	return g.API.CreateTags(ctx, ids, tags)
}

// CancelSpotRequests implements cloud.API.
func (g *guard) CancelSpotRequests(ctx context.Context, ids []string) error {
	g.used("CancelSpotInstanceRequests", nil, ids...)
	return g.API.CancelSpotRequests(ctx, ids)
}
