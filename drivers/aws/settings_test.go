package aws

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

func TestReadSettings(t *testing.T) {
	const region = "region: eu-west-1\n"
	pool := func(lines string) string {
		return region + "dedicated_pool:\n  mac:\n    type: mac2.metal\n    max: 2\n" + lines
	}
	for _, tt := range []struct{ name, cfg, err string }{
		{"least", region, ""},
		{"all of contract 29", region + "key_id: AKIA\nsecret_key: s\naccount_ids: [\"123456789012\"]\ninstance_tags: {Team: ci}\n" +
			"snapshot_create_wait: 1h\nimage_create_wait: 1h\ndedicated_pool: {mac: {type: mac2.metal, zones: [eu-west-1a], max: 1, scrubbing_delay: 1m}}\n", ""},
		{"ours", region + "assume_role: \"arn:aws:iam::123456789012:role/ci\"\nendpoint: http://127.0.0.1:5000\nmax_instances: 5\nmax_hourly_cost: 1.5\n" +
			"prices: {m7i.large: 0.1}\ndefault_lifetime: -1s\norphan_hosts: release\npool_owner: node-1\ndry_zone_pause: 5m\naddress_wait: 1m\nwatch_period: 5s\nquota_counts: running\n", ""},
		{"a secret elsewhere", region + "key_id: AKIA\nsecret_key: {env: AWS_TEST_SECRET}\n", ""},
		{"nothing", "", "region: is empty"},
		{"another region", "region: europe", "line 1: region: \"europe\" is no name"},
		{"half a key", region + "key_id: AKIA", "line 2: key_id: goes together with secret_key"},
		{"a role by name", region + "assume_role: ci", "line 2: assume_role: \"ci\" is no ARN"},
		{"an endpoint without host", region + "endpoint: here", "line 2: endpoint: is no URL"},
		{"an account by name", region + "account_ids: [amazon]", "line 2: account_ids[0]: got \"amazon\", want the 12 digits"},
		{"our own tag", region + "instance_tags: {AquariumNode: x}", "line 2: instance_tags.AquariumNode"},
		{"a tag of AWS", region + "instance_tags: {\"aws:x\": x}", "instance_tags.aws:x"},
		{"cost below nothing", region + "max_hourly_cost: -1", "line 2: max_hourly_cost: got -1"},
		{"fewer than none", region + "max_instances: -1", "line 2: max_instances"},
		{"a price below nothing", region + "prices: {m7i.large: -1}", "prices.m7i.large: got -1"},
		{"a price of no type", region + "prices: {large: 1}", "prices.large"},
		{"orphans", region + "orphan_hosts: keep", "line 2: orphan_hosts: got \"keep\", want report or release"},
		{"quotas", region + "quota_counts: some", "line 2: quota_counts: got \"some\", want all or running"},
		{"no lifetime", region + "default_lifetime: 0s", "line 2: default_lifetime"},
		{"no wait", region + "image_create_wait: 1ms", "line 2: image_create_wait"},
		{"a poll without pause", region + "watch_period: 1ms", "watch_period"},
		{"an owner that is none", region + "pool_owner: \"a b\"", "line 2: pool_owner"},
		{"a pool", pool("    zone: eu-west-1a\n"), ""},
		{"a pool without zone", pool(""), "line 4: dedicated_pool.mac.zones: want one zone"},
		{"zone and zones", pool("    zone: eu-west-1a\n    zones: [eu-west-1b]\n"), "line 6: dedicated_pool.mac.zone: want"},
		{"a zone elsewhere", pool("    zone: us-east-1a\n"), "entry 0: got \"us-east-1a\""},
		{"a zone twice", pool("    zones: [eu-west-1a, eu-west-1a]\n"), "entry 1"},
		{"the region as zone", pool("    zone: eu-west-1\n"), "entry 0"},
		{"a delay below nothing", pool("    zone: eu-west-1a\n    release_delay: -1h\n"), "line 7: dedicated_pool.mac.release_delay"},
		{"a pool without type", region + "dedicated_pool: {mac: {zone: eu-west-1a, max: 1}}", "line 2: dedicated_pool.mac.type"},
		{"a pool that goes", region + "dedicated_pool: {mac: {type: mac2.metal, zone: eu-west-1a, max: 0}}", ""},
		{"a pool without a maximum", region + "dedicated_pool: {mac: {type: mac2.metal, zone: eu-west-1a}}", "dedicated_pool.mac.max: is missing, want 0 to 1000 hosts: `max: 2`"},
		{"a pool without end", region + "dedicated_pool: {mac: {type: mac2.metal, zone: eu-west-1a, max: 100000}}", "dedicated_pool.mac.max: got 100000"},
		{"a pool without name", region + "dedicated_pool: {\"a/b\": {type: mac2.metal, zone: eu-west-1a, max: 1}}", "no name of a pool"},
		{"a subnet by tag", pool("    zone: eu-west-1a\n    subnet: Name:x\n"), "dedicated_pool.mac.subnet"},
		{"a subnet that is none", pool("    zone: eu-west-1a\n    subnet: subnet-zz\n"), "line 7: dedicated_pool.mac.subnet: got \"subnet-zz\""},
		{"an image for scrubs", pool("    zone: eu-west-1a\n    scrub_image: ami-0123456789abcdef0\n"), ""},
		{"its name", pool("    zone: eu-west-1a\n    scrub_image: amzn-ec2-macos-14*\n"), ""},
		{"its tag", pool("    zone: eu-west-1a\n    scrub_image: Os:mac\n"), "line 7: dedicated_pool.mac.scrub_image: got \"Os:mac\", want an image's id"},
		{"an image that is none", pool("    zone: eu-west-1a\n    scrub_image: ami-zz\n"), "line 7: dedicated_pool.mac.scrub_image: got \"ami-zz\""},
		{"a group for scrubs", pool("    zone: eu-west-1a\n    security_group: sg-0123456789abcdef0\n"), ""},
		{"its name", pool("    zone: eu-west-1a\n    security_group: \"ci (macs): eu\"\n"), ""},
		{"a group that is none", pool("    zone: eu-west-1a\n    security_group: sg-??\n"), "line 7: dedicated_pool.mac.security_group: got \"sg-??\""},
		{"a group that can not be", pool("    zone: eu-west-1a\n    security_group: ci?\n"), "line 7: dedicated_pool.mac.security_group: got \"ci?\""},
		{"a word", region + "max_instances: many", "line 2: max_instances"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("AWS_TEST_SECRET", "hush")
			_, unknown, err := readSettings([]byte(tt.cfg))
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("readSettings() = %v, want %q", err, tt.err)
			}
			if len(unknown) > 0 {
				t.Errorf("readSettings() warns of %v", unknown)
			}
		})
	}
	if _, unknown, err := readSettings([]byte(region + "no_such: 1")); err != nil || len(unknown) != 1 {
		t.Errorf("readSettings() of an unknown key = %v, %v, want a warning", unknown, err)
	}
}

// TestSettingsHideTheSecret: however they are printed, and whatever is wrong.
func TestSettingsHideTheSecret(t *testing.T) {
	const secret = "hush-hush-hush"
	s, _, err := readSettings([]byte("region: eu-west-1\nkey_id: AKIA\nsecret_key: " + secret))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v", s, s), fmt.Sprint(s.cloud()), fmt.Sprintf("%#v", s.cloud())} {
		if strings.Contains(text, secret) {
			t.Errorf("the secret is shown: %s", text)
		}
	}
	if s.cloud().SecretKey != secret {
		t.Error("the secret does not reach the API")
	}
	for _, wrong := range []string{"secret_key: [" + secret + "]", "secret_key: " + secret, "secret_key: \" " + secret + "\"\nkey_id: A"} {
		if _, _, err := readSettings([]byte("region: eu-west-1\n" + wrong)); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("readSettings() of a wrong secret = %v, want an error without it", err)
		}
	}
}

func TestSharesAndLifetime(t *testing.T) {
	cfg := func(text string) drivers.Config { return drivers.Config{Cfg: []byte("region: eu-west-1\n" + text)} }
	got, err := shares(cfg("pool_owner: n1\ndedicated_pool:\n  win: {type: m5.metal, zone: eu-west-1a, max: 1}\n  mac: {type: mac2.metal, zone: eu-west-1a, max: 1}"))
	want := []drivers.Share{{Thing: "aws/eu-west-1/mac", Owner: "n1"}, {Thing: "aws/eu-west-1/win", Owner: "n1"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("shares (-want +got), %v:\n%s", err, diff)
	}
	if _, err := shares(cfg("max_instances: x")); err == nil {
		t.Error("shares of a broken configuration are no error")
	}
	for text, want := range map[string]time.Duration{"": 24 * time.Hour, "default_lifetime: 1h": time.Hour, "default_lifetime: -1s": 0} {
		if got, ok := lifetime(cfg(text)); got != want || !ok {
			t.Errorf("lifetime of %q is %v, %v, want %v", text, got, ok, want)
		}
	}
	if _, ok := lifetime(cfg("max_instances: x")); ok {
		t.Error("a broken configuration has a lifetime")
	}
}
