package aws

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/policytest"
)

// readPolicy is a policy of the examples.
func readPolicy(t testing.TB, name string) policytest.Policy {
	t.Helper()
	text, err := os.ReadFile("../../examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policytest.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var small bytes.Buffer
	if err := json.Compact(&small, text); err != nil || small.Len() > 6144 {
		t.Errorf("%s has %d characters, and AWS takes 6144 of a managed policy (%v)", name, small.Len(), err)
	}
	return p
}

// needed are actions that no request of ours names, and what needs them.
func needed() map[string]string {
	const disks = "EC2 asks KMS with our permissions for disks and copies with encrypt_key"
	return map[string]string{
		"kms:CreateGrant":                     disks,
		"kms:Decrypt":                         disks,
		"kms:GenerateDataKeyWithoutPlaintext": disks,
		"kms:ReEncryptFrom":                   disks,
		"kms:ReEncryptTo":                     disks,
		"iam:PassRole":                        "iam_instance_profile: a machine gets a role",
		"iam:CreateServiceLinkedRole":         "the first spot instance of an account",
	}
}

// TestPolicyIsLeast: the policy allows what the driver can ask for and what AWS
// needs for it, and nothing else.
func TestPolicyIsLeast(t *testing.T) {
	t.Parallel()
	want := maps.Clone(needed())
	for method, actions := range cloud.Permissions() {
		for _, action := range actions {
			want[action] = method
		}
	}
	allowed := readPolicy(t, "aws-policy.json").Actions()
	for action := range allowed {
		if want[action] == "" {
			t.Errorf("%s is allowed, and nothing needs it", action)
		}
	}
	for action, why := range want {
		if !allowed[action] {
			t.Errorf("%s is not allowed, and needed: %s", action, why)
		}
	}
}

// TestPoliciesAreSound: they are what AWS reads, and say everything once.
func TestPoliciesAreSound(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"aws-policy.json", "aws-policy-v07.json"} {
		p := readPolicy(t, name)
		if p.Version != "2012-10-17" || len(p.Statement) == 0 {
			t.Errorf("%s: version %q, %d statements", name, p.Version, len(p.Statement))
		}
		once := map[string]bool{}
		for _, s := range p.Statement {
			if once[s.Sid] {
				t.Errorf("%s has two statements %s", name, s.Sid)
			}
			once[s.Sid] = true
			for _, problem := range problems(s) {
				t.Errorf("%s, %s: %s", name, s.Sid, problem)
			}
		}
	}
}

// problems are what is wrong with a statement.
func problems(s policytest.Statement) (found []string) {
	said := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if !regexp.MustCompile(`^[A-Za-z0-9]+$`).MatchString(s.Sid) || s.Effect != "Allow" {
		said("the effect is %q, and a Sid has letters and digits alone", s.Effect)
	}
	for _, list := range []policytest.List{s.Action, s.Resource} {
		if sorted := slices.Sorted(slices.Values(list)); len(list) == 0 || len(slices.Compact(sorted)) != len(list) {
			said("%v is empty or has something twice", list)
		}
	}
	action := regexp.MustCompile(`^(ec2|iam|kms|servicequotas|sts):[A-Z][A-Za-z0-9]+$`)
	for _, a := range s.Action {
		if !action.MatchString(a) {
			said("%q is no action of a service that is used, or has a wildcard", a)
		}
	}
	resource := regexp.MustCompile(`^arn:aws:(ec2:\*:\*?:[a-z-]+/\*|kms:\*:\*:key/\*|iam::\*:role/[A-Za-z0-9./-]+\*?)$`)
	for _, r := range s.Resource {
		if !resource.MatchString(r) && (r != "*" || changes(s)) {
			said("%q is no resource, or is any that may be changed", r)
		}
	}
	return found
}

// changes reports whether a statement allows more than to look.
func changes(s policytest.Statement) bool {
	return slices.ContainsFunc(s.Action, func(action string) bool {
		_, name, _ := strings.Cut(action, ":")
		return !regexp.MustCompile(`^(Describe|List|Get)`).MatchString(name)
	})
}

// TestPolicyIsBoundByTags: what changes something in EC2 is allowed for what
// has our tag, or gets it; only what a machine is made from may be anything.
func TestPolicyIsBoundByTags(t *testing.T) {
	t.Parallel()
	bounds := []string{"aws:RequestTag/" + cloud.TagNode, "aws:ResourceTag/" + cloud.TagNode}
	for _, s := range readPolicy(t, "aws-policy.json").Statement {
		if !changes(s) || !strings.HasPrefix(s.Action[0], "ec2:") {
			continue
		}
		bound := len(s.Condition["StringEquals"]["ec2:CreateAction"]) > 0
		for _, key := range bounds {
			bound = bound || slices.Equal(s.Condition["Null"][key], policytest.List{"false"})
		}
		if !bound && s.Sid != "LaunchFromWhatIsThere" {
			t.Errorf("%s is not bound by a tag", s.Sid)
		}
	}
}
