package fakeec2

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/loop"
)

// Options are what a Cloud is made with. The zero value is a usable account
// that behaves like AWS on a good day: slow, throttled, and consistent.
type Options struct {
	// Now is the service's clock; time.Now if nil. It may be turned forward
	// at will; turned back, the service's time stands still.
	Now func() time.Time
	// Sleep waits for latency; by a timer if nil.
	Sleep func(ctx context.Context, d time.Duration) error
	// Seed decides everything random, and all ids.
	Seed uint64

	Region  string // "eu-central-1" if empty
	Account string // "123456789012" if empty
	// Bare leaves out the things that an account has here by default: VPC,
	// subnets, security group, images. Types and quotas are always there.
	Bare bool

	// Timing is how long things take; AWSTiming() if zero.
	Timing Timing
	// Scrub says how long the host of a Mac takes to be scrubbed, where a
	// range is not what is wanted; Timing says it if nil.
	Scrub func(kind string, random *rand.Rand) time.Duration
	// Prices are USD per hour by instance type, over the table of this package.
	Prices map[string]float64
	// Buckets are the limits of requests by action, over AWS's own.
	Buckets map[string]Bucket
	// Unthrottled lets any number of requests through.
	Unthrottled bool
	// PageSize is how many results one request of a list brings, as far as
	// requests are counted and throttled; 1000 if 0, unlimited if negative.
	PageSize int
	// StoppedCount lets instances that are stopped count towards the vCPU
	// quotas, as it is told of AWS's support; its documentation says running ones.
	StoppedCount bool
	// ScrubbingReleases lets a host that is being scrubbed be released, which
	// some report of AWS, and others not.
	ScrubbingReleases bool

	// Keep is how long the journal, and the bills of what is gone, are kept,
	// for tests of years; all of them for ever if 0. Cost stays that of all.
	Keep time.Duration

	// Hook is called before and after every call, outside of any lock. What
	// it returns is what the caller gets: before, the call is not done. It
	// may block, panic, or end the process.
	Hook func(ctx context.Context, c Call) error
}

// Call is one call as the Hook and the count of calls see it.
type Call struct {
	N      int    // 1 for the first call at this cloud
	Who    string // as said with As
	Action string // such as "RunInstances"
	Writes bool   // it may change something
	After  bool   // it was done, or refused: Err
	Err    error  // what the caller is about to get

	strict bool
}

// Range is from how much to how much something takes, each as likely.
type Range struct{ Min, Max time.Duration }

// Fixed is a Range of one value.
func Fixed(d time.Duration) Range { return Range{d, d} }

func (r Range) pick(random *rand.Rand) time.Duration {
	if r.Max <= r.Min {
		return r.Min
	}
	return r.Min + time.Duration(random.Int64N(int64(r.Max-r.Min)+1))
}

// Timing is how long things take at the service.
type Timing struct {
	Launch    Range // pending -> running
	Address   Range // until lists and answers show address and volumes of a new instance
	Stop      Range // stopping -> stopped
	Hibernate Range // stopping -> stopped with memory
	Terminate Range // shutting-down -> terminated
	Listed    Range // how long terminated instances are listed

	MacStop      Range // as Stop, for Macs
	MacTerminate Range // as Terminate, for Macs
	Scrub        Range // host of a Mac: pending -> available, Apple silicon
	ScrubIntel   Range // the same for x86
	Settle       Range // after that: shown available, but launches are still refused
	HostStart    Range // pending of a new host
	Vacated      Range // how long an instance that ended is listed on its host, which refuses to be released

	HostListed  Range // how long released hosts are listed
	HostCounted Range // how long released hosts count towards the limit

	Snapshot Range // pending -> completed
	Boot     Range // how long after its start an instance can not hibernate yet
	Image    Range // what an image takes beyond its snapshots
	NameHeld Range // how long the name of an image that is gone can not be used again
	Notice   Range // from the notice of a spot interruption to the end
}

// AWSTiming is as AWS documents it, or as others have measured it (see
// DESIGN.md for each).
func AWSTiming() Timing {
	const s, m = time.Second, time.Minute
	return Timing{
		Launch: Range{5 * s, 40 * s}, Address: Range{0, 3 * s},
		Stop: Range{10 * s, 60 * s}, Hibernate: Range{30 * s, 3 * m}, Terminate: Range{10 * s, 90 * s}, Listed: Fixed(60 * m),
		MacStop: Range{10 * m, 20 * m}, MacTerminate: Range{1 * m, 5 * m},
		Scrub: Range{40 * m, 270 * m}, ScrubIntel: Range{40 * m, 180 * m}, Settle: Range{0, 2 * m},
		HostStart: Range{0, 30 * s}, Vacated: Range{30 * s, 3 * m},
		HostListed: Range{5 * m, 20 * m}, HostCounted: Range{1 * m, 5 * m},
		Snapshot: Range{30 * s, 10 * m}, Boot: Fixed(2 * m), Image: Range{30 * s, 2 * m}, NameHeld: Range{0, 2 * m}, Notice: Fixed(2 * m),
	}
}

// QuickTiming lets everything happen at once but what is a rule, such as the 24
// hours of hosts, for tests of other things than time.
func QuickTiming() Timing {
	now := Range{}
	return Timing{
		Launch: now, Address: now, Listed: Fixed(time.Hour), HostListed: Fixed(10 * time.Minute), HostCounted: Fixed(2 * time.Minute),
		Notice: Fixed(2 * time.Minute),
	}
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Region == "" {
		o.Region = "eu-central-1"
	}
	if o.Account == "" {
		o.Account = "123456789012"
	}
	if o.Timing == (Timing{}) {
		o.Timing = AWSTiming()
	}
	if o.PageSize == 0 {
		o.PageSize = 1000
	}
	return o
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	return loop.Sleep(ctx, d)
}
