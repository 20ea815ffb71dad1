package cli

import (
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

func TestParseForward(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"8080", "8080:localhost:8080"},
		{"8080:80", "8080:localhost:80"},
		{"db.lab:5432", "5432:db.lab:5432"},
		{"8080:localhost:80", "8080:localhost:80"},
		{"8080:10.0.0.1:80", "8080:10.0.0.1:80"},
		{"8080:[::1]:80", "8080:[::1]:80"},
		{"0.0.0.0:8080:80", "0.0.0.0:8080:localhost:80"},
		{"[::1]:8080:db:80", "[::1]:8080:db:80"},
		{"*:8080:db:80", "*:8080:db:80"},
	} {
		if got, err := parseForward(tt.text); err != nil || got.String() != tt.want {
			t.Errorf("parseForward(%q) = %s, %v, want %s", tt.text, got, err, tt.want)
		}
	}
	for _, text := range []string{"", ":", "0", "65536", "http", "a:b", "8080:", ":8080", "::1:80", "a:b:80", "1:b c:80", "8080:[::1:80", "-oX=y:80", "a:1:b:2:3"} {
		if got, err := parseForward(text); err == nil {
			t.Errorf("parseForward(%q) = %s, want an error", text, got)
		}
	}
}

// A node that is not what it says must not get ssh to run a program of its choice.
func TestLoginConfigOfHostileNode(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2Ev1kDPHVzl5b+oQzqNDIlYRzbCV4Hs6xtVGqS9sUp"
	for _, tt := range []struct{ name, address, username, key string }{
		{"line in the user name", "h:22", "u\n  ProxyCommand touch x", key},
		{"quote in the user name", "h:22", `u" "`, key},
		{"expansion in the user name", "h:22", "%d${HOME}", key},
		{"no user name", "h:22", "", key},
		{"line in the host", "h\n  ProxyCommand x:22", "u", key},
		{"space in the host", "h ProxyCommand=x:22", "u", key},
		{"no port", "h", "u", key},
		{"port by name", "h:ssh", "u", key},
		{"no host", ":22", "u", key},
		{"two host keys", "h:22", "u", key + "\n* " + key},
		{"no host key", "h:22", "u", ""},
		{"something else", "h:22", "u", "no key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := loginFiles{dir: t.TempDir(), host: someUID, username: tt.username, key: "k", proxy: apiv1.NodeSSH{Address: tt.address, HostKey: tt.key}}
			if _, err := l.write(); err == nil {
				t.Error("it was written")
			}
		})
	}
}

func TestLoginConfig(t *testing.T) {
	l := loginFiles{dir: "/tmp/100% mine", host: someUID, username: "Jörg Müller", proxy: apiv1.NodeSSH{Address: "[fe80::1%eth0]:2022"}}
	text, err := l.config()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Host " + someUID + "\n", "HostName fe80::1%%eth0\n", "Port 2022\n", `User "Jörg Müller"`, `IdentityFile "/tmp/100%% mine/key"`,
		`UserKnownHostsFile "/tmp/100%% mine/known_hosts"`, "StrictHostKeyChecking yes\n", "IdentitiesOnly yes\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("config lacks %q:\n%s", want, text)
		}
	}
	l.dir = `/tmp/"`
	if _, err := l.config(); err == nil {
		t.Error("a path with a quote was written")
	}
}

func TestProxyFrom(t *testing.T) {
	for _, tt := range []struct{ name, proxy, api, want string }{
		{"as told", "ci-1.lab:2022", "10.0.0.1:8001", "ci-1.lab:2022"},
		{"node that was not told its address", "127.0.0.1:2022", "ci-1.lab:8001", "ci-1.lab:2022"},
		{"the same over IPv6", "[::1]:2022", "[2001:db8::1]:8001", "[2001:db8::1]:2022"},
		{"this machine", "127.0.0.1:2022", "127.0.0.1:8001", "127.0.0.1:2022"},
		{"tunnel to the API", "ci-1.lab:2022", "127.0.0.1:8001", "ci-1.lab:2022"},
		{"nonsense is refused later", "x", "ci-1.lab:8001", "x"},
	} {
		if got := proxyFrom(tt.proxy, tt.api); got != tt.want {
			t.Errorf("%s: proxyFrom(%q, %q) = %q, want %q", tt.name, tt.proxy, tt.api, got, tt.want)
		}
	}
}

func TestLogins(t *testing.T) {
	f := newFarm(t)
	f.on("GET /application/"+someUID+"/resource", `{"UID":"`+otherUID+`","metadata":{}}`)
	f.on("GET /resource/"+otherUID+"/ssh", `{"fingerprint":"","host_key":"","uses":[]}`)
	if code, stdout, stderr := f.run("app", "logins", someUID); code != 0 || stdout != "" || stderr != "nobody yet\n" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	f.on("GET /resource/"+otherUID+"/ssh", `{"fingerprint":"SHA256:pin","host_key":"ssh-ed25519 AAAA","uses":[{"access_UID":"`+labelUID+`","address":"10.1.1.1:5","node_UID":"`+
		labelUID+`","node_name":"n1","session_UID":"`+someUID+`","used_at":"2026-11-22T11:59:00Z","username":"bob"}]}`)
	want := "USER  FROM        BY NODE  AGE  SESSION\nbob   10.1.1.1:5  n1       60s  " + someUID + "\n"
	if code, stdout, stderr := f.run("app", "logins", someUID); code != 0 || stdout != want || stderr != "host key SHA256:pin\n" {
		t.Errorf("exit code %d, %q, %q, want %q", code, stdout, stderr, want)
	}
}

func TestNodeSSH(t *testing.T) {
	f := newFarm(t)
	const answer = `{"address":"ci-1.lab:2022","fingerprint":"SHA256:x","host_key":"ecdsa-sha2-nistp256 AAAA"}`
	f.on("GET /node/this/ssh", answer)
	f.on("GET /node/carl/ssh", answer)
	if got, want := f.ok("node", "ssh"), "Address      ci-1.lab:2022\nFingerprint  SHA256:x\nHost key     ecdsa-sha2-nistp256 AAAA\n"; got != want {
		t.Errorf("table = %q, want %q", got, want)
	}
	if got, want := f.ok("node", "ssh", "carl", "-o", "name"), "[ci-1.lab]:2022 ecdsa-sha2-nistp256 AAAA\n"; got != want {
		t.Errorf("name = %q, want %q", got, want)
	}
	if got := knownHost("h:22"); got != "h" {
		t.Errorf("knownHost(h:22) = %s", got)
	}
}
