package aws

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wiretest"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/policytest"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const examples = "../../examples"

func example(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examples, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// furnish makes what the examples name.
func furnish(ec2 *fakeec2.Cloud) {
	for _, quota := range []string{"L-1216C47A", "L-34B43A08", "L-5D8DADF5"} { // on demand, spot, hosts of mac2
		ec2.SetQuota(quota, 100)
	}
	for _, name := range []string{"m7i.large", "m6i.large"} {
		ec2.AddType(cloud.InstanceType{Name: name, VCPUs: 2, MemoryMB: 8192, Architectures: []string{"x86_64"}, SpotUsable: true, MaxDisks: 28})
	}
	vpc := ec2.AddVPC(cloud.VPC{})
	for _, zone := range ec2.Zones() {
		ec2.AddSubnet(fakeec2.SubnetSpec{VPCID: vpc, Zone: zone, Tags: cloud.Tags{"Env": "ci"}})
	}
	ec2.AddSecurityGroup(cloud.SecurityGroup{Name: "ci", VPCID: vpc})
	ec2.AddKey("alias/ci")
	ec2.AddSnapshot(fakeec2.SnapshotSpec{SizeGB: 40, Tags: cloud.Tags{"Cache": "maven"}})
}

// TestExamples: a node with the config of the examples, as it is, and with the
// keys in its environment, gives what their labels ask for, tells where the money
// goes, and needs no more than the policy of the examples.
func TestExamples(t *testing.T) {
	t.Parallel()
	ec2 := fakeec2.New(fakeec2.Options{Timing: fakeec2.QuickTiming()})
	furnish(ec2)
	front := wiretest.Serve(t, ec2, wire.Options{Keys: map[string]string{keyID: secretKey}})
	n := fish.Start(t, fish.Options{
		Config: example(t, "aws/config.yml"), Flags: []string{"--api", "127.0.0.1:0"},
		Env: []string{"AWS_ENDPOINT_URL=" + front.URL, "AWS_ACCESS_KEY_ID=" + keyID, "AWS_SECRET_ACCESS_KEY=" + secretKey},
	})
	s := &site{n, ec2, t}
	for _, name := range []string{"aws/label-linux.yml", "aws/label-mac.yml"} {
		if made := s.run("label", "apply", "-f", abs(t, name)); made.Code != 0 {
			t.Fatalf("%s: %+v", name, made)
		}
	}
	for _, label := range []string{"linux-build", "mac-build"} {
		if run := s.run("app", "run", label, "--metadata-file", abs(t, "aws/application.yml"), "--wait", "--timeout", "1m"); run.Code != 0 {
			t.Fatalf("%s: %+v", label, run)
		}
	}
	s.looksAsExplained()
	for app := range strings.FieldsSeq(s.run("app", "list", "-o", "name").Stdout) {
		if done := s.run("app", "deallocate", app, "--wait", "--timeout", "1m"); done.Code != 0 {
			t.Errorf("give back %s: %+v", app, done)
		}
	}
	if left, err := ec2.Instances(t.Context(), cloud.Where("instance-state-name", cloud.Pending, cloud.Running)); err != nil || len(left) != 0 {
		t.Errorf("machines are left: %v, %v", left, err)
	}
	if drained := s.run("aws", "pool", "drain", "mac", "--instance", "aws/mac"); drained.Code != 0 {
		t.Errorf("drain: %+v", drained)
	}
	withinPolicy(t, front)
}

// looksAsExplained compares what was made with what the labels say.
func (s *site) looksAsExplained() {
	s.t.Helper()
	list, err := s.ec2.Instances(s.t.Context(), cloud.Where("tag-key", cloud.TagNode))
	if err != nil || len(list) != 2 {
		s.t.Fatalf("machines: %v, %v", list, err)
	}
	slices.SortFunc(list, func(a, b cloud.Instance) int { return strings.Compare(a.Type, b.Type) })
	linux, mac := list[0], list[1]
	if !linux.Spot || linux.Tags["Team"] != "ci" || linux.Tags["Purpose"] != "build" || len(linux.Volumes) != 2 {
		s.t.Errorf("the machine of label-linux.yml: %+v", linux)
	}
	cache, _ := s.ec2.TagsOf(linux.Volumes["/dev/sdf"])
	if cache["Kind"] != "cache" || cache[cloud.TagNode] == "" {
		s.t.Errorf("its second disk has the tags %v", cache)
	}
	if mac.Type != "mac2.metal" || mac.HostID == "" || mac.Tags[cloud.TagPool] != "mac" {
		s.t.Errorf("the machine of label-mac.yml: %+v", mac)
	}
	status := s.eventually("the host is listed", mac.HostID, "aws", "status", "--instance", "aws/mac")
	if line := row(status.Stdout, "host "+mac.HostID); !strings.Contains(line, "mac2.metal") {
		s.t.Errorf("the host is %q in\n%s", line, status.Stdout)
	}
}

// withinPolicy: each action that was asked for is allowed for something. Which
// things, the driver's own tests try.
func withinPolicy(t *testing.T, front *wiretest.Server) {
	t.Helper()
	policy, err := policytest.Parse([]byte(example(t, "aws-policy.json")))
	if err != nil {
		t.Fatal(err)
	}
	allowed, asked := policy.Actions(), slices.Sorted(maps.Keys(front.Permissions()))
	if len(asked) < 15 {
		t.Errorf("asked for %v alone: the node is no good as a test", asked)
	}
	for _, action := range asked {
		if !allowed[action] {
			t.Errorf("%s is not allowed by examples/aws-policy.json", action)
		}
	}
}

func abs(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(examples, name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}
