package simulate

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// file is a setup in YAML. Its keys are those of the driver's configuration
// where that has them, so that a dedicated_pool can be copied.
type file struct {
	Prices        map[string]float64  `yaml:"prices"`
	DedicatedPool map[string]filePool `yaml:"dedicated_pool"`
}

// filePool is a pool in YAML. What is not given is as in the Pool that it is
// made from.
type filePool struct {
	Type                    *string        `yaml:"type"`
	Zone                    string         `yaml:"zone"`
	Zones                   []string       `yaml:"zones"`
	Max                     *int           `yaml:"max"`
	ScrubbingDelay          *time.Duration `yaml:"scrubbing_delay"`
	ReleaseDelay            *time.Duration `yaml:"release_delay"`
	PendingToAvailableDelay *time.Duration `yaml:"pending_to_available_delay"`
	Patience                *time.Duration `yaml:"patience"`

	// What the driver does not set, but meets.
	Match    Match          `yaml:"match"`
	Boot     *Spread        `yaml:"boot"`
	Scrub    *Spread        `yaml:"scrub"`
	Shutdown *time.Duration `yaml:"shutdown"`
	Notice   *time.Duration `yaml:"notice"`
	Quota    int            `yaml:"quota"`
	QuotaLag *time.Duration `yaml:"quota_lag"`
	Capacity map[string]int `yaml:"capacity"`
	// What the driver does with a pool but this has no use for.
	ScrubImage    string `yaml:"scrub_image"`
	Subnet        string `yaml:"subnet"`
	SecurityGroup string `yaml:"security_group"`
}

// ReadSetup reads a setup. What a pool does not say is as in base; prices win
// over those of the file. Warnings are about keys that nobody knows.
func ReadSetup(path string, base Pool, prices map[string]float64) (s Setup, warnings []string, err error) {
	data, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return Setup{}, nil, fmt.Errorf("read pools: %w", err)
	}
	doc, err := yamlconf.Parse(data)
	if err != nil {
		return Setup{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	f := file{Prices: map[string]float64{}}
	if err := doc.Decode(&f); err != nil {
		return Setup{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, w := range doc.Warnings() {
		warnings = append(warnings, path+": "+w.Error())
	}
	maps.Copy(f.Prices, prices)
	if s.Prices, err = price.New(f.Prices); err != nil {
		return Setup{}, nil, fmt.Errorf("%s: prices: %w", path, err)
	}
	for _, name := range slices.Sorted(maps.Keys(f.DedicatedPool)) {
		p, err := f.DedicatedPool[name].pool(name, base)
		if err != nil {
			return Setup{}, nil, fmt.Errorf("%s: dedicated_pool.%s: %w", path, name, err)
		}
		s.Pools = append(s.Pools, p)
	}
	if err := s.Validate(); err != nil {
		return Setup{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, warnings, nil
}

func (f filePool) pool(name string, base Pool) (Pool, error) {
	p := base
	p.Name, p.Match, p.Quota, p.Capacity = name, f.Match, cmp.Or(f.Quota, base.Quota), f.Capacity
	if f.Zone != "" && len(f.Zones) > 0 {
		return Pool{}, errors.New("want either zone or zones, not both")
	}
	if f.Zone != "" {
		p.Zones = []string{f.Zone}
	} else if len(f.Zones) > 0 {
		p.Zones = f.Zones
	}
	set(&p.Type, f.Type)
	set(&p.Max, f.Max)
	set(&p.ScrubbingDelay, f.ScrubbingDelay)
	set(&p.MinAge, f.ReleaseDelay)
	set(&p.PendingToAvailable, f.PendingToAvailableDelay)
	set(&p.Patience, f.Patience)
	set(&p.Boot, f.Boot)
	set(&p.Scrub, f.Scrub)
	set(&p.Shutdown, f.Shutdown)
	set(&p.Notice, f.Notice)
	set(&p.QuotaLag, f.QuotaLag)
	return p, nil
}

// set takes over what is given.
func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}
