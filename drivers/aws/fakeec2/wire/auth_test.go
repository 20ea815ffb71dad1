package wire_test

import (
	"html"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wiretest"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// TestSignatures lets botocore sign with what is right and wrong.
func TestSignatures(t *testing.T) {
	calls := []call{
		ec2("DescribeVpcs", nil), {Service: "sts", Operation: "GetCallerIdentity"},
		{Service: "kms", Operation: "ListAliases"}, {Service: "service-quotas", Operation: "ListServiceQuotas", Params: object{"ServiceCode": "ec2"}},
	}
	cases := []struct {
		name    string
		options wire.Options
		codes   string
		status  []int
	}{
		{"unknown key", wire.Options{Keys: map[string]string{"AKIDOTHER": secret}},
			"AuthFailure InvalidClientTokenId UnrecognizedClientException UnrecognizedClientException", []int{401, 403, 400, 400}},
		{"other secret", wire.Options{Keys: map[string]string{keyID: secret + "x"}},
			"SignatureDoesNotMatch SignatureDoesNotMatch InvalidSignatureException InvalidSignatureException", []int{403, 403, 400, 400}},
		{"other region", wire.Options{Keys: map[string]string{keyID: secret}, Region: "us-east-1"},
			"SignatureDoesNotMatch SignatureDoesNotMatch InvalidSignatureException InvalidSignatureException", []int{403, 403, 400, 400}},
	}
	var all []call
	for _, tt := range cases {
		for _, c := range calls {
			c.Endpoint = wiretest.Serve(t, newWorld(), tt.options).URL
			all = append(all, c)
		}
	}
	outcomes := botocore(t, wiretest.Serve(t, newWorld(), wire.Options{}), all...)
	for i, tt := range cases {
		for j, c := range calls {
			got := outcomes[i*len(calls)+j]
			if want := strings.Fields(tt.codes)[j]; got.Code != want || got.Status != tt.status[j] {
				t.Errorf("%s: %s is answered with %s (%d), want %s (%d)", tt.name, c.Operation, got.Code, got.Status, want, tt.status[j])
			}
		}
	}
}

// TestUnsigned is of a server that wants signatures, and a request without.
func TestUnsigned(t *testing.T) {
	status, body := post(t, serve(t, newWorld(), wire.Options{}).URL, "Action", "DescribeVpcs")
	if status != 401 || !strings.Contains(body, "<Code>AuthFailure</Code>") {
		t.Errorf("answered with %d %s", status, body)
	}
}

// TestHeaders is of what an Authorization header says before its signature.
func TestHeaders(t *testing.T) {
	h := wire.New(newWorld(), wire.Options{Region: region, Keys: map[string]string{keyID: secret}})
	all := func(key, region, service, headers, token string) http.Header {
		header := formHeader()
		header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+key+"/20260203/"+region+"/"+service+"/aws4_request, SignedHeaders="+headers+", Signature=00ff")
		header.Set("X-Amz-Security-Token", token)
		return header
	}
	role := wire.AssumeRole(h, time.Hour)
	for _, tt := range []struct {
		name   string
		header http.Header
		want   string
	}{
		{"other region", all(keyID, "us-east-1", "ec2", "host", ""), "a valid region"},
		{"other service", all(keyID, region, "sts", "host", ""), "correct service: 'ec2'"},
		{"other key", all("AKIDX", region, "ec2", "host", ""), "AuthFailure"},
		{"host is not signed", all(keyID, region, "ec2", "x-amz-date", ""), "'Host' must be"},
		{"signature", all(keyID, region, "ec2", "host", ""), "SignatureDoesNotMatch"},
		{"role without token", all(role.KeyID, region, "ec2", "host", ""), "AuthFailure"},
		{"role with other token", all(role.KeyID, region, "ec2", "host", role.Token+"x"), "AuthFailure"},
		{"role", all(role.KeyID, region, "ec2", "host", role.Token), "SignatureDoesNotMatch"},
		{"no scope", http.Header{"Content-Type": formHeader()["Content-Type"], "Authorization": {"AWS4-HMAC-SHA256 Credential=" + keyID}}, "AuthFailure"},
		{"other algorithm", http.Header{"Content-Type": formHeader()["Content-Type"], "Authorization": {"Basic eDp5"}}, "AuthFailure"},
	} {
		w := ask(h, tt.header, "Action=DescribeVpcs&Version=2016-11-15")
		if w.Code == 200 || !strings.Contains(html.UnescapeString(w.Body.String()), tt.want) {
			t.Errorf("%s: %d %s, want %s", tt.name, w.Code, w.Body, tt.want)
		}
	}
}

// TestRoles is of the credentials that AssumeRole gives.
func TestRoles(t *testing.T) {
	now := time.Date(2026, 2, 28, 23, 30, 0, 0, time.UTC)
	s := serve(t, newWorld(), wire.Options{Now: func() time.Time { return now }})
	role := 0
	add(t, s, wire.Fault{Action: "DescribeSubnets", Hook: func(wire.Call) { now = now.Add(15 * time.Minute) }})
	got := botocore(t, s,
		call{Service: "sts", Operation: "AssumeRole", Params: object{"RoleArn": "arn:aws:iam::777:role/ci/fish", "RoleSessionName": "node1", "DurationSeconds": 900, "ExternalId": "ours"}},
		call{Service: "ec2", Operation: "DescribeVpcs", As: &role},
		call{Service: "sts", Operation: "GetCallerIdentity", As: &role},
		call{Service: "kms", Operation: "ListAliases", As: &role},
		call{Service: "ec2", Operation: "DescribeSubnets", As: &role}, // the clock is turned before
	)
	const arn = "arn:aws:sts::777:assumed-role/fish/node1"
	given := got[0].Result["Credentials"].(object)
	if given["Expiration"] != "2026-02-28T23:45:00.000000Z" || got[0].Result["AssumedRoleUser"].(object)["Arn"] != arn || len(got[0].Unknown) > 0 {
		t.Errorf("AssumeRole is answered with %+v", got[0])
	}
	for i, c := range got[:4] {
		if c.Code != "" {
			t.Errorf("call %d with the role is refused: %s", i, c.Code)
		}
	}
	if who := got[2].Result; who["Arn"] != arn || who["Account"] != "777" {
		t.Errorf("who has the role is %v", who)
	}
	if got[4].Code != "RequestExpired" {
		t.Errorf("credentials that expired: %+v", got[4])
	}
}

// TestCLI runs aws itself: its own words, pages that it turns, and a waiter.
func TestCLI(t *testing.T) {
	needs.Unhurried(t, "starts aws three times")
	aws := python(t)
	w := newWorld()
	w.volumes = volumes(45)
	s := serve(t, w, wire.Options{})
	for _, tt := range []struct{ name, args, want string }{
		{"pages", "ec2 describe-volumes --query length(Volumes) --output json", "45\n"},
		{"waiter", "ec2 wait instance-running --instance-ids i-1", ""},
		{"error", "ec2 describe-images --image-ids ami-x", "\nAn error occurred (InvalidAMIID.NotFound) when calling the DescribeImages operation: The ID 'ami-x' does not exist\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(aws, append([]string{"-m", "awscli"}, strings.Fields(tt.args)...)...)
			cmd.Env = wiretest.Environment(s.URL, region, keyID, secret)
			out, err := cmd.CombinedOutput()
			if string(out) != tt.want && !strings.HasSuffix(string(out), tt.want+"\n") {
				t.Errorf("aws %s says %q (%v), want %q", tt.args, out, err, tt.want)
			}
		})
	}
}

// TestEnvironment: nothing of the user's own is left for a client.
func TestEnvironment(t *testing.T) {
	t.Setenv("AWS_PROFILE", "production")
	t.Setenv("AWS_SESSION_TOKEN", "mine")
	t.Setenv("HTTPS_PROXY", "http://proxy.example")
	for _, variable := range wiretest.Environment("http://127.0.0.1:1", region, keyID, secret) {
		if strings.Contains(variable, "production") || strings.Contains(variable, "=mine") || strings.Contains(variable, "proxy.example") {
			t.Errorf("%s is left", variable)
		}
	}
}
