// Package vmxfile reads and changes the text files in which VMware describes a
// virtual machine: lines of `key = "value"`, in files that end in .vmx and
// .vmsd. What it does not understand it leaves as it is.
package vmxfile

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// maxSize bounds a file: real ones have a few kilobytes.
const maxSize = 4 << 20

// File is such a file in memory. Keys are the same in any case, as they are for
// VMware.
type File struct{ lines []string }

// Parse reads the text of a file.
func Parse(text []byte) (*File, error) {
	if len(text) > maxSize {
		return nil, fmt.Errorf("has %d bytes, want at most %d", len(text), maxSize)
	}
	if strings.ContainsRune(string(text), 0) {
		return nil, errors.New("holds a NUL character: it is no text file, or was cut by a crash")
	}
	clean := strings.ReplaceAll(string(text), "\r\n", "\n")
	if clean = strings.TrimSuffix(clean, "\n"); clean == "" {
		return &File{}, nil
	}
	return &File{lines: strings.Split(clean, "\n")}, nil
}

// Read reads a file.
func Read(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return f, nil
}

// Get returns the value of a key; the last line of the key counts.
func (f *File) Get(key string) (value string, ok bool) {
	for i := len(f.lines) - 1; i >= 0; i-- {
		if k, v, is := split(f.lines[i]); is && strings.EqualFold(k, key) {
			return v, true
		}
	}
	return "", false
}

// True reports whether a key is set to what VMware takes for yes.
func (f *File) True(key string) bool {
	v, _ := f.Get(key)
	return strings.EqualFold(v, "TRUE") || v == "1"
}

// Keys lists the keys in their order, each once, in lower case.
func (f *File) Keys() []string {
	var keys []string
	seen := map[string]bool{}
	for _, line := range f.lines {
		k, _, is := split(line)
		if k = strings.ToLower(k); is && !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	return keys
}

// Set gives a key its value, in the place of its first line or at the end.
func (f *File) Set(key, value string) {
	line := key + ` = "` + escape(value) + `"`
	kept, done := f.lines[:0], false
	for _, l := range f.lines {
		if k, _, is := split(l); is && strings.EqualFold(k, key) {
			if done {
				continue
			}
			l, done = line, true
		}
		kept = append(kept, l)
	}
	if !done {
		kept = append(kept, line)
	}
	f.lines = kept
}

// Remove removes all keys that the function names; they come in lower case.
func (f *File) Remove(which func(key string) bool) {
	kept := f.lines[:0]
	for _, l := range f.lines {
		if k, _, is := split(l); is && which(strings.ToLower(k)) {
			continue
		}
		kept = append(kept, l)
	}
	f.lines = kept
}

// Bytes is the text of the file.
func (f *File) Bytes() []byte {
	if len(f.lines) == 0 {
		return nil
	}
	return []byte(strings.Join(f.lines, "\n") + "\n")
}

// Write replaces a file whole or not at all.
func (f *File) Write(path string) error { return durable.WriteFile(path, f.Bytes(), 0o600) }

// split reads one line; comments and what is no assignment are none.
func split(line string) (key, value string, ok bool) {
	key, rest, ok := strings.Cut(line, "=")
	key, rest = strings.TrimSpace(key), strings.TrimSpace(rest)
	if !ok || key == "" || key[0] == '#' {
		return "", "", false
	}
	if inner, quoted := strings.CutPrefix(rest, `"`); quoted {
		rest, _, _ = strings.Cut(inner, `"`) // a quote within a value is escaped
	}
	return key, unescape(rest), true
}

// escape writes as |XX what would end the value or the line.
func escape(value string) string {
	var b strings.Builder
	for _, r := range value {
		if r == '"' || r == '|' || r < ' ' || r == 0x7f {
			fmt.Fprintf(&b, "|%02X", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func unescape(value string) string {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] == '|' && i+2 < len(value) {
			if n, err := strconv.ParseUint(value[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(value[i])
	}
	return b.String()
}
