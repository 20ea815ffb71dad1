package images

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestNameVersion(t *testing.T) {
	for _, tt := range []struct {
		name          string
		image         Image
		wantN, wantV  string
		wantErrorPart string
	}{
		{name: "from the url", image: Image{URL: "https://host/a/ubuntu2004-python3-ci-20220118.tar.xz"}, wantN: "ubuntu2004-python3-ci", wantV: "20220118"},
		{name: "other archive", image: Image{URL: "http://host/mac-12.zip?sig=1-2"}, wantN: "mac", wantV: "12"},
		{name: "zst", image: Image{URL: "http://host:8080/a-b-1.2.tar.zst"}, wantN: "a-b", wantV: "1.2"},
		{name: "plain", image: Image{URL: "file:///images/a-1.tar"}, wantN: "a", wantV: "1"},
		{name: "name given", image: Image{URL: "https://host/x-7.tar.gz", Name: "mine"}, wantN: "mine", wantV: "7"},
		{name: "both given", image: Image{URL: "https://host/download?id=5", Name: "mine", Version: "2"}, wantN: "mine", wantV: "2"},
		{name: "escaped", image: Image{URL: "https://host/a%2Db-1.tar"}, wantN: "a-b", wantV: "1"},
		{name: "no version", image: Image{URL: "https://host/x.tar.gz"}, wantErrorPart: "no version"},
		{name: "no file", image: Image{URL: "https://host/", Version: "1"}, wantErrorPart: "name"},
		{name: "no url", wantErrorPart: "no url"},
		{name: "scheme", image: Image{URL: "ftp://host/a-1.tar"}, wantErrorPart: "scheme"},
		{name: "no host", image: Image{URL: "https:///a-1.tar"}, wantErrorPart: "no host"},
		{name: "user in url", image: Image{URL: "https://me:secret@host/a-1.tar"}, wantErrorPart: "download_user"},
		{name: "relative file", image: Image{URL: "file://images/a-1.tar"}, wantErrorPart: "absolute"},
		{name: "traversal", image: Image{URL: "https://host/a-1.tar", Name: "../x"}, wantErrorPart: "name"},
		{name: "backslash", image: Image{URL: "https://host/a-1.tar", Version: `1\..\x`}, wantErrorPart: "version"},
		{name: "escaped traversal", image: Image{URL: "https://host/a-..%2F..%2Fx.tar"}, wantN: "", wantErrorPart: "name"},
		{name: "hidden", image: Image{URL: "https://host/a-1.tar", Name: ".fish"}, wantErrorPart: "name"},
		{name: "long", image: Image{URL: "https://host/a-1.tar", Name: strings.Repeat("x", 101)}, wantErrorPart: "name"},
		{name: "control", image: Image{URL: "https://host/a-1.tar", Version: "1\x00"}, wantErrorPart: "version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, v, err := tt.image.NameVersion()
			if tt.wantErrorPart != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErrorPart) {
					t.Fatalf("NameVersion(%+v) = %q, %q, %v, want an error with %q", tt.image, n, v, err, tt.wantErrorPart)
				}
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("error %q shows a secret", err)
				}
				return
			}
			if n != tt.wantN || v != tt.wantV || err != nil {
				t.Errorf("NameVersion(%+v) = %q, %q, %v, want %q, %q", tt.image, n, v, err, tt.wantN, tt.wantV)
			}
		})
	}
}

func TestSum(t *testing.T) {
	hex64 := strings.Repeat("0aF", 22)[:64]
	for _, tt := range []struct {
		name, sum string
		ok        bool
	}{
		{"none", "", true},
		{"sha256", "sha256:" + hex64, true},
		{"upper case", "SHA256:" + strings.ToUpper(hex64), true},
		{"md5", "md5:" + hex64[:32], true},
		{"sha1", "sha1:" + hex64[:40], true},
		{"sha512", "sha512:" + hex64 + hex64, true},
		{"short", "sha256:" + hex64[:63], false},
		{"other length", "sha256:" + hex64[:40], false},
		{"no digits", "sha256:" + strings.Repeat("x", 64), false},
		{"no algorithm", hex64, false},
		{"unknown", "crc32:12345678", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Image{URL: "https://host/a-1.tar", Sum: tt.sum}.Validate()
			if (err == nil) != tt.ok {
				t.Errorf("Validate(sum %q) = %v, want ok %v", tt.sum, err, tt.ok)
			}
		})
	}
}

func TestImageJSON(t *testing.T) {
	var got Image
	raw := `{"url":"u","sum":"s","name":"n","version":"v","tag":"t"}`
	if err := json.Unmarshal([]byte(raw), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Image{URL: "u", Sum: "s", Name: "n", Version: "v", Tag: "t"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadList(t *testing.T) {
	for _, tt := range []struct{ name, list, want string }{
		{"good", `[{"name":"a","version":"1"},{"URL":"u","more":7}]`, ""},
		{"none", `[]`, ""},
		{"nothing", `null`, ""},
		{"a version that YAML takes for a number", `[{"name":"a","version":"1"},{"name":"b","version":1.36}]`,
			"entry 1: version is no text but a JSON number: put it in quotes"},
		{"a name that is a list", `[{"name":["a"]}]`, "entry 0: name is no text but a JSON array"},
		{"one that is no list", `{"name":"a"}`, `got {"name":"a"}, want a list of objects with url`},
		{"a text in it", `["alpine"]`, `entry 0: got "alpine", want a list of objects with url`},
		{"an empty line in it", `[null]`, "entry 0: got null, want a list of objects"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var list []Image
			err := ReadList(json.RawMessage(tt.list), &list)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("ReadList(%s) = %v, want %q", tt.list, err, tt.want)
			}
		})
	}
}

// What is accepted as a name can never leave the cache's folder, reach the
// cache's own files or share a folder with them.
func TestNamesStayInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		image := Image{
			URL:  "https://host/" + rapid.StringMatching(`[a-z./%2Fe\\-]{0,20}`).Draw(t, "file"),
			Name: rapid.StringOf(rapid.SampledFrom([]rune(`a./\-_ ~:`))).Draw(t, "name"), Version: rapid.String().Draw(t, "version"),
		}
		p, err := image.parse()
		if err != nil {
			return
		}
		c := &Cache{opts: Options{Path: "/cache"}}
		for _, place := range c.places(p) {
			rel, err := filepath.Rel("/cache", place)
			if err != nil || !filepath.IsLocal(rel) {
				t.Fatalf("image %+v lies in %s", image, place)
			}
		}
		public := c.places(p)[0]
		if filepath.Dir(public) != filepath.FromSlash("/cache") || filepath.Base(public) == hidden {
			t.Fatalf("image %+v lies in %s", image, public)
		}
	})
}

func TestKeysDiffer(t *testing.T) {
	sha := "sha256:" + strings.Repeat("a", 64)
	images := []Image{
		{URL: "https://host/a-b-c.tar"},
		{URL: "https://host/a-b-c.tar?x=1"},
		{URL: "https://other/a-b-c.tar"},
		{URL: "https://host/a-b-c.tar", Sum: sha},
		{URL: "https://host/a-b-c.tar", Sum: "md5:" + strings.Repeat("a", 32)},
		{URL: "https://host/a-b-c.tar", Name: "a", Version: "b-c"},
	}
	seen := map[string]Image{}
	for _, image := range images {
		p, err := image.parse()
		if err != nil {
			t.Fatal(err)
		}
		if other, there := seen[p.key()]; there {
			t.Errorf("%+v and %+v share a key", image, other)
		}
		seen[p.key()] = image
	}
	same, _ := Image{URL: "https://elsewhere/a-b-c.tar", Sum: strings.ToUpper(sha)}.parse()
	if _, there := seen[same.key()]; !there {
		t.Error("the same sum and name under another URL has another key")
	}
}
