package awssdk_test

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloudtest"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wiretest"
)

// everyMethod asks each method for something. That most of it does not exist
// does not matter: the request is sent.
func everyMethod() map[string]func(context.Context, cloud.API) {
	tags := cloud.Tags{cloud.TagNode: "n"}
	const instance, image, snapshot = "i-0123456789abcdef0", "ami-0123456789abcdef0", "snap-0123456789abcdef0"
	type asked = func(context.Context, cloud.API)
	return map[string]asked{
		"Identity": func(ctx context.Context, a cloud.API) { _, _ = a.Identity(ctx) },
		"RunInstance": func(ctx context.Context, a cloud.API) {
			_, _ = a.RunInstance(ctx, cloud.Launch{ClientToken: "t", ImageID: image, Type: "m5.large", SubnetID: "subnet-0123456789abcdef0", Tags: tags, Spot: true, IAMProfile: "ci"})
		},
		"Instances":          func(ctx context.Context, a cloud.API) { _, _ = a.Instances(ctx, cloud.Query{}) },
		"StopInstance":       func(ctx context.Context, a cloud.API) { _ = a.StopInstance(ctx, instance, cloud.Stop{}) },
		"StartInstance":      func(ctx context.Context, a cloud.API) { _ = a.StartInstance(ctx, instance) },
		"TerminateInstances": func(ctx context.Context, a cloud.API) { _ = a.TerminateInstances(ctx, []string{instance}) },
		"AllocateHost": func(ctx context.Context, a cloud.API) {
			_, _ = a.AllocateHost(ctx, cloud.HostRequest{ClientToken: "t", Type: "mac2.metal", Zone: region + "a", Tags: tags})
		},
		"Hosts":        func(ctx context.Context, a cloud.API) { _, _ = a.Hosts(ctx, cloud.Query{}) },
		"ReleaseHosts": func(ctx context.Context, a cloud.API) { _, _, _ = a.ReleaseHosts(ctx, []string{"h-0123456789abcdef0"}) },
		"MacHosts":     func(ctx context.Context, a cloud.API) { _, _ = a.MacHosts(ctx, cloud.Query{}) },
		"Images":       func(ctx context.Context, a cloud.API) { _, _ = a.Images(ctx, []string{"self"}, cloud.Query{}) },
		"CreateImage": func(ctx context.Context, a cloud.API) {
			_, _ = a.CreateImage(ctx, cloud.ImageRequest{InstanceID: instance, Name: "one", Tags: tags})
		},
		"CopyImage": func(ctx context.Context, a cloud.API) {
			_, _ = a.CopyImage(ctx, cloud.ImageCopy{ClientToken: "t", SourceID: image, Name: "two", KeyID: "alias/ci", Tags: tags})
		},
		"DeregisterImage": func(ctx context.Context, a cloud.API) { _ = a.DeregisterImage(ctx, image) },
		"Snapshots":       func(ctx context.Context, a cloud.API) { _, _ = a.Snapshots(ctx, []string{"self"}, cloud.Query{}) },
		"CreateSnapshots": func(ctx context.Context, a cloud.API) {
			_, _ = a.CreateSnapshots(ctx, cloud.SnapshotsRequest{InstanceID: instance, Tags: tags})
		},
		"DeleteSnapshot":     func(ctx context.Context, a cloud.API) { _ = a.DeleteSnapshot(ctx, snapshot) },
		"Volumes":            func(ctx context.Context, a cloud.API) { _, _ = a.Volumes(ctx, cloud.Query{}) },
		"DeleteVolume":       func(ctx context.Context, a cloud.API) { _ = a.DeleteVolume(ctx, "vol-0123456789abcdef0") },
		"CreateTags":         func(ctx context.Context, a cloud.API) { _ = a.CreateTags(ctx, []string{instance}, tags) },
		"SpotRequests":       func(ctx context.Context, a cloud.API) { _, _ = a.SpotRequests(ctx, cloud.Query{}) },
		"CancelSpotRequests": func(ctx context.Context, a cloud.API) { _ = a.CancelSpotRequests(ctx, []string{"sir-01234567"}) },
		"VPCs":               func(ctx context.Context, a cloud.API) { _, _ = a.VPCs(ctx, cloud.Query{}) },
		"Subnets":            func(ctx context.Context, a cloud.API) { _, _ = a.Subnets(ctx, cloud.Query{}) },
		"SecurityGroups":     func(ctx context.Context, a cloud.API) { _, _ = a.SecurityGroups(ctx, cloud.Query{}) },
		"InstanceTypes":      func(ctx context.Context, a cloud.API) { _, _ = a.InstanceTypes(ctx, []string{"m5.large"}) },
		"Offerings":          func(ctx context.Context, a cloud.API) { _, _ = a.Offerings(ctx, []string{"m5.large"}) },
		"Quotas":             func(ctx context.Context, a cloud.API) { _, _ = a.Quotas(ctx) },
		"Key":                func(ctx context.Context, a cloud.API) { _, _ = a.Key(ctx, "alias/ci") },
	}
}

// TestPermissions: a method asks for what cloud.Permissions says, and for
// nothing else.
func TestPermissions(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, cloudtest.Fake(t).API, wire.Options{Region: region, Keys: map[string]string{keyID: secret}})
	api := dial(t, server.URL)
	methods := everyMethod()
	for method, want := range cloud.Permissions() {
		do := methods[method]
		if do == nil {
			t.Fatalf("%s is not tried", method)
		}
		server.Forget()
		do(t.Context(), api)
		if got := slices.Sorted(maps.Keys(server.Permissions())); !slices.Equal(got, want) {
			t.Errorf("%s needs %v, want %v", method, got, want)
		}
	}
}
