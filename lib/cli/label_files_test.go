package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/labelfile"
	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// write puts a file into the user's work folder.
func (f *farmTest) write(name, text string) {
	f.t.Helper()
	if err := durable.WriteFile(filepath.Join(f.options.WorkDir, name), []byte(text), modeOwn); err != nil {
		f.t.Fatal(err)
	}
}

// linuxJSON is a version of a label as a node shows it.
func linuxJSON(version, cpu string) string {
	return `{"UID":"` + labelUID + `","created_at":"2026-11-22T11:00:00Z","definitions":[{"driver":"native","options":{"b":1.50,"a":"x: y"},` +
		`"resources":{"cpu":` + cpu + `,"cpu_overbook":false,"disks":null,"lifetime":"","multitenancy":false,"network":"","node_filter":["OS:linux"],"ram":4,"ram_overbook":false}}],` +
		`"metadata":{},"name":"linux","version":` + version + `}`
}

const linuxYAML = `name: linux
definitions:
  - driver: native
    options:
      a: 'x: y'
      b: 1.50
    resources:
      cpu: 2
      ram: 4
      node_filter:
        - OS:linux
`

// labelFarm is a node with two versions of a label, which takes all others but
// those of the driver bad.
func labelFarm(t *testing.T) *farmTest {
	f := newFarm(t)
	f.on("GET /label/", "["+linuxJSON("4", "2")+","+linuxJSON("3", "1")+"]")
	f.on("POST /label/", linuxJSON("5", "8"))
	f.routes["POST /label/check"] = func(*http.Request) (int, string) {
		if strings.Contains(f.asked[len(f.asked)-1], `"driver":"bad"`) {
			return http.StatusBadRequest, `{"message":"Unable to create label: definition 0: driver bad: no"}`
		}
		return http.StatusOK, `{"warnings":["definition 0: something"]}`
	}
	return f
}

func (f *farmTest) created() (requests []string) {
	for _, line := range f.asked {
		if body, ok := strings.CutPrefix(line, "POST /label/ admin secret "); ok {
			requests = append(requests, body)
		}
	}
	return requests
}

func TestLabelApply(t *testing.T) {
	f := labelFarm(t)
	f.write("labels/a.yaml", linuxYAML+"---\nname: mac\n")
	f.write("labels/b.json", `{"name":"linux","version":9,"definitions":[{"driver":"x","options":{"z":1,"a":2},"resources":{"cpu":1,"ram":1}}]}`)
	f.write("labels/notes.txt", "no label")
	f.write("labels/deep/c.yaml", "name: deep\n")
	want := "LABEL    RESULT            SOURCE\nlinux:4  unchanged         labels/a.yaml, label 1\n" +
		"mac:1    would be created  labels/a.yaml, label 2\nlinux:9  would be created  labels/b.json\n"
	if got := f.ok("label", "apply", "-f", "labels", "--dry-run"); got != want {
		t.Errorf("dry run = %s\nwant %s", got, want)
	}
	if got := f.created(); len(got) != 0 {
		t.Errorf("a dry run creates %v", got)
	}
	if got := f.errs.String(); !strings.Contains(got, "warning: mac:1 (labels/a.yaml, label 2): definition 0: something\n") {
		t.Errorf("warnings are %q", got)
	}
	want = "LABEL    RESULT     SOURCE\nlinux:4  unchanged  labels/a.yaml, label 1\n" +
		"mac:1    created    labels/a.yaml, label 2\nlinux:9  created    labels/b.json\ndeep:1   created    labels/deep/c.yaml\n"
	if got := f.ok("label", "apply", "-f", "labels", "-R"); got != want {
		t.Errorf("apply = %s\nwant %s", got, want)
	}
	created := f.created()
	if len(created) != 3 || !strings.Contains(created[1], `"options":{"z":1,"a":2}`) || !strings.Contains(created[1], `"version":9`) || !strings.Contains(created[0], `"version":1`) {
		t.Errorf("created %v", created)
	}
	f.options.Stdin = strings.NewReader(strings.Replace(linuxYAML, "cpu: 2", "cpu: 8", 1))
	if got := f.ok("label", "apply", "-f", "-", "-o", "json"); !strings.Contains(got, `"label": "linux:5"`) || !strings.Contains(got, `"result": "created"`) {
		t.Errorf("from stdin = %s", got)
	}
}

func TestLabelApplyIsAllOrNothing(t *testing.T) {
	f := labelFarm(t)
	f.write("good.yaml", "name: good\n")
	f.write("refused.yaml", "name: refused\ndefinitions: [{driver: bad, resources: {cpu: 1, ram: 1}}]\n")
	f.write("typo.yaml", "name: typo\ndefinition: []\n")
	f.write("other.yaml", strings.Replace(linuxYAML, "name: linux", "name: linux\nversion: 3", 1))
	f.fails(CodeUsage, `typo.yaml: unknown field "definition"`, "label", "apply", "-f", "good.yaml", "-f", "typo.yaml")
	f.fails(CodeUsage, "there is another linux:3, and labels never change", "label", "apply", "-f", "good.yaml", "-f", "other.yaml")
	f.fails(CodeError, "refused.yaml: Unable to create label: definition 0: driver bad", "label", "apply", "-f", "good.yaml", "-f", "refused.yaml")
	f.fails(CodeUsage, "no such file", "label", "apply", "-f", "good.yaml", "-f", "absent.yaml")
	f.fails(CodeUsage, "name files or folders by -f", "label", "apply")
	f.fails(CodeUsage, "there is no .yaml, .yml or .json file in config", "label", "apply", "-f", f.emptyFolder("config"))
	if got := f.created(); len(got) != 0 {
		t.Errorf("created %v although something was wrong", got)
	}
}

func (f *farmTest) emptyFolder(name string) string {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Join(f.options.WorkDir, name), 0o700); err != nil {
		f.t.Fatal(err)
	}
	return name
}

// TestLabelApplyTellsHowFarItCame: a node that fails in the middle leaves a
// list of what it made.
func TestLabelApplyTellsHowFarItCame(t *testing.T) {
	f := labelFarm(t)
	f.write("l.yaml", "name: a\n---\nname: b\n")
	f.routes["POST /label/"] = func(*http.Request) (int, string) {
		if strings.Contains(f.asked[len(f.asked)-1], `"name":"b"`) {
			return http.StatusInternalServerError, `{"message":"disk full"}`
		}
		return http.StatusOK, linuxJSON("1", "1")
	}
	code, stdout, stderr := f.run("label", "apply", "-f", "l.yaml")
	if code != CodeError || !strings.Contains(stdout, "a:1    created") || strings.Contains(stdout, "b:1") || !strings.Contains(stderr, "disk full") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

func TestLabelCheck(t *testing.T) {
	f := labelFarm(t)
	f.write("l.yaml", linuxYAML)
	f.write("bad.yaml", "name: refused\ndefinitions: [{driver: bad, resources: {cpu: 1, ram: 1}}]\n")
	if got := f.ok("label", "check", "l.yaml"); got != "LABEL  RESULT               SOURCE\nlinux  good, with warnings  l.yaml\n" {
		t.Errorf("check = %q", got)
	}
	if asked := f.asked[len(f.asked)-1]; !strings.Contains(asked, `"version":5`) {
		t.Errorf("what is there already was asked as %s, want the next version", asked)
	}
	f.fails(CodeError, "bad.yaml: Unable to create label", "label", "check", "l.yaml", "bad.yaml")
	if got := f.created(); len(got) != 0 {
		t.Errorf("a check creates %v", got)
	}
}

// TestExportReadsBackTheSame draws labels with nasty texts and numbers, writes
// them as the export does, and reads them as apply does.
func TestExportReadsBackTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var values func(depth int) *rapid.Generator[json.RawMessage]
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
			"yes", "~", "<<", "null", "0x1f", "1e3", "2026-05-01", "a\nb\n", " a", "a\n\n", "\n a", "- x", "#!/bin/sh\n\techo\n", "\r\n", "\u0085", "\ufeff", "", "1_000", "'", "\"", "a: b", "!x", "&x", "*x", "\x00",
			"#!/bin/sh\nif true; then\n\n\techo\tx  \nfi\n", "a\n\tb", "a\n b\n", "a \nb", "\n", "a\n#b\n---\n", "a\tb", "\ta", "x\n\n\n",
		}), rapid.StringMatching(`[ab \t\n:#-]{0,6}`))
		quote := func(s string) json.RawMessage { b, _ := json.Marshal(s); return b }
		values = func(depth int) *rapid.Generator[json.RawMessage] {
			return rapid.Custom(func(t *rapid.T) json.RawMessage {
				switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
				case kind == 0:
					return quote(text.Draw(t, "text"))
				case kind == 1:
					return json.RawMessage(rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,3})?([eE][-+]?[0-9]{1,3})?`).Draw(t, "number"))
				case kind == 2:
					return json.RawMessage(rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "word"))
				case kind == 3 && depth > 0:
					list, _ := json.Marshal(rapid.SliceOfN(values(depth-1), 0, 3).Draw(t, "list"))
					return list
				case depth > 0:
					object, _ := json.Marshal(rapid.MapOfN(text, values(depth-1), 0, 3).Draw(t, "object"))
					return object
				}
				return json.RawMessage("0")
			})
		}
		object, _ := json.Marshal(rapid.MapOfN(text, values(2), 0, 4).Draw(t, "metadata"))
		version := rapid.Int().Draw(t, "version")
		l := labelfile.Label{Name: "n" + text.Draw(t, "name"), Version: &version, Metadata: object, Definitions: []apiv1.LabelDefinition{{
			Driver: text.Draw(t, "driver"), Options: object, Resources: apiv1.Resources{
				CPU: rapid.Uint().Draw(t, "cpu"), Lifetime: text.Draw(t, "lifetime"),
				Disks: map[string]apiv1.Disk{text.Draw(t, "disk"): {Size: 3}}, NodeFilter: []string{text.Draw(t, "filter")},
			},
			Authentication: &apiv1.Authentication{Password: text.Draw(t, "password")},
		}}}
		var b bytes.Buffer
		if err := writeYAML(&b, l); err != nil {
			t.Fatal(err)
		}
		read, err := labelfile.Parse("f.yaml", b.Bytes())
		if err != nil || len(read) != 1 {
			t.Fatalf("Parse() = %d labels, %v of\n%s", len(read), err, b.String())
		}
		before, _ := json.Marshal(l)
		after, _ := json.Marshal(read[0])
		if diff := cmp.Diff(string(before), string(after)); diff != "" {
			t.Fatalf("it reads back as another (-wrote +read):\n%s\nof\n%s", diff, b.String())
		}
	})
}
