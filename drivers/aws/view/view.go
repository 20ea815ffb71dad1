// Package view is what the driver aws tells an admin, and what it is asked for:
// the arguments and results of its commands (drivers.Operator), in JSON. The
// driver fills it, and the command line prints it; they may be of different
// versions, so that what is new is added, and what is unknown passed over.
//
// Money is USD at list prices: see package price. Times are UTC.
package view

import "time"

// The commands of the driver. Those that only look take no arguments.
const (
	// Status lists what there is: the result is an Account.
	Status = "status"
	// Pools are the pools of the instance, their hosts included, as their owners
	// tell: the result is a PoolList.
	Pools = "pools"
	// SweepPlan says what Sweep would remove: the result is a Sweeping.
	SweepPlan = "sweep-plan"
	// Sweep takes a SweepArgs and removes what is there by mistake: the result is
	// the Sweeping of a plan, with what became of each, those that are left alone too.
	Sweep = "sweep"
	// Drain takes a DrainArgs and has a pool take no more hosts into use, or
	// ends that: the result is a Pool.
	Drain = "pool-drain"
)

// SweepArgs are the arguments of Sweep.
type SweepArgs struct {
	// IDs are what the admin has seen in a plan, and wants removed. What is not
	// astray any more stays.
	IDs []string `json:"ids"`
	// Forgotten: what is Doubtful too.
	Forgotten bool `json:"forgotten,omitempty"`
}

// DrainArgs are the arguments of Drain.
type DrainArgs struct {
	Pool string `json:"pool"`
	// Off ends the draining.
	Off bool `json:"off,omitempty"`
}

// ArgPool is the argument of Drain that names what is changed.
const ArgPool = "pool"

// Account is what there is of ours in an account and region.
type Account struct {
	Account string `json:"account,omitempty"` // 12 digits; empty while it is not known
	Region  string `json:"region"`
	// Node is the UID of the node that tells.
	Node string `json:"node"`
	// Things are what carries our tags, of whichever node, by kind and id.
	Things []Thing `json:"things"`
	// Hourly is what this instance pays in USD per hour as long as everything
	// stays as it is; Unpriced are the types in it whose price nobody knows.
	Hourly   float64  `json:"hourly"`
	Unpriced []string `json:"unpriced,omitempty"`
	Pools    []Pool   `json:"pools"`
	// Missing are the kinds that could not be listed, and why.
	Missing []Missing `json:"missing,omitempty"`
	// Aging is what the driver decides by and AWS does not answer for, so that
	// it is as it was, by name.
	Aging []Aging `json:"aging,omitempty"`
	Memory
}

// Aging is a kind of facts that are not renewed.
type Aging struct {
	Of string `json:"of"` // such as "quotas"
	// Asked is when they were asked for last with an answer; zero: never.
	Asked time.Time `json:"asked,omitzero"`
	Error string    `json:"error"`
}

// Memory says how old an answer is.
type Memory struct {
	// Asked is when the oldest of the lists was asked for that the answer is
	// made from; zero: never.
	Asked time.Time `json:"asked"`
	// Trouble is why there is no newer one; empty: AWS answers.
	Trouble string `json:"trouble,omitempty"`
}

// Missing is a kind of thing that could not be listed.
type Missing struct {
	Kind  Kind   `json:"kind"`
	Error string `json:"error"`
}

// Kind is what a thing is.
type Kind string

// The kinds of things that are paid for, in the order of lists.
const (
	Host     Kind = "host"
	Instance Kind = "instance"
	Spot     Kind = "spot-request"
	Volume   Kind = "volume"
	Snapshot Kind = "snapshot"
	Image    Kind = "image"
)

// Kinds are all kinds, in the order of lists.
func Kinds() []Kind { return []Kind{Host, Instance, Spot, Volume, Snapshot, Image} }

// Thing is one thing that is paid for.
type Thing struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"` // of an image
	// Type is that of an instance, host or volume.
	Type   string `json:"type,omitempty"`
	Zone   string `json:"zone,omitempty"`
	State  string `json:"state"` // EC2's word
	SizeGB int    `json:"size_gb,omitempty"`
	// Busy: an instance is on the host.
	Busy bool `json:"busy,omitempty"`
	// On is the host that an instance is on, or the instance that a volume is attached to.
	On string `json:"on,omitempty"`
	Owner
	// Created is when it began to be paid for.
	Created time.Time `json:"created"`
	// Cost is what it has cost until now in USD, at most; nil: its price is not known.
	Cost *float64 `json:"cost"`
	// Release is the earliest time at which a host can be given back; zero: at once, or not to be said.
	Release time.Time `json:"release,omitzero"`
	// Why it is as it is, where there is something to say.
	Why string `json:"why,omitempty"`
}

// Owner is whose a thing is, by its tags.
type Owner struct {
	// Mine: it is of the instance and node that tell.
	Mine     bool   `json:"mine"`
	Node     string `json:"owner_node,omitempty"`     // UID
	Instance string `json:"owner_instance,omitempty"` // driver instance
	// Retired: the node was taken out of the cluster for good, at RetiredAt; zero: it is not known when.
	Retired   bool      `json:"retired,omitempty"`
	RetiredAt time.Time `json:"retired_at,omitzero"`
	// Former: the instance is not in the configuration of the node that tells, whose it is, any more.
	Former  bool   `json:"former,omitempty"`
	Purpose string `json:"purpose,omitempty"`
	Pool    string `json:"pool,omitempty"`
	// Application is the UID of the one that it was made for.
	Application string    `json:"application,omitempty"`
	Task        string    `json:"task,omitempty"` // UID
	Lease       time.Time `json:"lease,omitzero"` // until when it may exist without an owner
	// Token is the allocation's. It is told nobody: with it the environment's
	// metadata can be read.
	Token string `json:"-"`
}

// PoolList are the pools of an instance, by name.
type PoolList struct {
	Region string `json:"region"`
	Pools  []Pool `json:"pools"`
}

// Pool is a pool of dedicated hosts.
type Pool struct {
	Name string `json:"name"`
	// Thing is its name among nodes.
	Thing string   `json:"thing"`
	Type  string   `json:"type"`
	Zones []string `json:"zones"`
	Max   int      `json:"max"` // hosts
	// Owner is the UID of the node that runs it; empty: nobody does now.
	Owner string `json:"owner,omitempty"`
	// Trouble is why nothing below is known, or all of it is old.
	Trouble  string `json:"trouble,omitempty"`
	Draining bool   `json:"draining"`
	// Capacity is how many requests more could be served now.
	Capacity int `json:"capacity"`
	// Phases are how many hosts are in each phase of package pool.
	Phases map[string]int `json:"phases"`
	Total  int            `json:"total"`
	Paid   int            `json:"paid"`    // hosts that money is taken for
	Wait   int            `json:"waiting"` // requests that wait for a host
	Scrub  Times          `json:"scrub"`
	Hosts  []PoolHost     `json:"hosts"`
}

// Times are how long something took that was observed.
type Times struct {
	Count int     `json:"count"`
	P50   Seconds `json:"p50_seconds"`
	P95   Seconds `json:"p95_seconds"`
}

// Seconds is a time span in JSON.
type Seconds float64

// SecondsOf is the span.
func SecondsOf(d time.Duration) Seconds { return Seconds(d.Seconds()) }

// Duration is the span.
func (s Seconds) Duration() time.Duration { return time.Duration(float64(s) * float64(time.Second)) }

// PoolHost is a host as its pool sees it.
type PoolHost struct {
	ID    string    `json:"id,omitempty"` // empty: asked for, and not known yet
	Type  string    `json:"type"`
	Zone  string    `json:"zone"`
	Phase string    `json:"phase"`
	State string    `json:"state"` // EC2's word
	Since time.Time `json:"since"` // in the phase
	// Allocated is when it began to be paid for.
	Allocated time.Time `json:"allocated"`
	// Release is when it is released if nobody wants it; zero: not to be foreseen.
	Release time.Time `json:"release,omitzero"`
	// Cost is what it has cost until now in USD, at most; nil: its price is not known.
	Cost *float64 `json:"cost"`
	Why  string   `json:"why,omitempty"`
}

// Sweeping is what is there by mistake, and what became of it.
type Sweeping struct {
	Region string  `json:"region"`
	Strays []Stray `json:"strays"`
	Memory
}

// Stray is a thing that nothing owns: of the instance that tells, of one that its
// node is not configured for any more, or of a retired node.
type Stray struct {
	Thing
	// Reason is why it is one, such as "no allocation has its token".
	Reason string `json:"reason"`
	// Held is why it is left alone all the same, for now; empty: it can be removed.
	Held string `json:"held,omitempty"`
	// Doubtful: the node's database was restored, and may have forgotten its
	// owner, or the retired node that made it seems to run. It is removed only
	// where SweepArgs.Forgotten says so.
	Doubtful bool `json:"doubtful,omitempty"`
	// Removed: its end was asked for, or it was gone already. Error is why not.
	Removed bool   `json:"removed"`
	Error   string `json:"error,omitempty"`
}
