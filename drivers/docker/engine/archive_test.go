package engine

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type member struct {
	name, body, link string
	kind             byte // a file where it is 0
}

func writeTar(t testing.TB, members ...member) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Linkname: m.link, Typeflag: m.kind, Mode: 0o600, Size: int64(len(m.body))}
		if m.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return writeFile(t, b.Bytes())
}

func writeFile(t testing.TB, content []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const oneImage = `[{"Config":"c.json","RepoTags":["alpine:latest"],"Layers":["l/layer.tar"]}]`

func TestSavedArchives(t *testing.T) {
	good := []member{{name: manifestFile, body: oneImage}, {name: "c.json", body: "{}"}, {name: "l/layer.tar", body: "x"}}
	with := func(m ...member) []member { return append(append([]member{}, good...), m...) }
	many := make([]member, 0, maxMembers+1)
	for n := range maxMembers + 1 {
		many = append(many, member{name: fmt.Sprint(n)})
	}
	two := `[{"Config":"b.json","RepoTags":["other:1"]},{"Config":"c.json","RepoTags":["reg.example.com/a:1"]}]`
	for _, tt := range []struct {
		name    string
		members []member
		want    string // in the error; "" is none
	}{
		{"good", good, ""},
		{"a link to a layer", with(member{name: "m/layer.tar", link: "../l/layer.tar", kind: tar.TypeSymlink}), ""},
		{"one of two", []member{{name: manifestFile, body: two}, {name: "c.json", body: "{}"}}, ""},
		{"none of two", []member{{name: manifestFile, body: strings.ReplaceAll(two, "a:1", "b:1")}}, "none is a:1"},
		{"no manifest", []member{{name: "repositories", body: "{}"}}, "no manifest.json"},
		{"no JSON", []member{{name: manifestFile, body: "<html>"}}, "can not be read"},
		{"no image", []member{{name: manifestFile, body: "[]"}}, "0 images"},
		{"configuration not there", []member{{name: manifestFile, body: oneImage}}, "not there"},
		{"a member leads out", with(member{name: "../../etc/cron.d/x", body: "x"}), "leads out"},
		{"an absolute member", with(member{name: "/etc/cron.d/x", body: "x"}), "leads out"},
		{"a link leads out", with(member{name: "l/x", link: "../../x", kind: tar.TypeSymlink}), "leads out"},
		{"an absolute link", with(member{name: "l/x", link: "/etc", kind: tar.TypeSymlink}), "leads out"},
		{"a member behind a link", with(member{name: "x", link: ".", kind: tar.TypeSymlink}, member{name: "x/y/" + manifestFile, body: oneImage}), "behind its link"},
		{"a device", with(member{name: "l/x", kind: tar.TypeBlock}), "no file, folder or link"},
		{"a hard link", with(member{name: "l/x", link: "c.json", kind: tar.TypeLink}), "no file, folder or link"},
		{"too many", append(many, good...), "more than"},
		{"large manifest", []member{{name: manifestFile, body: strings.Repeat(" ", maxManifest+1)}}, "larger than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := openSaved(writeTar(t, tt.members...), "a", "1")
			if err == nil {
				s.file.Close()
			}
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("openSaved = %v, want %q", err, tt.want)
			}
		})
	}
}

// A hole takes no room in an archive, and all it states in the engine.
func TestSavedArchiveWithHoles(t *testing.T) {
	const size = 1 << 40
	records := ""
	for _, r := range []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=l/layer.tar", fmt.Sprintf("GNU.sparse.realsize=%d", size)} {
		records += fmt.Sprintf("%d %s\n", len(r)+4, r) // two digits, a space and the line's end
	}
	file := writeTar(t, member{name: manifestFile, body: oneImage}, member{name: "c.json", body: "{}"},
		member{name: "pax", body: records}, member{name: "l/layer.tar", body: "0\n" + strings.Repeat("\x00", 510)})
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(raw, []byte("pax\x00"))
	raw[at+156] = tar.TypeXHeader // which the writer makes for itself only
	sum := 0
	copy(raw[at+148:], "        ")
	for _, c := range raw[at : at+512] {
		sum += int(c)
	}
	copy(raw[at+148:], fmt.Sprintf("%06o\x00 ", sum))
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openSaved(file, "a", "1")
	if err == nil {
		s.file.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "without holes") {
		t.Errorf("openSaved = %v", err)
	}
}

func TestSavedArchiveIsTruncated(t *testing.T) {
	file := writeTar(t, member{name: manifestFile, body: oneImage}, member{name: "c.json", body: "{}"},
		member{name: "l/layer.tar", body: strings.Repeat("x", 5000)}, member{name: "z", body: "z"})
	if err := os.Truncate(file, 4096); err != nil {
		t.Fatal(err)
	}
	if _, err := openSaved(file, "a", "1"); err == nil {
		t.Error("half an archive is no error")
	}
}

// An engine must read no name but ours, from whichever table it reads names.
func TestArchiveIsWrittenUnderOneName(t *testing.T) {
	const stolen = "alpine:latest"
	s, err := openSaved(writeTar(t,
		member{name: "c.json", body: "{}"}, member{name: "./l/layer.tar", body: "layer"},
		member{name: "repositories", body: `{"alpine":{"latest":"1"}}`},
		member{name: "index.json", body: `{"manifests":[{"annotations":{"io.containerd.image.name":"` + stolen + `"}}]}`},
		member{name: "oci-layout", body: `{"imageLayoutVersion":"1.0.0"}`}, member{name: manifestFile, body: oneImage},
	), "a", "1")
	if err != nil {
		t.Fatal(err)
	}
	defer s.file.Close()
	var b bytes.Buffer
	if err := s.writeAs(&b, "localhost/ours:1"); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(r)
		got[h.Name] = string(text)
		if strings.Contains(string(text), "alpine") {
			t.Errorf("%s holds the archive's own name: %s", h.Name, text)
		}
	}
	if len(got) != 3 || got["c.json"] != "{}" || got["l/layer.tar"] != "layer" ||
		got[manifestFile] != `[{"Config":"c.json","RepoTags":["localhost/ours:1"],"Layers":["l/layer.tar"]}]` {
		t.Errorf("archive = %q", got)
	}
}
