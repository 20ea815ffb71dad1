package vmx

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrun"
)

func TestReadSettings(t *testing.T) {
	for _, tt := range []struct{ name, cfg, err string }{
		{"nothing", "", ""},
		{"all of contract 29", "vmrun_path: /a\nvdiskmanager_path: /b\nimages_path: i\nworkspace_path: w\ncpu_alter: -1\nram_alter: 2\n" +
			"cpu_overbook: 1\nram_overbook: 1\ndownload_user: u\ndownload_password: p\nlog_monitor: false\n", ""},
		{"ours", "product: ws\nlease_files: [/a, /b]\nmetadata_networks: [192.168.1.0/24]\naddress_wait: 0s\nstop_timeout: 20s\n", ""},
		{"a word", "cpu_alter: many", "line 1: cpu_alter"},
		{"no folder", "cpu_alter: 1\nworkspace_path: \"\"", "line 2: workspace_path"},
		{"another product", "\nproduct: esx", "line 2: product: got \"esx\", want fusion or ws"},
		{"a relative lease file", "lease_files: [a]", "line 1: lease_files: entry 0"},
		{"all networks", "metadata_networks: [0.0.0.0/0]", "metadata_networks: entry 0"},
		{"no network", "metadata_networks: [here]", "metadata_networks: entry 0"},
		{"no time", "stop_timeout: 0s", "stop_timeout: got"},
		{"too much time", "address_wait: 1000h", "address_wait: got"},
		{"a weak sum", "images_require_sum: md5", "images_require_sum"},
		{"too many images", "images_max_size: 8EB", "images_max_size: got"},
		{"images around environments", "images_path: a\nworkspace_path: a/w", "line 1: images_path: "},
		{"half a mirror", "images_mirrors: [{from: \"https://a\"}]", "images_mirrors: entry 0"},
		{"a list", "- a", "got a list"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, unknown, err := readSettings([]byte(tt.cfg))
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("readSettings() = %v, want %q", err, tt.err)
			}
			if len(unknown) > 0 {
				t.Errorf("readSettings() warns of %v", unknown)
			}
		})
	}
	if _, unknown, err := readSettings([]byte("no_such: 1")); err != nil || len(unknown) != 1 {
		t.Errorf("readSettings() of an unknown key = %v, %v, want a warning", unknown, err)
	}
	s, _, err := readSettings(nil)
	if err != nil || !s.LogMonitor || s.StopTimeout != 10*time.Second || len(s.LeaseFiles) == 0 {
		t.Errorf("defaults are %+v, %v", s, err)
	}
}

func TestFindTool(t *testing.T) {
	there := func(paths ...string) func(string) (string, error) {
		return func(path string) (string, error) {
			for _, p := range paths {
				if p == path || strings.HasSuffix(p, "/"+path) {
					return p, nil
				}
			}
			return "", errors.New(path + " is not there")
		}
	}
	const fusion = "/Applications/VMware Fusion.app/Contents/Library/vmrun"
	for _, tt := range []struct {
		name, configured, goos string
		lookup                 func(string) (string, error)
		want, err              string
	}{
		{"in PATH", "", "linux", there("/usr/bin/vmrun"), "/usr/bin/vmrun", ""},
		{"of the application", "", "darwin", func(path string) (string, error) {
			if path == fusion {
				return path, nil
			}
			return "", errors.New("not in PATH")
		}, fusion, ""},
		{"configured", "/opt/x", "darwin", there("/opt/x", "/usr/bin/vmrun"), "/opt/x", ""},
		{"configured in vain", "/opt/x", "darwin", there("/usr/bin/vmrun"), "", "/opt/x is not there"},
		{"nowhere", "", "linux", there(), "", "vmrun is not there"},
	} {
		got, err := findTool(tt.configured, tt.goos, "vmrun", tt.lookup)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%s: findTool() = %q, %v, want %q, %q", tt.name, got, err, tt.want, tt.err)
		}
	}
	if product("darwin") != vmrun.Fusion || product("linux") != vmrun.Workstation {
		t.Error("the products of systems are mixed up")
	}
}
