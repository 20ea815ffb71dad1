package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"
)

// Label describes the environments that applications may ask for. Any node
// writes it; it is immutable: created and deleted, never changed. (name,
// version) is unique; the highest version is the newest.
type Label struct {
	UID         UID
	Name        string
	Version     int
	Definitions []LabelDefinition
	Metadata    json.RawMessage // a JSON object
	CreatedAt   time.Time
	HLC         HLC
}

// LabelDefinition is one way to run a Label: on which driver instance, with
// what. Definitions are in order of preference.
type LabelDefinition struct {
	Driver         string          `json:"driver"` // an instance's full name, such as "test" or "aws/dev"
	Options        json.RawMessage `json:"options"`
	Resources      Resources       `json:"resources"`
	Authentication *Authentication `json:"authentication,omitempty"`
}

// Resources is what an environment takes and where it may run.
type Resources struct {
	CPU          uint            `json:"cpu"`
	RAM          uint            `json:"ram"` // GB
	Disks        map[string]Disk `json:"disks"`
	Network      string          `json:"network"`
	NodeFilter   []string        `json:"node_filter"`
	Multitenancy bool            `json:"multitenancy"`
	CPUOverbook  bool            `json:"cpu_overbook"`
	RAMOverbook  bool            `json:"ram_overbook"`
	Lifetime     string          `json:"lifetime"` // Go duration; "" and zero: the node's default; negative: unlimited
}

// Disk is a disk of an environment; what its fields mean is the driver's
// business (contract 30).
type Disk struct {
	Type  string `json:"type"`
	Label string `json:"label"`
	Size  uint   `json:"size"` // GB
	Reuse bool   `json:"reuse"`
	Clone string `json:"clone"`
}

// Authentication is how to log in to an environment.
type Authentication struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Port     int    `json:"port"`
	Key      string `json:"key"` // private key, PEM
}

// Validate makes the checks of contract 8, in its order, and one more: a node
// filter that can never match anything is refused, because an application of
// it would wait for ever.
func (l Label) Validate() error {
	if l.Name == "" {
		return errors.New("name can't be empty")
	}
	for i, d := range l.Definitions {
		if err := d.validate(); err != nil {
			return fmt.Errorf("definition %d: %w", i, err)
		}
	}
	return nil
}

func (d LabelDefinition) validate() error {
	if d.Driver == "" {
		return errors.New("driver can't be empty")
	}
	if d.Resources.CPU < 1 {
		return errors.New("resources: cpu must be 1 or more")
	}
	if d.Resources.RAM < 1 {
		return errors.New("resources: ram must be 1 (GB) or more")
	}
	if _, err := ParseLifetime(d.Resources.Lifetime, 0); err != nil {
		return fmt.Errorf("resources: %w", err)
	}
	for _, pattern := range d.Resources.NodeFilter {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("resources: node_filter %q is not a valid pattern", pattern)
		}
	}
	return nil
}

// ParseLifetime returns how long an environment may live: the label's lifetime
// where it sets a positive one, fallback (the node's default) where it is
// empty or zero, and 0 = unlimited where it is negative or both are unset
// (contract 14, 27.12).
func ParseLifetime(lifetime string, fallback time.Duration) (time.Duration, error) {
	if lifetime == "" {
		return fallback, nil
	}
	d, err := time.ParseDuration(lifetime)
	if err != nil {
		return 0, fmt.Errorf("lifetime %q is not a duration such as 1h30m", lifetime)
	}
	switch {
	case d < 0:
		return 0, nil
	case d == 0:
		return fallback, nil
	}
	return d, nil
}

// UnmatchedPattern returns the first pattern of a node filter that no
// identifier matches, and whether there is one. An empty filter matches every
// node; a malformed pattern matches none (contract 13).
func UnmatchedPattern(filter, identifiers []string) (pattern string, unmatched bool) {
	for _, p := range filter {
		if !matchesAny(p, identifiers) {
			return p, true
		}
	}
	return "", false
}

func matchesAny(pattern string, identifiers []string) bool {
	for _, id := range identifiers {
		if ok, err := path.Match(pattern, id); err == nil && ok {
			return true
		}
	}
	return false
}
