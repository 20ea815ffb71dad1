package fakeec2

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Cloud is a client of the account, for one who asks. All that is asked of it
// is cloud.API; the rest is for the test. It is safe for use by many goroutines.
type Cloud struct {
	*account
	who    string
	strict bool
}

var _ cloud.API = (*Cloud)(nil)

// account is what all clients share.
type account struct {
	opts Options

	mu      sync.Mutex
	random  *rand.Rand
	time    time.Time // of the service; what is due until then has happened
	events  events
	planned int

	instances table[instance]
	volumes   table[volume]
	hosts     table[host]
	images    table[image]
	snapshots table[snapshot]
	spots     table[spot]
	vpcs      table[cloud.VPC]
	subnets   table[subnet]
	groups    table[cloud.SecurityGroup]
	types     table[cloud.InstanceType]

	addresses map[netip.Addr]bool // that instances have
	keys      map[string]string   // alias, id and ARN of a key -> its ARN
	quotas    map[string]float64
	offered   map[cloud.Offering]bool
	capacity  map[slot]int
	spotPrice map[slot]float64
	tokens    map[use]promise
	tokenOf   map[string]use // the token of what was made with one, and is not gone
	prices    map[string]float64

	macVersions   map[string][]string // by type, where set
	stillCounted  map[string]bool     // released hosts that count towards the limit
	namesHeld     map[string]string   // names of images that are gone, as EC2 sees them a moment longer
	nextImage     string              // why the next image fails
	nextSnapshot  string              // why the next snapshot fails
	nextLaunch    cloud.StateReason   // why the next launch fails
	noHibernation int                 // so many hibernations fail

	faults      faults
	buckets     map[string]*bucket
	counts      map[string]int
	calls       int
	journal     []Entry
	journalFull int      // when so many are kept, old ones may go
	furnishing  bool     // the test makes things, not a call
	touched     []string // by the present call
	asked       Call     // the present call
	token       string   // of the present call
	meters      ledger
}

// slot is what capacity is counted by.
type slot struct {
	zone, kind string
	market     Market
}

// New makes an account.
func New(opts Options) *Cloud {
	opts = opts.withDefaults()
	a := &account{
		opts:         opts,
		random:       rand.New(rand.NewPCG(opts.Seed, 0x0ec2)),
		time:         opts.Now(),
		namesHeld:    map[string]string{},
		macVersions:  map[string][]string{},
		stillCounted: map[string]bool{},
		addresses:    map[netip.Addr]bool{},
		keys:         map[string]string{},
		quotas:       defaultQuotas(),
		offered:      map[cloud.Offering]bool{},
		capacity:     map[slot]int{},
		spotPrice:    map[slot]float64{},
		tokens:       map[use]promise{},
		tokenOf:      map[string]use{},
		prices:       defaultPrices(),
		buckets:      map[string]*bucket{},
		counts:       map[string]int{},
		meters:       ledger{bills: map[string]*meter{}},
	}
	for kind, price := range opts.Prices {
		a.prices[kind] = price
	}
	c := &Cloud{account: a}
	c.furnish()
	return c
}

// As is the same account for somebody else: what is asked of it has his name in
// the journal, and faults may be his alone.
func (c *Cloud) As(who string) *Cloud { return &Cloud{account: c.account, who: who, strict: c.strict} }

// Strict is the same account as the service itself answers, where a Cloud is a
// client like any other cloud.API, which asks again or in parts: one unknown
// id fails a request about many, a request has at most 200 values of filters,
// and a connection that breaks is nothing but that. It is for servers, and
// package wire takes it by itself.
func (c *Cloud) Strict() cloud.API { return &Cloud{account: c.account, who: c.who, strict: true} }

// newID makes an id as EC2 makes them.
func (a *account) newID(prefix string) string {
	return fmt.Sprintf("%s-%08x%09x", prefix, a.random.Uint32(), a.random.Uint64()&(1<<36-1))
}

// Zones are the region's zones.
func (a *account) Zones() []string {
	return []string{a.opts.Region + "a", a.opts.Region + "b", a.opts.Region + "c"}
}
