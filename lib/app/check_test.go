package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// picky is a driver that knows one key; it is never made.
func picky(t *testing.T) drivers.Factory {
	return drivers.Factory{
		Name: "picky",
		New: func(context.Context, drivers.Config) (drivers.Driver, error) {
			t.Error("a check made an instance")
			return nil, os.ErrInvalid
		},
		Check: func(cfg drivers.Config) ([]yamlconf.Problem, error) {
			var settings struct {
				Limit uint `yaml:"limit"`
			}
			doc, err := yamlconf.Parse(cfg.Cfg)
			if err != nil {
				return nil, err
			}
			err = doc.Decode(&settings)
			return doc.Warnings(), err
		},
	}
}

func TestCheckConfig(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", nil},
		{"good", "api_address: 127.0.0.1:0\ndrivers:\n- name: picky\n  cfg:\n    limit: 3\n", nil},
		{"values and keys", "retention: -1d\napi_adress: x\nvote_timeout: 1h\n", []string{
			`f.yml:2: warning: api_adress: unknown key, ignored; known here: directory, api_address, proxy_socks_`,
			`f.yml:1: error: retention: got "-24h0m0s": want a duration of at least 0s`,
			`f.yml:3: error: vote_timeout: got "1h0m0s": want a duration from 100ms to 25s`,
		}},
		{"a type", "\ncpu_limit: many\n", []string{`f.yml:2: error: cpu_limit: got the string "many", want an integer from 0 to 65535`}},
		{"syntax", "a: [", []string{`f.yml:1: error: did not find expected node content`}},
		{"a driver that is not there", "drivers:\n- name: vmx\n", []string{`f.yml:2: error: drivers[0].name: driver "vmx" is not known; known: picky`}},
		{"parts of drivers", "drivers:\n- name: picky/a\n- name: picky/b\n  cfg:\n    limit: -1\n    limits: 2\n", []string{
			`f.yml:6: warning: drivers[1].cfg.limits: unknown key, ignored; known here: limit`,
			`f.yml:5: error: drivers[1].cfg.limit: got the integer "-1", want an integer from 0 to 18446744073709`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("f.yml", []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range CheckConfig(t.Context(), "f.yml", []drivers.Factory{picky(t)}, config.SystemHost()) {
				got = append(got, fmt.Sprintf("%.100s", f.String("f.yml"))) // the list of known keys is long
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if left, err := filepath.Glob("*"); err != nil || len(left) != 1 {
				t.Errorf("the check left %q", left)
			}
		})
	}
}

func TestCheckConfigWithoutFile(t *testing.T) {
	got := CheckConfig(t.Context(), "nowhere.yml", nil, config.SystemHost())
	if len(got) != 1 || !got[0].Error || got[0].Line != 0 {
		t.Errorf("findings = %+v, want one error without a line", got)
	}
}
