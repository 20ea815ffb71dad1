package offline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/enrol"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// configFile is the node's config, which a join completes.
type configFile struct {
	path   string // empty: none was named
	exists bool
	text   []byte
	mode   fs.FileMode
}

// openConfig reads the file that is named, which need not exist.
func openConfig(path string) (*configFile, error) {
	f := &configFile{path: path, mode: 0o600}
	if path == "" {
		return f, nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		f.exists, f.mode = true, info.Mode().Perm()
		f.text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read config file: %w", err)
	}
	return f, nil
}

// complete writes the keys that a member needs and the file lacks, and returns what somebody has to write there by hand:
// a key that has another value is not touched, nor is a file whose end can not be added to.
func (f *configFile) complete(ctx context.Context, j *joining, journal *enrol.Journal) (missing string, err error) {
	lines, err := f.lacking(j, journal)
	if err != nil || lines == "" {
		return lines, err
	}
	if f.path == "" {
		return lines, nil
	}
	text := bytes.Clone(f.text)
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		text = append(text, '\n')
	}
	text = append(text, lines...)
	if !f.good(ctx, j, text, journal) {
		return lines, nil
	}
	if err := durable.WriteFile(f.path, text, f.mode); err != nil {
		return "", fmt.Errorf("complete config: %w", err)
	}
	return "", nil
}

// lacking are the lines that the file does not have.
func (f *configFile) lacking(j *joining, journal *enrol.Journal) (string, error) {
	doc, err := yamlconf.Parse(f.text)
	if err != nil {
		return "", fmt.Errorf("config %s: %w", f.path, err)
	}
	given := config.Default()
	if err := doc.Decode(&given); err != nil { // it was read before: now it knows its lines
		return "", fmt.Errorf("config %s: %w", f.path, err)
	}
	var b strings.Builder
	add := func(key string, value any) {
		text, _ := json.Marshal(value) // texts, and JSON is YAML
		fmt.Fprintf(&b, "%s: %s\n", key, text)
	}
	flags := j.target.flags
	for _, k := range []struct{ key, flag, value string }{
		{"node_name", j.cfg.NodeName, j.cfg.NodeName}, {"node_address", flags.Node, j.cfg.NodeAddress}, {"directory", flags.Dir, j.cfg.Directory},
	} {
		if k.flag != "" && doc.Line(k.key) == 0 {
			add(k.key, k.value)
		}
	}
	if !slices.ContainsFunc(j.cfg.ClusterJoin, func(a string) bool { return slices.Contains(journal.Addresses, a) }) {
		add("cluster_join", journal.Addresses)
	}
	return b.String(), nil
}

// good reports whether the node would read the text as it is meant.
func (f *configFile) good(ctx context.Context, j *joining, text []byte, journal *enrol.Journal) bool {
	temp, err := os.CreateTemp("", "aquarium-fish-*.yml") // mode 0600: there may be secrets inside
	if err != nil {
		return false
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.Write(text)
	if errors.Join(err, temp.Close()) != nil {
		return false
	}
	flags := j.target.flags
	flags.File = temp.Name()
	cfg, _, err := config.Load(ctx, flags, j.Host)
	return err == nil && cfg.NodeName == j.cfg.NodeName && cfg.Directory == j.cfg.Directory && slices.Equal(cfg.ClusterJoin, journal.Addresses)
}
