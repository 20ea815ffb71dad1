package simulate

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/simulate/trace"
)

// Pool is a pool and the part of AWS that it meets.
type Pool struct {
	// Config is what the pool decides by. Origin and the times of looking are
	// not used: the simulation tells what changed.
	pool.Config
	Match Match

	// Boot is from the launch of an instance until its job runs.
	Boot Spread
	// Scrub is for how long a host is pending.
	Scrub Spread
	// Shutdown is from the end of an instance until its host is pending, and
	// is paid for.
	Shutdown time.Duration
	// Notice is from a change at AWS until the pool sees it in a list.
	Notice time.Duration
	// Quota is the account's limit of hosts of the type; 0: there is none.
	Quota int
	// QuotaLag is for how long a released host counts for the Quota.
	QuotaLag time.Duration
	// Capacity is how many hosts a zone has; one that is not named has enough.
	Capacity map[string]int
}

// Match says which jobs are a pool's: those of which every pattern that is
// given fits, where "*" stands for anything. Without any pattern all fit.
type Match struct {
	Pool  string `yaml:"pool"`
	Label string `yaml:"label"`
	Arch  string `yaml:"arch"`
	Name  string `yaml:"name"`
	Stage string `yaml:"stage"`
}

// fits reports whether a job is the pool's.
func (m Match) fits(j *trace.Job) bool {
	for _, p := range []struct{ pattern, text string }{
		{m.Pool, j.Pool}, {m.Label, j.Label}, {m.Arch, j.Arch}, {m.Name, j.Name}, {m.Stage, j.Stage},
	} {
		if p.pattern == "" {
			continue
		}
		if ok, err := path.Match(p.pattern, p.text); !ok || err != nil { // validate found that there is none
			return false
		}
	}
	return true
}

func (m Match) validate() error {
	for _, pattern := range []string{m.Pool, m.Label, m.Arch, m.Name, m.Stage} {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("match: %q is no pattern: want text with * for anything", pattern)
		}
	}
	return nil
}

// Default is a pool of Macs as AWS describes them and others measured them.
// The boot and the scrubbing are those of the original's simulator, so that
// results can be held against each other.
func Default() Pool {
	return Pool{
		Config: pool.Config{
			Name: "mac", Type: "mac2.metal", Zones: []string{"a"}, Max: 50, MinAge: pool.MacMinAge,
			ScrubbingDelay: 5 * time.Minute,
		},
		Boot:     Fixed(7 * time.Minute),  // 6 to 20 minutes were measured
		Scrub:    Fixed(90 * time.Minute), // 40 to 110 minutes; AWS allows itself 4.5 hours
		Shutdown: time.Minute,
		Notice:   10 * time.Second, // half of the time the pool looks sooner
		QuotaLag: 10 * time.Minute,
	}
}

// maxDelay bounds the times of a pool: a year is for ever, and adds up to no overflow.
const maxDelay = 366 * 24 * time.Hour

// validateTimes says which times can not be simulated, beyond those that no
// pool can have (pool.Config).
func (p Pool) validateTimes() error {
	var errs []error
	for _, d := range []struct {
		name string
		is   time.Duration
	}{
		{"shutdown", p.Shutdown}, {"notice", p.Notice}, {"quota_lag", p.QuotaLag}, {"release_delay", max(p.MinAge, 0)},
		{"scrubbing_delay", max(p.ScrubbingDelay, 0)}, {"patience", max(p.Patience, 0)},
		{"pending_to_available_delay", max(p.PendingToAvailable, 0)},
	} {
		if d.is < 0 || d.is > maxDelay || d.is%time.Second != 0 {
			errs = append(errs, fmt.Errorf("%s is %s: want whole seconds, and no more than %s", d.name, d.is, short(maxDelay)))
		}
	}
	return errors.Join(errs...)
}

// validate says what is wrong with the pool.
func (p Pool) validate() error {
	errs := []error{p.Config.Validate(), p.Match.validate()}
	if p.Max == 0 {
		errs = append(errs, errors.New("max is 0: want a pool that may have a host"))
	}
	if p.MinAge < pool.MacMinAge && strings.HasPrefix(p.Type, "mac") { // no API is there to ask what it is
		errs = append(errs, fmt.Errorf("release_delay is %s: AWS takes a Mac host back after 24h, not before", p.MinAge))
	}
	if p.Quota < 0 {
		errs = append(errs, fmt.Errorf("quota is %d: want 0 (none) or more hosts", p.Quota))
	}
	errs = append(errs, p.validateTimes())
	reachable := len(p.Capacity) == 0
	for _, zone := range p.Zones {
		if n, bounded := p.Capacity[zone]; !bounded || n > 0 {
			reachable = true
		}
	}
	if !reachable {
		errs = append(errs, errors.New("no zone has capacity for a host"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("pool %s: %w", p.Name, err)
	}
	return nil
}
