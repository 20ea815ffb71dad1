package native

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
)

func TestEntry(t *testing.T) {
	disks := map[string]string{"data": "/d/data", "my-disk": "/d/my"}
	names := []string{"data", "my-disk"}
	for text, want := range map[string]string{
		"./init.sh":                               "./init.sh",
		"{{ .Disks.data }}/run --x":               "/d/data/run --x",
		`{{ index .Disks "my-disk" }}/run`:        "/d/my/run",
		"{{ if .Disks.data }}a{{ else }}b{{end}}": "a",
	} {
		e, err := parseEntry(text, names)
		if err != nil {
			t.Errorf("parseEntry(%q) = %v", text, err)
			continue
		}
		if got, err := e.fill(disks); err != nil || got != want {
			t.Errorf("fill(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", " \n", "{{", "{{ .Disk.data }}", "{{ .Disks.none }}", "{{ nofunc }}", "a\x00b",
		strings.Repeat("x", maxEntry+1), `{{ printf "%100000d" 1 }}`,
		"{{ range 9000000000000000000 }}{{ end }}", `{{ with 1 }}{{ range . }}{{ end }}{{ end }}`,
		`{{ if 0 }}{{ else }}{{ range 9000000000000000000 }}{{ end }}{{ end }}`, `{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}`,
	} {
		if _, err := parseEntry(text, names); err == nil {
			t.Errorf("parseEntry(%.40q) = nil, want an error", text)
		}
	}
}

func TestFillValue(t *testing.T) {
	disks := map[string]string{"data": "/d/data", "my-disk": "/d/my"}
	for value, want := range map[string]string{
		"plain":                             "plain",
		"{{ .Disks.data }}/x":               "/d/data/x",
		"{{.Disks.data}}:{{- .Disks.data}}": "/d/data:/d/data",
		`{{ index .Disks "my-disk" }}`:      "/d/my",
		"{{ .Disks.none }}":                 "{{ .Disks.none }}",
		"${{ secrets.X }} {{ range . }}":    "${{ secrets.X }} {{ range . }}",
	} {
		if got := fillValue(value, disks); got != want {
			t.Errorf("fillValue(%q) = %q, want %q", value, got, want)
		}
	}
}

func TestArgv(t *testing.T) {
	for line, want := range map[string]string{
		"./init.sh":              "exec ./init.sh",
		"/usr/bin/env sleep 600": "exec /usr/bin/env sleep 600",
		"/bin/sh -c 'exit 3'":    "exec /bin/sh -c 'exit 3'",
		"sleep 1; exit 3":        "sleep 1; exit 3",
		"exit 3":                 "exit 3",
		"./a && ./b":             "./a && ./b",
		"X=/a/b ./run":           "X=/a/b ./run",
		"A=/b":                   "A=/b",
		"$HOME/run":              "$HOME/run",
		"./a\n./b":               "./a\n./b",
		"cd /tmp":                "cd /tmp",
	} {
		if diff := cmp.Diff([]string{"/bin/sh", "-l", "-c", want}, argv("/bin/sh", line, "")); diff != "" {
			t.Errorf("argv(%q) (-want +got):\n%s", line, diff)
		}
	}
}

// TestArgvInARealShell: profiles set PATH, and the label's wins.
func TestArgvInARealShell(t *testing.T) {
	for _, line := range []string{`echo "$PATH"`, `/bin/sh -c 'echo "$PATH"'`} {
		args := argv("/bin/sh", line, "/it's/mine:/bin:/usr/bin")
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil || string(out) != "/it's/mine:/bin:/usr/bin\n" {
			t.Errorf("%q printed %q, %v", args, out, err)
		}
	}
}

func TestVariables(t *testing.T) {
	p := person{name: "fish-abcdef", home: "/w/home", temp: "/w/tmp", shell: "/bin/sh", path: systemPath}
	flat, err := metadata.Environment([]byte(`{"A":"{{ .Disks.d }}/x","HOME":"/evil","PATH":"/mine","AQUARIUM_FISH_CA":"x","AQUARIUM_FISH_X":"y","LOGNAME":"me"}`), []byte(`{"PATH":"/mine","AQUARIUM_FISH_X":"y"}`))
	if err != nil {
		t.Fatal(err)
	}
	got := environ(variables(p, flat, map[string]string{"d": "/disk"}, map[string]string{"AQUARIUM_FISH_CA": "/w/ca.crt"}))
	want := []string{
		"A=/disk/x", "AQUARIUM_FISH_CA=/w/ca.crt", "HOME=/w/home", "LOGNAME=me", "PATH=/mine",
		"SHELL=/bin/sh", "TMPDIR=/w/tmp", "USER=fish-abcdef",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environ (-want +got):\n%s", diff)
	}
}
