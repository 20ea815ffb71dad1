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
	if len(pairs) == 1 && resolve(pairs[0].value).Kind == yaml.ScalarNode {
		switch where := resolve(pairs[0].value).Value; strings.ToLower(pairs[0].name) {
		case "file":
			return secretFile(where)
		case "env":
			return secretEnv(where)
		}
	}
	return "", errors.New("want one key: {file: PATH} or {env: NAME}")
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
	w.visit(doc.root, path, 0)
	return w.found
}

// secretName matches the names of keys whose values are secret.
func secretName() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(passw(or)?d|passphrase|secret|token|credentials?|private_key|secret_key|api_key)$`)
}

type secretWalk struct {
	name  *regexp.Regexp
	spent budget
	found []Problem
}

func (w *secretWalk) visit(n *yaml.Node, path string, depth int) {
	n = resolve(n)
	if w.spent.spend(n, path, depth) != nil {
		return
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for i, item := range n.Content {
			w.visit(item, fmt.Sprintf("%s[%d]", path, i), depth+1)
		}
	case yaml.MappingNode:
		pairs, err := w.spent.pairs(n, path, false, depth)
		if err != nil {
			return
		}
		for _, p := range pairs {
			value, key := resolve(p.value), join(path, p.name)
			if value.Kind == yaml.ScalarNode && value.Value != "" && !isNull(value) && w.name.MatchString(p.name) {
				w.found = append(w.found, Problem{Line: p.key.Line, Key: key, Text: "a secret stands here"})
				continue
			}
			w.visit(value, key, depth+1)
		}
	}
}
