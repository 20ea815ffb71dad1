package pool

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// MacMinAge is how long a Mac host is paid for at least, counted from its
// allocation: AWS refuses to release it before.
const MacMinAge = 24 * time.Hour

// Config is how a pool is to be run. It may differ from what the hosts were
// allocated under: all hosts of the pool are managed, whatever their type and
// zone. The zero value of a duration that is not said to be off by 0 takes the
// default (WithDefaults).
type Config struct {
	// Name is the pool's. Origin is what makes tokens differ between nodes: the
	// node's UID and the driver's instance.
	Name, Origin string
	// Type is of the hosts to allocate, such as "mac2.metal".
	Type string
	// Zones are where to allocate, best first. A zone without capacity is left
	// for the next one.
	Zones []string
	// Max is how many hosts there may be, those of other types and zones
	// included; 0: none is allocated, and what there is goes when it can.
	Max int
	// MinAge is how old a host has to be to be released: MacMinAge or more for
	// Macs, 0 for others.
	MinAge time.Duration

	// ScrubbingDelay is how long a host below MinAge idles before it is scrubbed,
	// which stops its pay for the time; 0: never.
	ScrubbingDelay time.Duration
	// IdleDelay is how long a host of MinAge idles before it is released; 0: at
	// once. No configuration of a node sets it: its release_delay is MinAge.
	IdleDelay time.Duration
	// PendingToAvailable is how long a host that AWS calls available after a
	// scrub is left alone: for a while it still refuses launches. 0: not at all.
	PendingToAvailable time.Duration
	// Patience is how long a request waits for a host that is being scrubbed or
	// settles, if it will be back by then, before another host is allocated; 0: not at all.
	Patience time.Duration

	// ScrubMargin is how much before MinAge scrubbing ends; default 10 minutes.
	ScrubMargin time.Duration
	// ScrubTime is how long a scrub is expected to take (Patience) as long as
	// none was observed; default 110 minutes, AWS's older bound for Apple silicon.
	ScrubTime time.Duration
	// LaunchTimeout is how long after a Grant the launch may be sent; default 5
	// minutes. The host stays reserved for cloud.Settled more.
	LaunchTimeout time.Duration
	// RestTime is how long a host that refused a launch or a release is left
	// alone; default 5 minutes.
	RestTime time.Duration
	// DryTime is how long a zone that had no capacity is not asked; default 7 minutes.
	DryTime time.Duration
	// QuotaPause is how long nothing is allocated after the account's limit was
	// met; default 10 minutes.
	QuotaPause time.Duration
	// ActionTimeout is after what time a result is not waited for any more;
	// default 5 minutes. A list is not waited for longer than a minute.
	ActionTimeout time.Duration
	// LookEvery and LookIdle are between two lists while something is awaited,
	// and while nothing is; default 10 seconds and a minute.
	LookEvery, LookIdle time.Duration
	// Settled is how long lists may lag; default cloud.Settled.
	Settled time.Duration

	// ReportOnly: the hosts are looked at and shown, and nothing is done to
	// them; for a pool that is not configured any more.
	ReportOnly bool
}

// WithDefaults is the Config with the defaults in.
func (c Config) WithDefaults() Config {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.ScrubMargin, 10 * time.Minute},
		{&c.ScrubTime, 110 * time.Minute},
		{&c.LaunchTimeout, 5 * time.Minute},
		{&c.RestTime, 5 * time.Minute},
		{&c.DryTime, 7 * time.Minute},
		{&c.QuotaPause, 10 * time.Minute},
		{&c.ActionTimeout, 5 * time.Minute},
		{&c.LookEvery, 10 * time.Second},
		{&c.LookIdle, time.Minute},
		{&c.Settled, cloud.Settled},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return c
}

// settling is after what time all is in the lists that others did for the pool
// before it was taken over: what they granted was launched, and shows.
func (c Config) settling() time.Duration { return c.LaunchTimeout + c.Settled }

// Validate says what is wrong with the Config, and what to do about it.
func (c Config) Validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("the pool has no name"))
	}
	if c.Max < 0 {
		errs = append(errs, fmt.Errorf("max is %d: want 0 or more hosts", c.Max))
	}
	if c.Max > 0 && c.Type == "" {
		errs = append(errs, errors.New("type is missing: want an instance type such as mac2.metal"))
	}
	if c.Max > 0 && len(c.Zones) == 0 {
		errs = append(errs, errors.New("zones are missing: want at least one, such as us-west-2a"))
	}
	for i, z := range c.Zones {
		if z == "" || slices.Contains(c.Zones[:i], z) {
			errs = append(errs, fmt.Errorf("zone %q is empty or named twice", z))
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"release_delay", c.MinAge}, {"scrubbing_delay", c.ScrubbingDelay}, {"idle delay", c.IdleDelay},
		{"pending_to_available_delay", c.PendingToAvailable}, {"patience", c.Patience}, {"scrub margin", c.ScrubMargin},
		{"scrub time", c.ScrubTime}, {"launch timeout", c.LaunchTimeout}, {"rest time", c.RestTime}, {"dry time", c.DryTime},
		{"quota pause", c.QuotaPause}, {"action timeout", c.ActionTimeout}, {"look interval", c.LookEvery},
		{"idle look interval", c.LookIdle}, {"settled time", c.Settled},
	} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("%s is %v: want 0 or more", d.name, d.value))
		}
	}
	return errors.Join(errs...)
}
