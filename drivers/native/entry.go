package native

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
)

// entry is the command line that an environment runs, with places for the
// paths of its disks.
type entry struct{ template *template.Template }

// places is what the template of an entry may name.
type places struct{ Disks map[string]string }

// maxEntry bounds an entry in bytes, before and after its places are filled:
// far below what systems take as one argument (128 KB on Linux).
const maxEntry = 32 << 10

// parseEntry reads an entry, and fills it once to find out that it names no
// disk that is not there. The text is an admin's; it is checked nevertheless,
// because what it breaks would break at midnight.
func parseEntry(text string, disks []string) (entry, error) {
	if strings.TrimSpace(text) == "" {
		return entry{}, errNoEntry
	}
	if strings.ContainsRune(text, 0) {
		return entry{}, fmt.Errorf("holds a NUL character")
	}
	if len(text) > maxEntry {
		return entry{}, fmt.Errorf("is %d bytes, want at most %d", len(text), maxEntry)
	}
	t, err := template.New("entry").Option("missingkey=error").Parse(text)
	if err != nil {
		return entry{}, fmt.Errorf("is no Go template: %w", err)
	}
	for _, defined := range t.Templates() { // bounded output does not bound a loop that prints nothing
		if defined.Tree != nil && loops(defined.Root) {
			return entry{}, errors.New("may name disks, but not use range or template")
		}
	}
	e := entry{t}
	sample := make(map[string]string, len(disks))
	for _, name := range disks {
		sample[name] = "/" + name
	}
	if _, err := e.fill(sample); err != nil {
		return entry{}, err
	}
	return e, nil
}

// loops reports whether a part of a template may run for ever.
func loops(n parse.Node) bool {
	switch n := n.(type) {
	case *parse.ListNode:
		return n != nil && slices.ContainsFunc(n.Nodes, loops)
	case *parse.IfNode:
		return loops(n.List) || loops(n.ElseList)
	case *parse.WithNode:
		return loops(n.List) || loops(n.ElseList)
	case *parse.RangeNode, *parse.TemplateNode:
		return true
	}
	return false
}

// fill puts the paths of the disks into the command line.
func (e entry) fill(disks map[string]string) (string, error) {
	if disks == nil {
		disks = map[string]string{}
	}
	b := bounded{left: maxEntry}
	if err := e.template.Execute(&b, places{disks}); err != nil {
		return "", fmt.Errorf("fill template: %w", err)
	}
	return b.text.String(), nil
}

// bounded is a builder that refuses to grow past a bound.
type bounded struct {
	text strings.Builder
	left int // bytes
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, fmt.Errorf("is more than %d bytes when filled", maxEntry)
	}
	return b.text.Write(p)
}

// diskPlace is what stands for the path of a disk in metadata. Users write
// metadata, and much in it looks like a template and is none: so only these
// two forms are replaced, and only for disks that exist.
func diskPlace() *regexp.Regexp {
	return regexp.MustCompile(`\{\{-?\s*(?:\.Disks\.([A-Za-z_][A-Za-z0-9_]*)|index\s+\.Disks\s+"([^"\\]*)")\s*-?\}\}`)
}

// fillValue puts the paths of disks into a value of the metadata.
func fillValue(value string, disks map[string]string) string {
	if !strings.Contains(value, "{{") {
		return value
	}
	place := diskPlace()
	return place.ReplaceAllStringFunc(value, func(found string) string {
		m := place.FindStringSubmatch(found)
		if path, ok := disks[m[1]+m[2]]; ok {
			return path
		}
		return found
	})
}

// argv is how a login shell runs the command line. A path is run in the
// shell's place, so that its end by a signal is seen as one; anything else
// may be a builtin or more than one command, and is left to the shell. path,
// if not empty, is a PATH that the label sets: profiles overwrite it.
func argv(shell, line, path string) []string {
	if isPath(line) {
		line = "exec " + line
	}
	if path != "" {
		line = "export PATH=" + quote(path) + "; " + line
	}
	return []string{shell, "-l", "-c", line}
}

// isPath reports whether the line is surely one command that is named by path.
func isPath(line string) bool {
	if strings.ContainsAny(line, ";&|<>(){}`\n#") {
		return false
	}
	words := strings.Fields(line)
	return len(words) > 0 && strings.Contains(words[0], "/") && !strings.ContainsAny(words[0], "='\"\\$*?[~!")
}
