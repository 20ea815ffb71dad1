// Package release tests what is packed for installing, and the units that run a
// node as a service.
package release

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const packaging = "../../packaging/"

func TestMain(m *testing.M) { fish.Main(m) }

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSystemdUnit: what keeps environments alive while the node restarts, and
// nothing that environments, its children, would inherit to their harm.
func TestSystemdUnit(t *testing.T) {
	unit := map[string]string{}
	section := ""
	for line := range strings.Lines(read(t, packaging+"aquarium-fish.service")) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
		} else if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			unit[section+key] = value
		}
	}
	want := map[string]string{
		"[Service]KillMode": "process", "[Service]Delegate": "yes", "[Service]DelegateSubgroup": "node", "[Service]OOMPolicy": "continue",
		"[Service]Restart": "on-failure", "[Service]User": "aquarium-fish", "[Service]StateDirectoryMode": "0711", "[Install]WantedBy": "multi-user.target",
	}
	got := map[string]string{}
	for key := range want {
		got[key] = unit[key]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unit (-want +got):\n%s", diff)
	}
	for key := range unit {
		for _, harm := range []string{"Protect", "Private", "NoNewPrivileges", "RestrictSUIDSGID", "SystemCall", "ReadOnly", "LockPersonality", "MemoryDenyWriteExecute"} {
			if strings.HasPrefix(key, "[Service]"+harm) {
				t.Errorf("%s is inherited by environments, or parts them from a restarted node", key)
			}
		}
	}
}

// plist reads the keys of the outermost dictionary, with the name or the text
// of their values.
func plist(t *testing.T, text string) map[string]string {
	t.Helper()
	dec := xml.NewDecoder(strings.NewReader(text))
	keys := map[string]string{}
	depth, key := 0, ""
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return keys
		}
		if err != nil {
			t.Fatalf("property list: %v", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if depth++; depth != 3 {
				continue
			}
			var value string
			if e.Name.Local == "key" || e.Name.Local == "string" || e.Name.Local == "integer" {
				if err := dec.DecodeElement(&value, &e); err != nil {
					t.Fatal(err)
				}
				depth--
			}
			switch e.Name.Local {
			case "key":
				key = value
			case "string", "integer":
				keys[key] = value
			default:
				keys[key] = e.Name.Local
			}
		case xml.EndElement:
			depth--
		}
	}
}

func TestLaunchdPlist(t *testing.T) {
	got := plist(t, read(t, packaging+"org.aquarium-fish.node.plist"))
	for key, want := range map[string]string{
		"Label": "org.aquarium-fish.node", "AbandonProcessGroup": "true", "RunAtLoad": "true", "KeepAlive": "dict",
		"ExitTimeOut": "45", "ProgramArguments": "array", "WorkingDirectory": "/usr/local/var/aquarium-fish",
	} {
		if got[key] != want {
			t.Errorf("%s = %q, want %q", key, got[key], want)
		}
	}
}

// TestPackagedConfig: the node takes it as it is, but for its places.
func TestPackagedConfig(t *testing.T) {
	dir := t.TempDir()
	config := strings.ReplaceAll(read(t, packaging+"config.yml"), "/var/lib/aquarium-fish", dir)
	config = strings.ReplaceAll(config, "api_address: 127.0.0.1:8001", "api_address: 127.0.0.1:0")
	n := fish.Start(t, fish.Options{Dir: dir, Config: config, Flags: []string{"--dir", dir + "/fish_data"}})
	stdout, _ := n.Lines()
	for _, line := range stdout {
		if strings.Contains(line, "WARN:") && strings.Contains(line, "config") {
			t.Errorf("the packaged config is not taken as it is: %s", line)
		}
	}
}
