package aws

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wiretest"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const keyID, secretKey = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

// site is a node and the account that it uses.
type site struct {
	*fish.Node
	ec2 *fakeec2.Cloud
	t   *testing.T
}

func newSite(t *testing.T) *site {
	t.Helper()
	ec2 := fakeec2.New(fakeec2.Options{Timing: fakeec2.QuickTiming()})
	ec2.SetQuota("L-1216C47A", 100)
	front := wiretest.Serve(t, ec2, wire.Options{Keys: map[string]string{keyID: secretKey}})
	n := fish.Start(t, fish.Options{Config: fmt.Sprintf("node_name: alpha\ndrivers: [{name: aws, cfg: {region: eu-central-1, key_id: %q, secret_key: %q, endpoint: %q}}]\n",
		keyID, secretKey, front.URL)})
	n.WaitLine("driver is ready")
	return &site{n, ec2, t}
}

// run gives a command line of the admin.
func (s *site) run(args ...string) fish.Result {
	s.t.Helper()
	password := filepath.Join(s.t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(s.AdminPassword+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return fish.Run(s.t, s.Dir, append(args, "--address", s.Address(), "--ca", "fish_data/ca.crt", "--password-file", password)...)
}

// row is the line of a table that begins with the words, its cells apart by one space.
func row(table string, words string) string {
	for line := range strings.Lines(table) {
		if text := strings.Join(strings.Fields(line), " "); strings.HasPrefix(text, words) {
			return text
		}
	}
	return ""
}

// TestOperator: who pays sees the machine of an application from its beginning
// to its end, and what is there by mistake; a secret is nowhere.
func TestOperator(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	nothing := s.run("aws", "status")
	if nothing.Code != 0 || nothing.Stdout != "" || !strings.Contains(nothing.Stderr, "aws: there is nothing of ours in eu-central-1") {
		t.Errorf("status of nothing: %+v", nothing)
	}
	app := s.CreateApplication(s.CreateLabel(fish.DriverLabel("linux", "aws", `{"image":"ci-linux-2026","instance_type":"m5.large"}`)), `{"SECRET":"hush-hush"}`)
	s.WaitStatus(app, "ALLOCATED")
	id := s.Resource(app).Identifier
	status := s.eventually("the machine is listed", id, "aws", "status")
	line := row(status.Stdout, "instance "+id)
	if !strings.Contains(line, "m5.large eu-central-1") || !strings.Contains(line, "running") || !strings.Contains(line, "alpha aws app "+app) {
		t.Errorf("the machine is %q in\n%s", line, status.Stdout)
	}
	if line := row(status.Stdout, "volume vol-"); !strings.Contains(line, "of "+id) {
		t.Errorf("its disk is %q in\n%s", line, status.Stdout)
	}
	if !strings.Contains(status.Stderr, "aws: 0.10 USD an hour") {
		t.Errorf("told %q", status.Stderr)
	}
	if json := s.run("aws", "status", "-o", "json", "--node", "alpha"); json.Code != 0 || !strings.Contains(json.Stdout, `"application": "`+app+`"`) ||
		strings.Contains(json.Stdout+status.Stdout, "hush-hush") || strings.Contains(json.Stdout, secretKey) {
		t.Errorf("as JSON: %+v", json)
	}

	if plan := s.run("aws", "sweep", "--dry-run"); plan.Code != 0 || !strings.Contains(plan.Stderr, "aws: nothing is there by mistake") {
		t.Errorf("sweep of nothing: %+v", plan)
	}
	stray, err := s.ec2.RunInstance(t.Context(), s.stray(id))
	if err != nil {
		t.Fatal(err)
	}
	plan := s.eventually("the stray is found", stray.ID, "aws", "sweep", "--dry-run")
	if line := row(plan.Stdout, "instance "+stray.ID); !strings.Contains(line, "no allocation of the node is for it stays: it is younger than 5 minutes") || strings.Contains(plan.Stdout, id) {
		t.Errorf("the plan is\n%s", plan.Stdout)
	}
	if done := s.run("aws", "sweep", "--confirm"); done.Code != 0 {
		t.Errorf("sweep: %+v", done)
	}
	if list, err := s.ec2.Instances(t.Context(), cloud.Where("instance-id", id, stray.ID).And("instance-state-name", cloud.Running)); err != nil || len(list) != 2 {
		t.Errorf("what is young, or has an owner, is swept: %v, %v", list, err)
	}

	defer s.ec2.Inject(fakeec2.Fault{Action: "DescribeVolumes", Times: -1, Err: cloud.NewError("UnauthorizedOperation", "not allowed")})()
	memory := s.eventually("its disks are told from memory", "from memory, as of ", "aws", "status")
	if line := row(memory.Stdout, "volume vol-"); line == "" || memory.Code != 0 {
		t.Errorf("from memory: %+v", memory)
	}
	if pools := s.run("aws", "pool", "list"); pools.Code != 3 || !strings.Contains(pools.Stderr, "aws of the node can not do that") {
		t.Errorf("pools of an instance without: %+v", pools)
	}
}

// stray is a launch of what nobody asked for, with the tags of a machine.
func (s *site) stray(like string) cloud.Launch {
	s.t.Helper()
	list, err := s.ec2.Instances(s.t.Context(), cloud.Where("instance-id", like))
	if err != nil || len(list) != 1 {
		s.t.Fatalf("machine %s: %v, %v", like, list, err)
	}
	tags := cloud.Tags{cloud.TagToken: strings.Repeat("0", 32), cloud.TagPurpose: cloud.PurposeWork}
	for _, key := range []string{cloud.TagNode, cloud.TagInstance} {
		tags[key] = list[0].Tags[key]
	}
	return cloud.Launch{ClientToken: "stray", ImageID: list[0].ImageID, Type: list[0].Type, SubnetID: list[0].SubnetID, Tags: tags}
}

// eventually gives a command line until what it prints has the text: one look
// serves all who look within seconds.
func (s *site) eventually(what, text string, args ...string) (last fish.Result) {
	s.t.Helper()
	fish.Eventually(s.t, what, func() bool {
		last = s.run(args...)
		return strings.Contains(last.Stdout+last.Stderr, text)
	})
	return last
}
