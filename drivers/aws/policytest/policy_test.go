package policytest_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/policytest"
)

func example(t *testing.T) policytest.Policy {
	t.Helper()
	return policytest.Read(t, "../../../examples/aws-policy.json")
}

// TestExampleDenies: stolen keys are good for nothing that the driver does not do.
func TestExampleDenies(t *testing.T) {
	t.Parallel()
	const mine, theirs = "arn:aws:ec2:eu-central-1:123456789012:instance/i-1", "arn:aws:ec2:eu-central-1:123456789012:volume/vol-1"
	type keys = map[string][]string
	ours := keys{"aws:ResourceTag/AquariumNode": {"n"}}
	p := example(t)
	for _, c := range []struct {
		what string
		r    policytest.Request
		want bool
	}{
		{"end a machine of ours", policytest.Request{"ec2:TerminateInstances", mine, ours}, true},
		{"end a machine of others", policytest.Request{"ec2:TerminateInstances", mine, nil}, false},
		{"delete a disk of others", policytest.Request{"ec2:DeleteVolume", theirs, keys{"aws:ResourceTag/Team": {"db"}}}, false},
		{"start without our tag", policytest.Request{"ec2:RunInstances", mine, keys{"aws:RequestTag/Team": {"ci"}}}, false},
		// A request has tags for what it makes; they say nothing of what that is made from.
		{"make an image of a machine of others", policytest.Request{"ec2:CreateImage", mine, keys{"aws:RequestTag/AquariumNode": {"n"}}}, false},
		{"copy a disk of others", policytest.Request{"ec2:CreateSnapshots", theirs, keys{"aws:RequestTag/AquariumNode": {"n"}}}, false},
		{"make an image of a machine of ours", policytest.Request{"ec2:CreateImage", mine, ours}, true},
		{"make a thing of others ours", policytest.Request{"ec2:CreateTags", theirs, keys{"aws:TagKeys": {"AquariumNode"}}}, false},
		{"give a disk of ours another owner", policytest.Request{"ec2:CreateTags", theirs, keys{"aws:ResourceTag/AquariumNode": {"n"}, "aws:TagKeys": {"Kind", "AquariumNode"}}}, false},
		{"tag a disk of ours", policytest.Request{"ec2:CreateTags", theirs, keys{"aws:ResourceTag/AquariumNode": {"n"}, "aws:TagKeys": {"Kind"}}}, true},
		{"tag a machine of ours later", policytest.Request{"ec2:CreateTags", mine, keys{"aws:ResourceTag/AquariumNode": {"n"}, "aws:TagKeys": {"Kind"}}}, false},
		{"decrypt without EC2", policytest.Request{"kms:Decrypt", "arn:aws:kms:eu-central-1:123456789012:key/1", nil}, false},
		{"pass any role", policytest.Request{"iam:PassRole", "arn:aws:iam::123456789012:role/admin", keys{"iam:PassedToService": {"ec2.amazonaws.com"}}}, false},
		{"pass a role of machines", policytest.Request{"iam:PassRole", "arn:aws:iam::123456789012:role/aquarium-ci", keys{"iam:PassedToService": {"ec2.amazonaws.com"}}}, true},
		{"make a user", policytest.Request{"iam:CreateUser", "*", nil}, false},
	} {
		if got := p.Allows(c.r); got != c.want {
			t.Errorf("%s: allowed %v, want %v", c.what, got, c.want)
		}
	}
}

// TestGuardTells of what is not allowed, and does it.
func TestGuardTells(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := fakeec2.New(fakeec2.Options{Timing: fakeec2.QuickTiming()})
		var denied []string
		api := policytest.Guard(fake, example(t), fake, func(r policytest.Request) {
			_, kind, _ := strings.Cut(r.Resource, "123456789012:")
			if !strings.HasPrefix(kind, "role/") {
				kind, _, _ = strings.Cut(kind, "/")
			}
			denied = append(denied, r.Action+" "+kind)
		})
		images, err := api.Images(t.Context(), nil, cloud.Where("name", fakeec2.LinuxImage))
		if err != nil || len(images) != 1 {
			t.Fatal(images, err)
		}
		i, err := api.RunInstance(t.Context(), cloud.Launch{ClientToken: "t", ImageID: images[0].ID, Type: "m5.large", IAMProfile: "admin"})
		if err != nil {
			t.Fatal(err)
		}
		if err := api.TerminateInstances(t.Context(), []string{i.ID}); err != nil {
			t.Fatal(err)
		}
		want := []string{"ec2:RunInstances instance", "ec2:RunInstances volume", "ec2:RunInstances network-interface", "iam:PassRole role/admin", "ec2:TerminateInstances instance"}
		if !slices.Equal(denied, want) {
			t.Errorf("told of %v, want %v", denied, want)
		}
	})
}
