package awssdk

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

func TestOneClientForTheSame(t *testing.T) {
	d := NewDialer(Options{HTTP: &script{t: t}})
	base := cloud.Settings{Region: "eu-central-1", KeyID: "AKIDEXAMPLE", SecretKey: secret}
	var wg sync.WaitGroup
	apis := make([]cloud.API, 8)
	for i := range apis {
		wg.Go(func() { apis[i], _ = d.Dial(context.Background(), base) })
	}
	wg.Wait()
	for _, a := range apis {
		if a == nil || a != apis[0] {
			t.Fatal("the same settings gave two clients, or none")
		}
	}
	for name, change := range map[string]func(*cloud.Settings){
		"region":   func(s *cloud.Settings) { s.Region = "eu-west-1" },
		"key":      func(s *cloud.Settings) { s.KeyID = "AKIDOTHER" },
		"secret":   func(s *cloud.Settings) { s.SecretKey = "other" },
		"role":     func(s *cloud.Settings) { s.AssumeRole = "arn:aws:iam::123456789012:role/x" },
		"endpoint": func(s *cloud.Settings) { s.Endpoint = "http://127.0.0.1:1" },
	} {
		s := base
		change(&s)
		if a, err := d.Dial(context.Background(), s); err != nil || a == apis[0] {
			t.Errorf("another %s: the same client, or %v", name, err)
		}
	}
	if _, err := d.Dial(context.Background(), cloud.Settings{}); err == nil {
		t.Error("settings of nothing were taken")
	}
}

// TestDialAsksNobody: not even the machine, although it is where credentials
// would come from.
func TestDialAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, answer: always(&reply{refused: true})}
		c, err := NewDialer(Options{HTTP: s}).Dial(context.Background(), cloud.Settings{Region: "eu-central-1"})
		if err != nil || len(s.sent) != 0 {
			t.Fatalf("Dial() = %v after %d requests", err, len(s.sent))
		}
		// Without credentials there is no request to EC2, and so nothing done.
		_, err = c.RunInstance(context.Background(), launch())
		if err == nil || !cloud.Undone(err) {
			t.Errorf("RunInstance() = %v, want that nothing was done", err)
		}
		for _, r := range s.sent {
			if r.host != "169.254.169.254" {
				t.Errorf("%s was asked", r.host)
			}
		}
	})
}

// TestNoMachineIsAsked: what tests set keeps them from the machine's own credentials.
func TestNoMachineIsAsked(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	s := &script{t: t, answer: always(&reply{refused: true})}
	c, err := NewDialer(Options{HTTP: s}).Dial(context.Background(), cloud.Settings{Region: "eu-central-1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Identity(context.Background()); err == nil || !cloud.Undone(err) || len(s.sent) != 0 {
		t.Errorf("Identity() = %v after %d requests", err, len(s.sent))
	}
}

// TestAKeyOfOurOwnNeedsNoFiles: broken files of other tools are no matter of ours.
func TestAKeyOfOurOwnNeedsNoFiles(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(broken, []byte("[profile x\nregion"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", broken)
	t.Setenv("AWS_PROFILE", "not-there")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDOFSOMEBODY")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "other")
	t.Setenv("AWS_ENDPOINT_URL_EC2", "http://192.0.2.1")
	s := &script{t: t, answer: always(success("DescribeInstances", ""))}
	c, err := NewDialer(Options{HTTP: s}).Dial(context.Background(), cloud.Settings{
		Region: "eu-central-1", KeyID: "AKIDEXAMPLE", SecretKey: secret, Endpoint: "http://127.0.0.1:5000",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Instances(context.Background(), cloud.Query{}); err != nil {
		t.Fatal(err)
	}
	r := s.sent[0]
	if auth := r.header.Get("Authorization"); r.host != "127.0.0.1:5000" || !strings.Contains(auth, "Credential=AKIDEXAMPLE/") {
		t.Errorf("asked %s as %s", r.host, auth)
	}
	if agent := r.header.Get("User-Agent"); !strings.Contains(agent, application) {
		t.Errorf("the user agent is %q", agent)
	}
}

// TestEndpointsOfTheEnvironment: the same variables count with a key of our own
// as without, and the settings before them.
func TestEndpointsOfTheEnvironment(t *testing.T) {
	for _, tt := range []struct {
		name     string
		env      map[string]string
		endpoint string
		want     string
	}{
		{"none", nil, "", "ec2.eu-central-1.amazonaws.com"},
		{"of all", map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "", "127.0.0.1:1"},
		{"of EC2", map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:2"}, "", "127.0.0.1:2"},
		{"ignored", map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, "", "ec2.eu-central-1.amazonaws.com"},
		{"of the settings", map[string]string{"AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:2"}, "http://127.0.0.1:3", "127.0.0.1:3"},
		{"FIPS", map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}, "", "ec2-fips.eu-central-1.amazonaws.com"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			for _, key := range []string{"AKIDEXAMPLE", ""} {
				settings := cloud.Settings{Region: "eu-central-1", KeyID: key, Endpoint: tt.endpoint}
				if key != "" {
					settings.SecretKey = secret
				} else {
					t.Setenv("AWS_ACCESS_KEY_ID", "AKIDOFSOMEBODY")
					t.Setenv("AWS_SECRET_ACCESS_KEY", "other")
				}
				s := &script{t: t, answer: always(success("DescribeInstances", ""))}
				c, err := NewDialer(Options{HTTP: s}).Dial(context.Background(), settings)
				if err != nil {
					t.Fatal(err)
				}
				if err := looking(context.Background(), c); err != nil || s.sent[0].host != tt.want {
					t.Errorf("with the key %q: asked %s, %v, want %s", key, s.sent[0].host, err, tt.want)
				}
			}
		})
	}
}

// TestCertificatesOfTheEnvironment: a company's own proxy is trusted with a key
// of our own as well.
func TestCertificatesOfTheEnvironment(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, success("DescribeInstances", "").body)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	settings := cloud.Settings{Region: "eu-central-1", KeyID: "AKIDEXAMPLE", SecretKey: secret, Endpoint: server.URL}
	t.Setenv("AWS_CA_BUNDLE", file)
	if _, err := NewDialer(Options{}).Dial(context.Background(), settings); err == nil || !strings.Contains(err.Error(), "AWS_CA_BUNDLE") {
		t.Errorf("a file that is not there: %v", err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := NewDialer(Options{}).Dial(context.Background(), settings)
	if err != nil {
		t.Fatal(err)
	}
	if err := looking(context.Background(), c); err != nil {
		t.Errorf("with the certificate: %v", err)
	}
}

func TestRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		given := 0
		s := &script{t: t, answer: func(_ int, r request) *reply {
			if r.action != "AssumeRole" {
				return success("DescribeInstances", "")
			}
			given++
			return &reply{status: 200, body: `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
				<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey><SessionToken>role-token</SessionToken>
				<Expiration>` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`}
		}}
		c, err := NewDialer(Options{HTTP: s}).Dial(context.Background(), cloud.Settings{
			Region: "eu-central-1", KeyID: "AKIDEXAMPLE", SecretKey: secret,
			AssumeRole: "arn:aws:iam::123456789012:role/ci", ExternalID: "outside", SessionName: "node-1",
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := looking(context.Background(), c); err != nil {
				t.Fatal(err)
			}
			time.Sleep(25 * time.Minute)
		}
		time.Sleep(time.Hour)
		if err := looking(context.Background(), c); err != nil || given != 2 {
			t.Errorf("%v after %d times the role was taken on, want 2", err, given)
		}
		want := []string{"AssumeRole", "DescribeInstances", "DescribeInstances", "DescribeInstances", "AssumeRole", "DescribeInstances"}
		if got := s.actions(); !slices.Equal(got, want) {
			t.Errorf("asked for %v, want %v", got, want)
		}
		f := s.sent[0].form
		if f.Get("ExternalId") != "outside" || f.Get("RoleSessionName") != "node-1" || f.Get("RoleArn") != "arn:aws:iam::123456789012:role/ci" {
			t.Errorf("the role was asked for by %v", f)
		}
		if r := s.sent[1]; r.header.Get("X-Amz-Security-Token") != "role-token" || !strings.Contains(r.header.Get("Authorization"), "ASIAROLE") {
			t.Errorf("EC2 was asked as %v", r.header)
		}
	})
}

// TestARoleThatIsDenied: it is the configuration that has to be mended, and no
// instance was started.
func TestARoleThatIsDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, answer: always(&reply{status: 403, body: `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not for you</Message></Error></ErrorResponse>`})}
		c, err := NewDialer(Options{HTTP: s}).Dial(context.Background(), cloud.Settings{
			Region: "eu-central-1", KeyID: "AKIDEXAMPLE", SecretKey: secret, AssumeRole: "arn:aws:iam::123456789012:role/ci",
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := withToken(context.Background(), c); !cloud.IsKind(err, cloud.Denied) || !cloud.Undone(err) {
			t.Errorf("error %v, want that it is denied", err)
		}
		if got := s.actions(); slices.Contains(got, "RunInstances") {
			t.Errorf("asked for %v", got)
		}
	})
}
