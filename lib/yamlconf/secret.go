package yamlconf

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxSecretSize bounds a secret's file: what is larger is another file.
const maxSecretSize = 64 << 10

// Secret is a value that is for nobody's eyes: a password, a token, a key. In
// the document it is a string, or says where it is: `{file: PATH}`, without
// the newline at its end, or `{env: NAME}`. Printed or logged it hides itself;
// string(s) is the value.
type Secret string

// String hides the value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(secret)"
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the value in JSON and in whatever else is made of it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the value in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

var _ slog.LogValuer = Secret("")

// secret decodes one. No complaint repeats what stands there.
func (d *decoder) secret(n *yaml.Node, path string, v reflect.Value) {
	switch {
	case n.Kind == yaml.ScalarNode && (n.ShortTag() == "!!str" || n.ShortTag() == "!!timestamp"):
		v.SetString(n.Value)
	case n.Kind == yaml.MappingNode:
		value, err := d.referred(n, path)
		if err != nil {
			d.fail(n, path, "%v", err)
		}
		v.SetString(value)
	default:
		d.fail(n, path, "want a string (put it in quotes), {file: PATH} or {env: NAME}")
	}
}

// referred fetches the secret from where the mapping says it is.
func (d *decoder) referred(n *yaml.Node, path string) (string, error) {
	pairs, err := d.spent.pairs(n, path, true, 0)
	if err != nil {
		return "", err
	}
	if len(pairs) == 1 && isReference(n) {
		where := resolve(pairs[0].value).Value
		if strings.EqualFold(pairs[0].name, "file") {
			return secretFile(where)
		}
		return secretEnv(where)
	}
	return "", errors.New("want one key: {file: PATH} or {env: NAME}")
}

// isReference reports whether the node says where a secret is, instead of
// what it is.
func isReference(n *yaml.Node) bool {
	if n.Kind != yaml.MappingNode || len(n.Content) != 2 || resolve(n.Content[1]).Kind != yaml.ScalarNode {
		return false
	}
	name := n.Content[0].Value
	return strings.EqualFold(name, "file") || strings.EqualFold(name, "env")
}

func secretEnv(name string) (string, error) {
	value := os.Getenv(name)
	if value == "" {
		return "", fmt.Errorf("the environment variable %q is not set, or empty: set it where the node is started", name)
	}
	return value, nil
}

func secretFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() { // a pipe could keep the node waiting
		err = errors.New("it is no regular file")
	}
	var data []byte
	if err == nil {
		data, err = readBounded(path)
	}
	if err != nil {
		return "", fmt.Errorf("the file of the secret can not be read, make it and let the node's user read it: %w", err)
	}
	if len(data) > maxSecretSize {
		return "", fmt.Errorf("the file %s is larger than %d bytes, is it the right one?", path, maxSecretSize)
	}
	value := strings.TrimRight(string(data), "\r\n")
	if value == "" {
		return "", fmt.Errorf("the file %s is empty: write the secret into it", path)
	}
	return value, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return io.ReadAll(io.LimitReader(f, maxSecretSize+1))
}

// InlineSecrets lists the keys below path whose names say that they are secret
// and whose values stand in the document itself. It goes by names because a
// driver's part is read before its driver is known.
func InlineSecrets(data []byte, path string) []Problem {
	doc, err := Parse(data)
	if err != nil || doc.root == nil {
		return nil // whoever decodes it says so
	}
	w := &secretWalk{name: secretName()}
	w.visit(doc.root, path, false, 0)
	return w.found
}

// secretName matches the names of keys whose values are secret: each value
// below one, for it may hold a list, or one for each registry.
func secretName() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(passw(or)?ds?|passphrases?|secrets?|tokens?|credentials?|(private|secret|api|access)_?keys?)$`)
}

type secretWalk struct {
	name  *regexp.Regexp
	spent budget
	found []Problem
}

func (w *secretWalk) visit(n *yaml.Node, path string, secret bool, depth int) {
	n = resolve(n)
	if w.spent.spend(n, path, depth) != nil {
		return
	}
	switch n.Kind {
	case yaml.ScalarNode:
		if secret && n.Value != "" && !isNull(n) {
			w.found = append(w.found, Problem{Line: n.Line, Key: path, Text: "a secret stands here"})
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			w.visit(item, fmt.Sprintf("%s[%d]", path, i), secret, depth+1)
		}
	case yaml.MappingNode:
		if secret && isReference(n) {
			return
		}
		pairs, err := w.spent.pairs(n, path, false, depth)
		if err != nil {
			return
		}
		for _, p := range pairs {
			w.visit(p.value, join(path, p.name), secret || w.name.MatchString(p.name), depth+1)
		}
	}
}
