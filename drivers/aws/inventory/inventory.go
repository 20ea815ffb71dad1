// Package inventory finds everything of ours that an account is paid for in a
// region, by its tags, for who wants to see it: whose it is, what it has cost,
// when it can be given back. It decides nothing, and removes nothing.
//
// It asks EC2 when somebody looks, and only then; where EC2 does not answer it
// shows what it saw last, and says how old that is.
package inventory

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

const (
	// lookTimeout bounds the questions of one look: what is told from memory
	// then is there before who asked loses patience (drivers.CommandTimeout).
	lookTimeout = 20 * time.Second
	// lookPause is for how long a look serves others who look, so that they cost
	// EC2 nothing.
	lookPause = 3 * time.Second
)

// Account is where to look; account.Member is one.
type Account interface {
	API() cloud.API
	// Hosts are all of the account, with what was seen of them.
	Hosts(ctx context.Context, since time.Time) (map[string]account.HostSighting, error)
	Types(ctx context.Context, names ...string) (map[string]cloud.InstanceType, error)
}

// Options are whose inventory it is.
type Options struct {
	Account Account
	// Node and Instance are who looks: what carries both is its own.
	Node, Instance string
	// Former says who else has nobody any more.
	Former drivers.Former
	Prices price.Table
}

// Inventory is what was seen last. Its methods may be called from any
// goroutine.
type Inventory struct {
	opts Options
	turn chan struct{} // holds one while somebody looks

	// Of who has the turn.
	looked    time.Time
	hosts     memory[account.HostSighting]
	instances memory[cloud.Instance]
	spots     memory[cloud.SpotRequest]
	volumes   memory[cloud.Volume]
	snapshots memory[cloud.Snapshot]
	images    memory[cloud.Image]
	macs      map[string]bool // types; one that is missing was not looked up
}

// New makes an inventory that has seen nothing.
func New(o Options) *Inventory {
	return &Inventory{opts: o, turn: make(chan struct{}, 1), macs: map[string]bool{}}
}

// Listing is what there is.
type Listing struct {
	Things  []view.Thing // by kind, then by id
	Missing []view.Missing
	view.Memory
}

// Look lists what there is. Its error is that of ctx alone.
func (inv *Inventory) Look(ctx context.Context) (Listing, error) {
	select {
	case inv.turn <- struct{}{}:
	case <-ctx.Done():
		return Listing{}, ctx.Err()
	}
	defer func() { <-inv.turn }()
	if time.Since(inv.looked) >= lookPause {
		inv.ask(ctx)
		if ctx.Err() != nil {
			return Listing{}, ctx.Err()
		}
		inv.looked = time.Now()
	}
	return inv.listing(time.Now()), nil
}

// memory is the last list of a kind.
type memory[T any] struct {
	list  []T
	asked time.Time // zero: it was never answered
	err   error     // of the last question
}

// see takes an answer in.
func (m *memory[T]) see(asked time.Time, list []T, err error) {
	if m.err = err; err == nil {
		m.list, m.asked = list, asked
	}
}

// ask asks for all kinds at the same time.
func (inv *Inventory) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	api, asked := inv.opts.Account.API(), time.Now()
	marked := cloud.Where("tag-key", cloud.TagNode)
	self := []string{"self"}
	var questions sync.WaitGroup
	for _, question := range []func(){
		func() { inv.askHosts(ctx, asked) },
		func() {
			list, err := api.Instances(ctx, marked.And("instance-state-name", cloud.Pending, cloud.Running, cloud.Stopping, cloud.Stopped, cloud.ShuttingDown))
			inv.instances.see(asked, list, err)
		},
		func() {
			list, err := api.SpotRequests(ctx, marked.And("state", "open"))
			inv.spots.see(asked, list, err)
		},
		func() {
			list, err := api.Volumes(ctx, marked)
			inv.volumes.see(asked, list, err)
		},
		func() {
			list, err := api.Snapshots(ctx, self, marked)
			inv.snapshots.see(asked, list, err)
		},
		func() {
			list, err := api.Images(ctx, self, marked)
			inv.images.see(asked, list, err)
		},
	} {
		questions.Go(question)
	}
	questions.Wait()
}

// askHosts takes our hosts from those of the account, which keeps what was seen
// of them, and looks up which are Macs.
func (inv *Inventory) askHosts(ctx context.Context, asked time.Time) {
	all, err := inv.opts.Account.Hosts(ctx, asked)
	var list []account.HostSighting
	for _, h := range all {
		if ours(h.Tags) && !h.Released() {
			list = append(list, h)
		}
	}
	inv.hosts.see(asked, list, err)
	inv.learnMacs(ctx)
}

// learnMacs looks up the types of hosts that are new. One that can not be looked
// up is tried again with the next look.
func (inv *Inventory) learnMacs(ctx context.Context) {
	var names []string
	for _, h := range inv.hosts.list {
		if _, known := inv.macs[h.Type]; !known && !slices.Contains(names, h.Type) {
			names = append(names, h.Type)
		}
	}
	if len(names) == 0 {
		return
	}
	types, err := inv.opts.Account.Types(ctx, names...)
	if err != nil {
		return
	}
	for _, name := range names {
		if t, known := types[name]; known {
			inv.macs[name] = t.Mac()
		}
	}
}

// listing is what was seen last.
func (inv *Inventory) listing(now time.Time) Listing {
	l := Listing{}
	j := judge{
		mine: cloud.Maker{Node: inv.opts.Node, Instance: inv.opts.Instance}, former: inv.opts.Former, prices: inv.opts.Prices, macs: inv.macs, now: now,
	}
	add(&l, view.Host, inv.hosts, j.host)
	add(&l, view.Instance, inv.instances, j.instance)
	add(&l, view.Spot, inv.spots, j.spot)
	add(&l, view.Volume, inv.volumes, j.volume)
	add(&l, view.Snapshot, inv.snapshots, j.snapshot)
	add(&l, view.Image, inv.images, j.image)
	if len(l.Missing) == len(view.Kinds()) { // then nobody needs to read each
		l.Trouble, l.Missing = l.Missing[0].Error, nil
	}
	return l
}

// add adds the things of a kind, and how old they are.
func add[T any](l *Listing, kind view.Kind, m memory[T], judge func(T) view.Thing) {
	if m.asked.IsZero() {
		l.Missing = append(l.Missing, view.Missing{Kind: kind, Error: m.err.Error()})
		return
	}
	if l.Asked.IsZero() || m.asked.Before(l.Asked) {
		l.Asked = m.asked
	}
	if m.err != nil {
		l.Trouble = cmp.Or(l.Trouble, m.err.Error())
	}
	var things []view.Thing
	for _, one := range m.list {
		thing := judge(one)
		thing.Kind = kind
		things = append(things, thing)
	}
	slices.SortFunc(things, func(a, b view.Thing) int { return cmp.Compare(a.ID, b.ID) })
	l.Things = append(l.Things, things...)
}
