package engine

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

const sumA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func quiet(t testing.TB, change func(*Options)) *Images {
	t.Helper()
	o := Options{Logger: slog.New(slog.DiscardHandler), WorkPath: t.TempDir(), Cache: images.Options{Path: t.TempDir()}}
	if change != nil {
		change(&o)
	}
	i, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Close() })
	return i
}

func TestNamesOfImagesWithoutURL(t *testing.T) {
	i := quiet(t, nil)
	for _, tt := range []struct {
		name  string
		image images.Image
		want  string // the reference, or what the error says
		bad   bool
	}{
		{name: "hub", image: images.Image{Name: "alpine", Version: "3.20"}, want: "docker.io/library/alpine:3.20"},
		{name: "tag in the name", image: images.Image{Name: "alpine:3.20"}, want: "docker.io/library/alpine:3.20"},
		{name: "tag twice the same", image: images.Image{Name: "alpine:3.20", Version: "3.20"}, want: "docker.io/library/alpine:3.20"},
		{name: "tag for a version", image: images.Image{Name: "ci/agent", Tag: "v1"}, want: "docker.io/ci/agent:v1"},
		{name: "no tag", image: images.Image{Name: "alpine"}, want: "docker.io/library/alpine:latest"},
		{name: "port and path", image: images.Image{Name: "reg.example.com:5000/team/a", Version: "1"}, want: "reg.example.com:5000/team/a:1"},
		{name: "digest", image: images.Image{Name: "reg.example.com/a@" + sumA}, want: "reg.example.com/a@" + sumA},
		{name: "digest beside a tag", image: images.Image{Name: "alpine:3@" + sumA}, want: "docker.io/library/alpine@" + sumA},
		{name: "digest as version", image: images.Image{Name: "alpine", Version: sumA}, want: "docker.io/library/alpine@" + sumA},
		{name: "nothing", bad: true, want: "set url to an archive, or name"},
		{name: "upper case", image: images.Image{Name: "Alpine", Version: "1"}, bad: true, want: "lowercase"},
		{name: "bad tag", image: images.Image{Name: "alpine", Version: "a b"}, bad: true, want: "want [host[:port]/]path"},
		{name: "two tags", image: images.Image{Name: "alpine:3", Version: "4"}, bad: true, want: "remove version"},
		{name: "version and tag", image: images.Image{Name: "alpine", Version: "3", Tag: "4"}, bad: true, want: "set one"},
		{name: "sum", image: images.Image{Name: "alpine", Sum: sumA}, bad: true, want: "name@sha256"},
		{name: "an ID", image: images.Image{Name: sumA}, bad: true, want: "ID says nothing"},
		{name: "leads out", image: images.Image{Name: "../../x"}, bad: true, want: "invalid reference"},
		{name: "query", image: images.Image{Name: "a?fromSrc=-"}, bad: true, want: "invalid reference"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, err := i.read(tt.image)
			if (err != nil) != tt.bad {
				t.Fatalf("read(%+v) = %v", tt.image, err)
			}
			if tt.bad {
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %q does not say %q", err, tt.want)
				}
			} else if got := w.ref.String(); got != tt.want {
				t.Errorf("reference = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestCheckNamesTheEntry(t *testing.T) {
	i := quiet(t, nil)
	err := i.Check([]images.Image{{Name: "a", Version: "1"}, {}})
	if err == nil || !strings.HasPrefix(err.Error(), "images[1]: ") {
		t.Errorf("error = %v", err)
	}
	if err := i.Check(nil); err == nil {
		t.Error("an empty list is no error")
	}
}

func TestRequiredSumWantsADigest(t *testing.T) {
	i := quiet(t, func(o *Options) { o.Cache.RequireSum = "sha256" })
	if err := i.Check([]images.Image{{Name: "alpine", Version: "3"}}); err == nil || !strings.Contains(err.Error(), "images_require_sum") {
		t.Errorf("a tag that may move: %v", err)
	}
	if err := i.Check([]images.Image{{Name: "alpine@" + sumA}}); err != nil {
		t.Error(err)
	}
}

func TestWhatMakesImagesTheSame(t *testing.T) {
	i := quiet(t, nil)
	archive := func(url, sum string) images.Image { return images.Image{URL: "https://h/" + url, Sum: sum} }
	base := archive("a-1.tar.xz", sumA)
	for _, tt := range []struct {
		name string
		a, b images.Image
		same bool
	}{
		{"the sum decides, not the place", base, archive("mirror/a-1.tar.xz", strings.ToUpper(sumA)), true},
		{"another sum", base, archive("a-1.tar.xz", strings.ReplaceAll(sumA, "aa", "ab")), false},
		{"another version", base, archive("a-2.tar.xz", sumA), false},
		{"without sum the place", archive("a-1.tar.xz", ""), archive("x/a-1.tar.xz", ""), false},
		{"names of the hub", images.Image{Name: "a", Version: "1"}, images.Image{Name: "docker.io/library/a:1"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := i.read(tt.a)
			if err != nil {
				t.Fatal(err)
			}
			b, err := i.read(tt.b)
			if err != nil {
				t.Fatal(err)
			}
			if (a.key == b.key) != tt.same {
				t.Errorf("same = %v, want %v", a.key == b.key, tt.same)
			}
		})
	}
}

func TestLoadedTagTellsNameAndVersion(t *testing.T) {
	key := keyOf("x")
	for _, tt := range []struct{ name, version string }{
		{"ubuntu2004-python3-ci", "20220118"}, {"a_b+c~d@e", "1__2"}, {"ü", "."},
	} {
		tag := loadedTag(key, tt.name, tt.version)
		gotKey, name, version := splitTag(tag)
		if gotKey != key || name != tt.name || version != tt.version {
			t.Errorf("splitTag(%q) = %q, %q, %q", tag, gotKey, name, version)
		}
	}
	if tag := loadedTag(key, strings.Repeat("n", 100), strings.Repeat("+", 100)); len(tag) > maxTag || !strings.HasPrefix(tag, key) {
		t.Errorf("tag of %d bytes: %s", len(tag), tag)
	}
}

func TestRegistriesOfTheConfig(t *testing.T) {
	secret := yamlconf.Secret("hush-hush")
	for _, tt := range []struct {
		name, host, want string // the host found, or what the error says
		bad              bool
	}{
		{name: "hub", host: "docker.io", want: dockerHub},
		{name: "hub as login files name it", host: "https://index.docker.io/v1/", want: dockerHub},
		{name: "port", host: "Reg.example.com:5000", want: "reg.example.com:5000"},
		{name: "localhost", host: "localhost", want: "localhost"},
		{name: "empty", bad: true, want: "empty"},
		{name: "a word", host: "registry", bad: true, want: "dot or a port"},
		{name: "user in it", host: "u:p@reg.example.com", bad: true, want: "no registry's host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := registriesByHost([]Registry{{Host: tt.host, User: "u", Password: secret}})
			if (err != nil) != tt.bad {
				t.Fatalf("error = %v", err)
			}
			if tt.bad {
				if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hush") {
					t.Errorf("error = %v", err)
				}
			} else if _, ok := got[tt.want]; !ok {
				t.Errorf("hosts = %v, want %s", got, tt.want)
			}
		})
	}
	if _, err := registriesByHost([]Registry{{Host: "docker.io", User: "a"}, {Host: "index.docker.io", User: "b"}}); err == nil {
		t.Error("two logins for one registry are no error")
	}
	if _, err := registriesByHost([]Registry{{Host: "docker.io", Password: secret}}); err == nil {
		t.Error("a login without user is no error")
	}
}
