package config_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// fakeHost is a machine called builder.
func fakeHost() config.Host {
	return config.Host{
		Name:        func() (string, error) { return "builder", nil },
		Identifiers: func(context.Context) ([]string, error) { return []string{"HostName:builder", "OS:linux"}, nil },
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fish.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, text string) (*config.Config, []string, error) {
	t.Helper()
	return config.Load(t.Context(), config.Flags{File: writeFile(t, text)}, fakeHost())
}

func TestDefaultsOnly(t *testing.T) {
	got, warnings, err := config.Load(t.Context(), config.Flags{}, fakeHost())
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load = %v, warnings %q", err, warnings)
	}
	want := config.Default()
	want.NodeName = "builder"
	want.NodeIdentifiers = []string{"FishName:builder", "HostName:builder", "OS:linux"}
	want.TLSKey = filepath.FromSlash("fish_data/builder.key")
	want.TLSCrt = filepath.FromSlash("fish_data/builder.crt")
	want.TLSCACrt = filepath.FromSlash("fish_data/ca.crt")
	want.SSHKey = filepath.FromSlash("fish_data/builder_id_ecdsa")
	want.AuditFile = filepath.FromSlash("fish_data/builder_audit.log")
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("config without a file (-want +got):\n%s", diff)
	}
}

func TestEveryKeyOfTheFile(t *testing.T) {
	got, warnings, err := load(t, `
drivers:
  - name: test/dev
    cfg:
      cpu_limit: 4
  - name: test
Directory: data
API_Address: 127.0.0.1:0
proxy_socks_address: ":1081"
proxy_socks_handshake_timeout: 11s
proxy_socks_dial_timeout: 12s
proxy_socks_idle_timeout: 13m
proxy_socks_max_connections: 14
proxy_socks_rate: 15
proxy_socks_max_unidentified: 16
proxy_ssh_address: "[::1]:0"
proxy_ssh_access_lifetime: 2m
proxy_ssh_max_sessions: 7
proxy_ssh_grace: 0
proxy_ssh_recording_size: 1MB
proxy_ssh_recordings_size: 2MB
proxy_ssh_recordings_keep: 1h
node_address: fish.example.com:8001
cpu_limit: 2
mem_target: 512MB
cluster_join: [a:1, b:2]
cluster_max_links: 12
cluster_link_bytes: 1MB
cluster_proxy: socks5://bob:secret@proxy.example.com:1080
tls_key: my.key
tls_crt: /etc/fish/my.crt
tls_ca_crt: cluster/ca.crt
node_name: fish-1
node_location: lab
node_identifiers: [GPU:yes]
ssh_key: id
default_resource_lifetime: 30m
images_prefetch: true
meta_address: 10.0.0.1:8001
auth_hash_memory: 1GB
retention: 2d
max_db_size: 2GB
allocate_timeout: 1h
task_timeout: 2h
starvation_after: 0
vote_timeout: 5s
audit_file: /var/log/fish.audit
audit_file_size: 1MB
audit_file_keep: 3
api_max_connections: 100
api_header_timeout: 1s
api_read_timeout: 2s
api_write_timeout: 3s
api_idle_timeout: 4s
api_max_header_size: 16KB
tls_names: ["*.example.com", 10.0.0.7]
log_file: logs/fish.log
log_file_size: 10MB
log_file_keep: 3
`)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load = %v, warnings %q", err, warnings)
	}
	want := &config.Config{
		Directory: "data", APIAddress: "127.0.0.1:0", ProxySOCKSAddress: ":1081",
		ProxySOCKSHandshakeTimeout: 11 * time.Second, ProxySOCKSDialTimeout: 12 * time.Second, ProxySOCKSIdleTimeout: 13 * time.Minute,
		ProxySOCKSMaxConnections: 14, ProxySOCKSRate: 15, ProxySOCKSMaxUnidentified: 16,
		ProxySSHAddress: "[::1]:0", ProxySSHAccessLifetime: 2 * time.Minute,
		ProxySSHMaxSessions: 7, ProxySSHRecordingSize: 1 << 20, ProxySSHRecordingsSize: 2 << 20, ProxySSHRecordingsKeep: time.Hour,
		NodeAddress: "fish.example.com:8001", CPULimit: 2, MemTarget: 512 << 20, ClusterJoin: []string{"a:1", "b:2"},
		ClusterMaxLinks: 12, ClusterLinkBytes: 1 << 20, ClusterProxy: "socks5://bob:secret@proxy.example.com:1080",
		TLSKey: filepath.FromSlash("data/my.key"), TLSCrt: "/etc/fish/my.crt", TLSCACrt: filepath.FromSlash("data/cluster/ca.crt"),
		NodeName: "fish-1", NodeLocation: "lab", NodeIdentifiers: []string{"GPU:yes"}, SSHKey: filepath.FromSlash("data/id"),
		DefaultResourceLifetime: 30 * time.Minute,
		Drivers:                 []config.DriverEntry{{Name: "test/dev", Cfg: yamlconf.Raw("\n\n\n\n{\"cpu_limit\":4}"), Line: 3}, {Name: "test", Line: 6}},
		ImagesPrefetch:          true,
		MetaAddress:             "10.0.0.1:8001", AuthHashMemory: 1 << 30, Retention: 48 * time.Hour, MaxDBSize: 2 << 30,
		AllocateTimeout: time.Hour, TaskTimeout: 2 * time.Hour, VoteTimeout: 5 * time.Second,
		Election:  config.Election{Safety: "strict"},
		AuditFile: "/var/log/fish.audit", AuditFileSize: 1 << 20, AuditFileKeep: 3,
		APIMaxConnections: 100, APIHeaderTimeout: time.Second, APIReadTimeout: 2 * time.Second,
		APIWriteTimeout: 3 * time.Second, APIIdleTimeout: 4 * time.Second, APIMaxHeaderSize: 16 << 10,
		TLSNames: []string{"*.example.com", "10.0.0.7"},
		LogFile:  filepath.FromSlash("data/logs/fish.log"), LogFileSize: 10 << 20, LogFileKeep: 3,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestDriverEntry(t *testing.T) {
	e := config.DriverEntry{Name: "test/dev", Cfg: yamlconf.Raw(`{"a":1}`)}
	if e.Driver() != "test" || string(e.JSON()) != `{"a":1}` {
		t.Errorf("entry %q: driver %q, cfg %s", e.Name, e.Driver(), e.JSON())
	}
	if e := (config.DriverEntry{Name: "aws"}); e.Driver() != "aws" || string(e.JSON()) != `{}` {
		t.Errorf("entry %q: driver %q, cfg %s", e.Name, e.Driver(), e.JSON())
	}
}

func TestFlagsWin(t *testing.T) {
	file := writeFile(t, "api_address: 1.1.1.1:1\nnode_address: 1.1.1.1:2\ncpu_limit: 1\nmem_target: 1GB\ndirectory: x\n")
	got, _, err := config.Load(t.Context(), config.Flags{
		File: file, API: "127.0.0.1:0", ProxySOCKS: "127.0.0.1:1", ProxySSH: "127.0.0.1:2",
		Node: "10.0.0.1:3", Dir: "y", CPU: "65535", Mem: "2gb",
	}, fakeHost())
	if err != nil {
		t.Fatal(err)
	}
	if got.APIAddress != "127.0.0.1:0" || got.ProxySOCKSAddress != "127.0.0.1:1" || got.ProxySSHAddress != "127.0.0.1:2" ||
		got.NodeAddress != "10.0.0.1:3" || got.Directory != "y" || got.CPULimit != 65535 || got.MemTarget != 2<<30 {
		t.Errorf("flags did not win: %+v", got)
	}
	if want := filepath.FromSlash("y/ca.crt"); got.TLSCACrt != want {
		t.Errorf("TLSCACrt = %q, want %q", got.TLSCACrt, want)
	}
}

func TestErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"api address", "api_address: nonsense", `fish.yml: line 1: api_address: got "nonsense": want host:port, such as`},
		{"empty api address", `api_address: ""`, `line 1: api_address: got "": want host:port`},
		{"port too large", "proxy_ssh_address: 0.0.0.0:65536", "want a port from 0 to 65535"},
		{"port by name", "proxy_socks_address: 0.0.0.0:http", "want a port from 0 to 65535"},
		{"credentials for ever", "proxy_ssh_access_lifetime: 30d", "want a duration from 10s to 24h0m0s"},
		{"IPv6 without brackets", "api_address: ::1:8001", "[::1]:8001"},
		{"host with a space", "api_address: a b:1", "want an IP address or a DNS name"},
		{"node address without host", "node_address: :8001", `line 1: node_address: got ":8001": want the host that others reach`},
		{"node address that leaves the folder", "node_address: ../x:1", "want an IP address or a DNS name"},
		{"node address dots", "node_address: ..:1", "want an IP address or a DNS name"},
		{"cpu limit", "\ncpu_limit: 65536", `line 2: cpu_limit: got the integer "65536", want an integer from 0 to 65535`},
		{"memory", "mem_target: lots", `mem_target: got the string "lots": want a size`},
		{"memory beyond the runtime", "mem_target: 8EB", "mem_target: got"},
		{"node name with a slash", "node_name: a/b", "node_name: got \"a/b\": want 1 to 200 letters"},
		{"node name dots", `node_name: ".."`, "want 1 to 200 letters"},
		{"node name control", `node_name: "a\nb"`, "want 1 to 200 letters"},
		{"directory", `directory: ""`, "directory: got \"\": want the path of a folder"},
		{"lifetime", "default_resource_lifetime: soon", "want a duration such as"},
		{"retention", "retention: -1d", "want a duration of at least 0s"},
		{"database size", "max_db_size: 1MB", "want 0 for no limit, or at least 16MB"},
		{"vote timeout", "vote_timeout: 25001ms", "want a duration from 100ms to 25s"},
		{"task timeout", "task_timeout: 0", "want a duration of at least 1s"},
		{"connections", "api_max_connections: 1", "want an integer from 10 to 1000000"},
		{"connections of an environment", "proxy_socks_max_connections: 0", "want an integer from 1 to 100000"},
		{"handshake", "proxy_socks_handshake_timeout: 1ms", "want a duration from 1s to 1m0s"},
		{"header size", "api_max_header_size: 1MB\napi_idle_timeout: 0", "api_idle_timeout: got \"0s\": want a duration from 1s to 24h0m0s"},
		{"header size range", "api_max_header_size: 1GB", "want a size from 4KB to 1MB"},
		{"meta address", "meta_address: x", "meta_address: got"},
		{"name with a port", "tls_names:\n- fish\n- fish:8001", `line 3: tls_names[1]: got "fish:8001": want an IP address or a DNS name`},
		{"name of nothing", `tls_names: [""]`, "tls_names[0]: got"},
		{"name with a dot at the end", "tls_names: [fish.]", "tls_names[0]: got"},
		{"name with a zone", `tls_names: ["fe80::1%eth0"]`, "tls_names[0]: got"},
		{"two wildcards", `tls_names: ["*.*.example"]`, "tls_names[0]: got"},
		{"log file that is a folder", "log_file: logs/", "want the path of a file"},
		{"log file size", "log_file_size: 1KB", "want a size from 1MB to 1TB"},
		{"log files kept", "log_file_keep: 0", "want an integer from 1 to 1000"},
		{"driver name", "drivers:\n- name: a b", `line 2: drivers[0].name: got the name "a b": want <driver> or <driver>/<instance>`},
		{"driver without name", "drivers:\n- name: a\n- cfg: {}", `line 3: drivers[1]: got the name ""`},
		{"driver path", "drivers: [{name: a/..}]", "want <driver> or <driver>/<instance>"},
		{"driver three parts", "drivers: [{name: a/b/c}]", "want <driver> or <driver>/<instance>"},
		{"driver twice", "drivers:\n- name: a\n- name: a", `line 3: drivers[1].name: "a" is configured twice, first in line 2: name the second one a/<instance>`},
		{"driver cfg", "drivers:\n- name: a\n  cfg: [1]", "line 3: drivers[0].cfg: want a mapping"},
		{"key twice", "node_name: a\nNode_Name: b", "line 2: Node_Name: given twice, first in line 1"},
		{"syntax", "a: [", "fish.yml: parse YAML: line "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := load(t, tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestErrorsAreListedTogether(t *testing.T) {
	_, _, err := load(t, "cpu_limit: x\nmem_target: y\nnode_location: 1")
	if got := strings.Count(err.Error(), "fish.yml: line "); got != 3 {
		t.Errorf("%d of 3 complaints name the file and the line: %v", got, err)
	}
	_, _, err = load(t, "api_address: x\nnode_address: y")
	if got := strings.Count(err.Error(), "fish.yml: line "); got != 2 {
		t.Errorf("%d of 2 complaints name the file and the line: %v", got, err)
	}
}

// TestWarningsBesideErrors: a key misspelt may be the cause of the error.
func TestWarningsBesideErrors(t *testing.T) {
	for _, text := range []string{"api_adress: 1.2.3.4:5\nretention: 7 days", "api_adress: 1.2.3.4:5\napi_address: x"} {
		_, warnings, err := load(t, text)
		if err == nil || len(warnings) != 1 || !strings.Contains(warnings[0], "line 1: api_adress: unknown key") {
			t.Errorf("%q: error %v, warnings %q, want both", text, err, warnings)
		}
	}
}

func TestFlagErrorsNameTheFlag(t *testing.T) {
	tests := []struct {
		name  string
		flags config.Flags
		want  string
	}{
		{"cpu word", config.Flags{CPU: "many"}, `flag --cpu: got "many": want an integer from 0 to 65535`},
		{"cpu too large", config.Flags{CPU: "65536"}, "flag --cpu: got"},
		{"cpu negative", config.Flags{CPU: "-1"}, "flag --cpu: got"},
		{"mem", config.Flags{Mem: "1 apple"}, `flag --mem: got "1 apple": want a size`},
		{"api", config.Flags{API: "x"}, `flag --api: got "x": want host:port`},
		{"no such file", config.Flags{File: "/no/such/fish.yml"}, "open config file: open /no/such/fish.yml"},
		{"a folder", config.Flags{File: t.TempDir()}, "read config file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := config.Load(t.Context(), tt.flags, fakeHost())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestHugeFile(t *testing.T) {
	if _, _, err := load(t, strings.Repeat("# no config\n", 100_000)); err == nil || !strings.Contains(err.Error(), "is it the right file?") {
		t.Errorf("error = %v, want the question whether it is the right file", err)
	}
}

func TestWarnings(t *testing.T) {
	_, warnings, err := load(t, "api_addres: x\nnode_address: 0.0.0.0:8001\nmem_target: 1MB")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"fish.yml: line 1: api_addres: unknown key, ignored; known here: directory, api_address",
		"node_address: nobody can reach 0.0.0.0:8001", "mem_target: 1MB is less than an idle node takes",
	} {
		if i >= len(warnings) || !strings.Contains(warnings[i], want) {
			t.Errorf("warnings = %q, want %q as number %d", warnings, want, i)
		}
	}
}

func TestHostThatTellsNothing(t *testing.T) {
	host := config.Host{
		Name:        func() (string, error) { return "", errors.New("no name") },
		Identifiers: func(context.Context) ([]string, error) { return []string{"OS:linux"}, errors.New("a\nb") },
	}
	if _, _, err := config.Load(t.Context(), config.Flags{}, host); err == nil || !strings.Contains(err.Error(), "node_name: not given") {
		t.Errorf("error = %v, want that node_name is missing", err)
	}
	got, warnings, err := config.Load(t.Context(), config.Flags{File: writeFile(t, "node_name: x")}, host)
	if err != nil || len(warnings) != 1 || !slices.Equal(got.NodeIdentifiers, []string{"FishName:x", "OS:linux"}) {
		t.Errorf("Load = %v, warnings %q, identifiers %q", err, warnings, got.NodeIdentifiers)
	}
}

func TestSystemHost(t *testing.T) {
	host := config.SystemHost()
	got, _ := host.Identifiers(t.Context()) // an unknown distribution is no failure of ours
	name, err := host.Name()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"OS:" + runtime.GOOS, "HostName:" + name} {
		if !slices.Contains(got, want) {
			t.Errorf("identifiers = %q, want %q among them", got, want)
		}
	}
	for _, id := range got {
		if strings.HasSuffix(id, ":") {
			t.Errorf("identifier %q has no value", id)
		}
	}
}
