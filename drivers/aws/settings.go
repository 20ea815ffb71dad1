package aws

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// settings is an instance's cfg: the keys of contract 29, then ours.
type settings struct {
	Region    string          `yaml:"region"`
	KeyID     string          `yaml:"key_id"`
	SecretKey yamlconf.Secret `yaml:"secret_key"`
	// AccountIDs own the images, snapshots, subnets and groups that may be used,
	// beside the account of the credentials.
	AccountIDs []string `yaml:"account_ids"`
	// InstanceTags are put on everything that is made.
	InstanceTags       map[string]string       `yaml:"instance_tags"`
	DedicatedPool      map[string]poolSettings `yaml:"dedicated_pool"`
	SnapshotCreateWait time.Duration           `yaml:"snapshot_create_wait"`
	ImageCreateWait    time.Duration           `yaml:"image_create_wait"`

	AssumeRole string `yaml:"assume_role"` // ARN of a role to take on with the credentials
	ExternalID string `yaml:"external_id"` // what the role's owner asks for
	Endpoint   string `yaml:"endpoint"`    // of all services, for tests

	// MaxInstances is how many environments there may be at once; 0: no bound.
	MaxInstances int `yaml:"max_instances"`
	// MaxHourlyCost is what all environments and hosts may cost in USD per hour; 0: no bound.
	MaxHourlyCost float64 `yaml:"max_hourly_cost"`
	// Prices are USD per hour by type; they win over the built-in table.
	Prices map[string]float64 `yaml:"prices"`
	// QuotaCounts is which instances count to vCPU quotas: all that are not
	// terminated, or those that run. AWS documents the latter, and its staff was
	// heard saying the former.
	QuotaCounts string `yaml:"quota_counts"`
	// DefaultLifetime is how long an environment lives whose label says nothing;
	// negative: for ever.
	DefaultLifetime time.Duration `yaml:"default_lifetime"`
	// OrphanHosts is what becomes of our hosts of pools that are not configured any more.
	OrphanHosts string `yaml:"orphan_hosts"`
	// PoolOwner is the node that runs the pools; empty: the lowest UID that configures them.
	PoolOwner string `yaml:"pool_owner"`

	// DryZonePause is how long a zone that had no capacity for a type is left for last.
	DryZonePause time.Duration `yaml:"dry_zone_pause"`
	// AddressWait is how long a new machine may be without a private address.
	AddressWait time.Duration `yaml:"address_wait"`
	// WatchPeriod is how often it is looked for machines that ended by themselves.
	WatchPeriod time.Duration `yaml:"watch_period"`
}

// poolSettings is a pool of dedicated hosts. A time that is not given is nil:
// what it is then depends on the type, and is package pool's business.
type poolSettings struct {
	Type  string   `yaml:"type"`
	Zone  string   `yaml:"zone"`
	Zones []string `yaml:"zones"` // in the order of their use
	Max   *int     `yaml:"max"`   // hosts; 0: what is there is given back

	ScrubbingDelay          *time.Duration `yaml:"scrubbing_delay"` // of an idle host until it is scrubbed; 0: never
	ReleaseDelay            *time.Duration `yaml:"release_delay"`   // of a host from its allocation until it is released when idle
	PendingToAvailableDelay *time.Duration `yaml:"pending_to_available_delay"`
	Patience                *time.Duration `yaml:"patience"` // of a request for a host that is scrubbed, before one more is allocated

	ScrubImage    string `yaml:"scrub_image"`
	Subnet        string `yaml:"subnet"`
	SecurityGroup string `yaml:"security_group"`
}

// What may become of orphaned hosts.
const (
	orphanReport  = "report"
	orphanRelease = "release"
)

// What may count to quotas.
const (
	countAll     = "all"
	countRunning = "running"
)

// The defaults of times. Snapshots and images of large disks take hours; an
// environment that nobody ends is paid for, so it ends by itself; AWS names no
// time for which a zone stays dry, and advises to wait some minutes.
const (
	defaultCreateWait  = 2 * time.Hour
	defaultLifetime    = 24 * time.Hour
	defaultDryPause    = 7 * time.Minute
	defaultAddressWait = 5 * time.Minute
	defaultWatchPeriod = 10 * time.Second
)

// mostTime bounds all times: a year is a slip of the pen.
const mostTime = 366 * 24 * time.Hour

// mostHosts is the most that a pool may have: it is well above every quota
// that is given, and keeps a slip of the pen from buying thousands.
const mostHosts = 1000

// readSettings reads an instance's cfg. Warnings are about unknown keys.
func readSettings(cfg []byte) (settings, []yamlconf.Problem, error) {
	s := settings{
		SnapshotCreateWait: defaultCreateWait, ImageCreateWait: defaultCreateWait, DefaultLifetime: defaultLifetime,
		OrphanHosts: orphanReport, QuotaCounts: countAll, DryZonePause: defaultDryPause, AddressWait: defaultAddressWait, WatchPeriod: defaultWatchPeriod,
	}
	doc, err := yamlconf.Parse(cfg)
	if err != nil {
		return settings{}, nil, err
	}
	if err := doc.Decode(&s); err != nil {
		return settings{}, nil, err
	}
	if err := errors.Join(s.checkAccess(doc), s.checkMoney(doc), s.checkTimes(doc), s.checkPools(doc)); err != nil {
		return settings{}, nil, err
	}
	return s, doc.Warnings(), nil
}

// cloud is what an API is dialled with.
func (s *settings) cloud() cloud.Settings {
	return cloud.Settings{
		Region: s.Region, KeyID: s.KeyID, SecretKey: string(s.SecretKey),
		AssumeRole: s.AssumeRole, ExternalID: s.ExternalID, Endpoint: s.Endpoint,
	}
}

// checkAccess is about what is reached, as whom, and what it is marked with.
func (s *settings) checkAccess(doc *yamlconf.Document) error {
	var errs []error
	if err := s.cloud().Validate(); err != nil {
		errs = append(errs, atKey(doc, err, "region", "key_id", "assume_role", "external_id", "endpoint"))
	}
	for i, id := range s.AccountIDs {
		if len(id) != 12 || !madeOf(id, digit) {
			errs = append(errs, doc.Problem(fmt.Sprintf("account_ids[%d]", i), "got %q, want the 12 digits of an account, in quotes", id))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.InstanceTags)) {
		if err := checkTag(key, s.InstanceTags[key]); err != nil {
			errs = append(errs, doc.Problem("instance_tags."+key, "%v", err))
		}
	}
	if len(s.InstanceTags) > mostTags {
		errs = append(errs, doc.Problem("instance_tags", "got %d tags, want at most %d: AWS takes 50, and some are ours", len(s.InstanceTags), mostTags))
	}
	return errors.Join(errs...)
}

// atKey gives an error of another package, which begins with a key's name, the
// line of that key.
func atKey(doc *yamlconf.Document, err error, keys ...string) error {
	for _, key := range keys {
		if rest, ok := strings.CutPrefix(err.Error(), key+" "); ok {
			return doc.Problem(key, "%s", rest)
		}
	}
	return err
}

func (s *settings) checkMoney(doc *yamlconf.Document) error {
	var errs []error
	if s.MaxInstances < 0 {
		errs = append(errs, doc.Problem("max_instances", "got %d, want a number of environments, or 0 for no bound", s.MaxInstances))
	}
	money := func(key string, usd float64) {
		if usd < 0 || math.IsNaN(usd) || math.IsInf(usd, 0) {
			errs = append(errs, doc.Problem(key, "got %v, want USD per hour", usd))
		}
	}
	money("max_hourly_cost", s.MaxHourlyCost)
	for _, name := range slices.Sorted(maps.Keys(s.Prices)) {
		money("prices."+name, s.Prices[name])
		if !typeName(name) {
			errs = append(errs, doc.Problem("prices."+name, "got %q, want a type such as m7i.large", name))
		}
	}
	if s.OrphanHosts != orphanReport && s.OrphanHosts != orphanRelease {
		errs = append(errs, doc.Problem("orphan_hosts", "got %q, want %s or %s", s.OrphanHosts, orphanReport, orphanRelease))
	}
	if s.QuotaCounts != countAll && s.QuotaCounts != countRunning {
		errs = append(errs, doc.Problem("quota_counts", "got %q, want %s or %s", s.QuotaCounts, countAll, countRunning))
	}
	if s.DefaultLifetime == 0 {
		errs = append(errs, doc.Problem("default_lifetime", "got 0, want a time such as 24h, or -1s for no end"))
	}
	return errors.Join(errs...)
}

func (s *settings) checkTimes(doc *yamlconf.Document) error {
	var errs []error
	for _, p := range []struct {
		key          string
		value, least time.Duration
	}{
		{"snapshot_create_wait", s.SnapshotCreateWait, time.Second}, {"image_create_wait", s.ImageCreateWait, time.Second},
		{"dry_zone_pause", s.DryZonePause, 0}, {"address_wait", s.AddressWait, time.Second},
		{"watch_period", s.WatchPeriod, time.Second}, // below it a busy account is throttled
	} {
		if p.value < p.least || p.value > mostTime {
			errs = append(errs, doc.Problem(p.key, "got %v, want %v to %v", p.value, p.least, mostTime))
		}
	}
	return errors.Join(errs...)
}

func (s *settings) checkPools(doc *yamlconf.Document) error {
	var errs []error
	if s.PoolOwner != "" && !poolName(s.PoolOwner) {
		errs = append(errs, doc.Problem("pool_owner", "got %q, want the name of a node", s.PoolOwner))
	}
	for _, name := range slices.Sorted(maps.Keys(s.DedicatedPool)) {
		pool := s.DedicatedPool[name]
		refuse := func(key, format string, args ...any) {
			at := "dedicated_pool." + name + key
			p := doc.Problem(at, format, args...)
			p.Line = cmp.Or(p.Line, doc.Line("dedicated_pool."+name)) // a key that is missing has no line
			errs = append(errs, p)
		}
		if !poolName(name) {
			refuse("", "%q is no name of a pool: want letters, digits, `_`, `.` and `-`", name)
		}
		pool.check(s.Region, refuse)
		s.DedicatedPool[name] = pool.whole()
	}
	return errors.Join(errs...)
}

// whole is the pool with its one zone among the zones.
func (p poolSettings) whole() poolSettings {
	if len(p.Zones) == 0 && p.Zone != "" {
		p.Zones, p.Zone = []string{p.Zone}, ""
	}
	return p
}

func (p poolSettings) check(region string, refuse func(key, format string, args ...any)) {
	if !typeName(p.Type) {
		refuse(".type", "got %q, want the type of the hosts, such as mac2.metal", p.Type)
	}
	p.checkZones(region, refuse)
	switch {
	case p.Max == nil:
		refuse(".max", "is missing, want 0 to %d hosts: `max: 2` for two, `max: 0` to give back what is there", mostHosts)
	case *p.Max < 0 || *p.Max > mostHosts:
		refuse(".max", "got %d, want 0 to %d hosts", *p.Max, mostHosts)
	}
	for _, t := range []struct {
		key   string
		value *time.Duration
	}{
		{".scrubbing_delay", p.ScrubbingDelay}, {".release_delay", p.ReleaseDelay}, {".pending_to_available_delay", p.PendingToAvailableDelay},
		{".patience", p.Patience},
	} {
		if t.value != nil && (*t.value < 0 || *t.value > mostTime) {
			refuse(t.key, "got %v, want 0 to %v", *t.value, mostTime)
		}
	}
	p.checkScrub(refuse)
}

// checkScrub is about the machines that have hosts scrubbed: the first of them is
// started days after the config was written.
func (p poolSettings) checkScrub(refuse func(key, format string, args ...any)) {
	if p.Subnet != "" {
		if subnet, err := readNamed(p.Subnet, "subnet-", false); err != nil || subnet.id == "" {
			refuse(".subnet", "got %q, want the id of a subnet, such as subnet-0123456789abcdef0", p.Subnet)
		}
	}
	if p.ScrubImage != "" {
		switch image, err := readNamed(p.ScrubImage, "ami-", true); {
		case err != nil:
			refuse(".scrub_image", "%v", err)
		case image.key != "":
			refuse(".scrub_image", "got %q, want an image's id, or its name (`*` and `?` stand for anything)", p.ScrubImage)
		}
	}
	if p.SecurityGroup != "" {
		if err := checkGroup(p.SecurityGroup); err != nil {
			refuse(".security_group", "%v", err)
		}
	}
}

// checkGroup checks the id or the name of a security group. EC2 takes no name
// that begins as an id, and in others what is listed here.
func checkGroup(s string) error {
	switch {
	case strings.HasPrefix(s, "sg-"):
		_, err := readNamed(s, "sg-", false)
		return err
	case !groupName(s):
		return fmt.Errorf("got %q, want the id or the name of a security group", s)
	}
	return nil
}

func (p poolSettings) checkZones(region string, refuse func(key, format string, args ...any)) {
	if p.Zone != "" && len(p.Zones) > 0 {
		refuse(".zone", "want `zone` or `zones`, not both")
	}
	zones := p.whole().Zones
	if len(zones) == 0 {
		refuse(".zones", "want one zone at least, such as %sa", region)
	}
	for i, zone := range zones {
		if !strings.HasPrefix(zone, region) || zone == region {
			refuse(".zones", "entry %d: got %q, want a zone of %s, such as %sa", i, zone, region, region)
		}
		if slices.Contains(zones[:i], zone) {
			refuse(".zones", "entry %d: %q is there twice", i, zone)
		}
	}
}

// mostTags leaves room for ours among the 50 that a thing may have.
const mostTags = 30

// checkTag says whether EC2 takes a tag, and whether it may be set by others
// than us.
func checkTag(key, value string) error {
	switch {
	case key == "" || len([]rune(key)) > 128:
		return fmt.Errorf("tag %q: a key has 1 to 128 characters", key)
	case len([]rune(value)) > 256:
		return fmt.Errorf("tag %q: a value has at most 256 characters", key)
	case strings.HasPrefix(strings.ToLower(key), "aws:"):
		return fmt.Errorf("tag %q: keys that begin with aws: are AWS's own", key)
	case strings.HasPrefix(strings.ToLower(key), "aquarium"):
		return fmt.Errorf("tag %q: keys that begin with Aquarium are the node's own, as what carries them may be removed", key)
	}
	return nil
}
