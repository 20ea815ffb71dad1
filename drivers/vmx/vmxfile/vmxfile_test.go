package vmxfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sample = `.encoding = "UTF-8"
config.version = "8"
# a comment = "kept"
displayName = "a |22quoted|22 name"
Ethernet0.Present="TRUE"

nonsense without a sign
memsize = 1024
memsize = "2048"
`

func parse(t *testing.T, text string) *File {
	t.Helper()
	f, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestGet(t *testing.T) {
	f := parse(t, strings.ReplaceAll(sample, "\n", "\r\n"))
	for key, want := range map[string]string{
		".encoding": "UTF-8", "displayname": `a "quoted" name`, "ethernet0.present": "TRUE", "MEMSIZE": "2048",
	} {
		if got, ok := f.Get(key); !ok || got != want {
			t.Errorf("Get(%q) = %q, %v, want %q", key, got, ok, want)
		}
	}
	for _, key := range []string{"a comment", "# a comment", "nothing", ""} {
		if got, ok := f.Get(key); ok {
			t.Errorf("Get(%q) = %q, want nothing", key, got)
		}
	}
	if !f.True("ethernet0.present") || f.True("memsize") || f.True("nothing") {
		t.Error("True() does not tell yes from no")
	}
	if diff := cmp.Diff([]string{".encoding", "config.version", "displayname", "ethernet0.present", "memsize"}, f.Keys()); diff != "" {
		t.Errorf("Keys() (-want +got):\n%s", diff)
	}
}

func TestSetKeepsTheRest(t *testing.T) {
	f := parse(t, sample)
	f.Set("MemSize", "4096")
	f.Set("numvcpus", "2")
	f.Remove(func(key string) bool { return strings.HasPrefix(key, "ethernet0.") })
	want := `.encoding = "UTF-8"
config.version = "8"
# a comment = "kept"
displayName = "a |22quoted|22 name"

nonsense without a sign
MemSize = "4096"
numvcpus = "2"
`
	if diff := cmp.Diff(want, string(f.Bytes())); diff != "" {
		t.Errorf("Bytes() (-want +got):\n%s", diff)
	}
}

// Nothing that a label says may become a line of its own.
func TestValuesStayValues(t *testing.T) {
	for _, value := range []string{`a"b`, "a\nevil = \"yes", "a|b", "a\r\n", "é ü", `\`, `"`, "|"} {
		f := parse(t, "a = \"1\"\n")
		f.Set("key", value)
		again := parse(t, string(f.Bytes()))
		if got, _ := again.Get("key"); got != value {
			t.Errorf("Get() after Set(%q) = %q", value, got)
		}
		if n := len(again.Keys()); n != 2 {
			t.Errorf("Set(%q) made %d keys, want 2", value, n)
		}
	}
}

func TestRefused(t *testing.T) {
	if _, err := Parse([]byte("a = \"b\x00\"")); err == nil {
		t.Error("Parse() of NULs = nil, want an error")
	}
	if _, err := Parse(make([]byte, maxSize+1)); err == nil {
		t.Error("Parse() of a huge file = nil, want an error")
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read() of nothing = %v, want fs.ErrNotExist", err)
	}
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.vmx")
	f := parse(t, "a = \"1\"\n")
	if err := f.Write(path); err != nil {
		t.Fatal(err)
	}
	f.Set("a", "2")
	if err := f.Write(path); err != nil {
		t.Fatal(err)
	}
	again, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := again.Get("a"); got != "2" {
		t.Errorf("a = %q, want 2", got)
	}
	if found, _ := os.ReadDir(filepath.Dir(path)); len(found) != 1 {
		t.Errorf("%d files, want one", len(found))
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample, "key", "value")
	f.Fuzz(func(t *testing.T, text, key, value string) {
		file, err := Parse([]byte(text))
		if err != nil {
			return
		}
		if strings.TrimSpace(key) != key || key == "" || strings.ContainsAny(key, "=#\n\r\x00\"") {
			return
		}
		file.Set(key, value)
		if got, ok := file.Get(key); !ok || got != strings.ToValidUTF8(value, "\uFFFD") && strings.ToValidUTF8(value, "") == value {
			t.Errorf("Get() after Set(%q, %q) = %q, %v", key, value, got, ok)
		}
	})
}
