//go:build unix

package vmrunfake

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Dictionary is a file of `key = "value"` lines, as .vmx, .vmsd and the head
// of a .vmdk are. Keys are looked up without regard to case; lines keep their
// order.
type Dictionary struct {
	keys   []string // as written
	values map[string]string
}

// ParseDictionary reads the lines. What is no `key = value` is a comment; a
// value may be quoted or not, lines may end in CRLF. The last of equal keys
// wins.
func ParseDictionary(text string) *Dictionary {
	d := &Dictionary{values: map[string]string{}}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		key, value, found := strings.Cut(line, "=")
		if !found || strings.HasPrefix(line, "#") {
			continue
		}
		value = strings.TrimSpace(value)
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		d.Set(strings.TrimSpace(key), value)
	}
	return d
}

// ReadDictionary reads a file.
func ReadDictionary(path string) (*Dictionary, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return ParseDictionary(string(text)), nil
}

// Get returns the value of the key, or "".
func (d *Dictionary) Get(key string) string { return d.values[strings.ToLower(key)] }

// True says whether the value is VMware's TRUE.
func (d *Dictionary) True(key string) bool { return strings.EqualFold(d.Get(key), "TRUE") }

// Set gives the key a value, in its old place if it has one.
func (d *Dictionary) Set(key, value string) {
	lower := strings.ToLower(key)
	if _, known := d.values[lower]; !known {
		d.keys = append(d.keys, key)
	}
	d.values[lower] = value
}

// Delete forgets the keys that the function names.
func (d *Dictionary) Delete(match func(key string) bool) {
	kept := d.keys[:0]
	for _, key := range d.keys {
		if match(strings.ToLower(key)) {
			delete(d.values, strings.ToLower(key))
			continue
		}
		kept = append(kept, key)
	}
	d.keys = kept
}

// Keys returns the keys in lower case, in the order of the file.
func (d *Dictionary) Keys() []string {
	keys := make([]string, 0, len(d.keys))
	for _, key := range d.keys {
		keys = append(keys, strings.ToLower(key))
	}
	return keys
}

// String is the file's text.
func (d *Dictionary) String() string {
	var text strings.Builder
	for _, key := range d.keys {
		fmt.Fprintf(&text, "%s = \"%s\"\n", key, d.values[strings.ToLower(key)])
	}
	return text.String()
}

// Write replaces the file as a whole.
func (d *Dictionary) Write(path string) error { return replace(path, []byte(d.String())) }

// replace writes a file so that nobody sees half of it.
func replace(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// exists says whether something has the name.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
