package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// contexts is the file of farms that the user works with.
type contexts struct {
	// Current is the name of the farm that is asked where nothing else is said; empty for none.
	Current string `yaml:"current,omitempty"`
	Farms   []farm `yaml:"contexts"`
}

// farm is one context: a node of a farm to ask, and as whom. It holds no password.
type farm struct {
	Name    string `yaml:"name"`
	Address string `yaml:"address"`
	User    string `yaml:"user,omitempty"`
	// PasswordFile is the path of a file that holds the password; the user's own, readable by nobody else.
	PasswordFile string `yaml:"password_file,omitempty"`
	// CA is the PEM text of the certificates to trust, pinned when the context was added; empty for the system's.
	CA string `yaml:"ca,omitempty"`
}

// find returns the farm of that name.
func (c *contexts) find(name string) (farm, bool) {
	i := slices.IndexFunc(c.Farms, func(f farm) bool { return f.Name == name })
	if i < 0 {
		return farm{}, false
	}
	return c.Farms[i], true
}

// chosenContext is the one that flags, environment or file name; the zero farm if none does.
func (s *shell) chosenContext() (farm, error) {
	named := cmp.Or(s.target.context, s.Env(envContext))
	if named == "" && s.ConfigDir == "" {
		return farm{}, nil
	}
	all, err := s.loadContexts()
	if err != nil {
		return farm{}, err
	}
	name := cmp.Or(named, all.Current)
	if name == "" {
		return farm{}, nil
	}
	f, ok := all.find(name)
	if !ok {
		return farm{}, usagef("there is no context %q: 'aquarium-fish context list' shows those there are", name)
	}
	return f, nil
}

// modeOwn is for files of the user alone.
const modeOwn fs.FileMode = 0o600

func (s *shell) contextsFile() string { return filepath.Join(s.ConfigDir, "contexts.yaml") }

// loadContexts reads the file; without one there are no contexts.
func (s *shell) loadContexts() (*contexts, error) {
	if s.ConfigDir == "" {
		return nil, usagef("no folder for contexts: set HOME or XDG_CONFIG_HOME")
	}
	c := &contexts{}
	text, err := readLimited(s.contextsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, usagef("read contexts: %w", err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return nil, usagef("read contexts: %s: %w: mend or remove the file", s.contextsFile(), err)
	}
	return c, nil
}

// saveContexts replaces the file at once, so that no other command sees half of it.
func (s *shell) saveContexts(c *contexts) error {
	text, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("write contexts: %w", err)
	}
	if err := durable.WriteFile(s.contextsFile(), text, modeOwn); err != nil {
		return fmt.Errorf("write contexts: %w", err)
	}
	return nil
}
