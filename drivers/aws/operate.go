package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

// poolKeeper are hosts that an admin can look at and drain.
type poolKeeper interface {
	// Pools are those of the configuration, by name, as their owners tell
	// (inventory.Tell); of one whose owner does not, Trouble says why.
	Pools(ctx context.Context) []view.Pool
	// Drain is idempotent. Its error wraps those of drivers.Operator.
	Drain(ctx context.Context, pool string, off bool) (view.Pool, error)
}

var _ drivers.Operator = (*driver)(nil)

// Commands implements drivers.Operator.
func (d *driver) Commands() []drivers.Command {
	list := []drivers.Command{
		{Name: view.Status, Help: "Lists what carries our tags in the account and region: whose it is, its age, what it cost, when it can be given back. No arguments."},
		{Name: view.SweepPlan, Help: "Lists what carries the tags of this node and instance, of an instance that it is not configured for any more, or of a retired node, and belongs to nothing. No arguments."},
		{Name: view.Sweep, Changes: true, Help: "Removes what `ids` names of a plan, as far as it belongs to nothing; with `forgotten` true also what a restored database may only have forgotten, and what is of a retired node that runs."},
	}
	if _, has := d.hosts.(poolKeeper); has {
		list = append(list,
			drivers.Command{Name: view.Pools, Help: "Lists the pools and their hosts, as their owners tell. No arguments."},
			drivers.Command{
				Name: view.Drain, Changes: true, Object: view.ArgPool,
				Help: "Has a `pool` take no host into use any more and give back those it has, also after restarts; with `off` true that ends.",
			},
		)
	}
	return list
}

// Do implements drivers.Operator.
func (d *driver) Do(ctx context.Context, command string, args json.RawMessage) (json.RawMessage, error) {
	keeper, hasPools := d.hosts.(poolKeeper)
	switch {
	case command == view.Status:
		return d.status(ctx, args)
	case command == view.SweepPlan:
		return d.sweepPlan(ctx, args)
	case command == view.Sweep:
		return d.sweep(ctx, args)
	case command == view.Pools && hasPools:
		if err := readArgs(args, &struct{}{}); err != nil {
			return nil, err
		}
		return json.Marshal(view.PoolList{Region: d.settings.Region, Pools: keeper.Pools(ctx)})
	case command == view.Drain && hasPools:
		return drain(ctx, keeper, args)
	}
	return nil, fmt.Errorf("%w: %q", drivers.ErrCommandUnknown, command)
}

// readArgs reads the arguments of a command, of which none may be unknown: who
// asks for more than this version does is to know.
func readArgs(args json.RawMessage, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(args))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", drivers.ErrCommandArgument, err)
	}
	return nil
}

// status lists what there is, of other nodes too: who pays is to see it all.
func (d *driver) status(ctx context.Context, args json.RawMessage) (json.RawMessage, error) {
	if err := readArgs(args, &struct{}{}); err != nil {
		return nil, err
	}
	pools := []view.Pool{}
	var asking sync.WaitGroup // EC2 and the pools' owners may both be away, which takes its time
	if keeper, has := d.hosts.(poolKeeper); has {
		asking.Go(func() { pools = keeper.Pools(ctx) })
	}
	listing, err := d.inventory.Look(ctx)
	asking.Wait()
	if err != nil {
		return nil, err
	}
	for i := range listing.Things {
		if t := &listing.Things[i]; d.unclaimed(*t) {
			t.Why = strings.TrimPrefix(t.Why+"; ", "; ") + "nobody is configured for pool " + t.Pool + ": with max: 0 it gives its hosts back"
		}
	}
	var aging []view.Aging
	for _, one := range d.member.Aging() {
		aging = append(aging, view.Aging{Of: one.Of, Asked: one.Asked, Error: one.Err.Error()})
	}
	bill := d.member.Bill()
	a := view.Account{
		Account: d.account, Region: d.settings.Region, Node: d.node.String(), Things: listing.Things, Missing: listing.Missing,
		Hourly: bill.Hourly, Unpriced: bill.Unpriced, Pools: pools, Aging: aging, Memory: listing.Memory,
	}
	if a.Things == nil {
		a.Things = []view.Thing{}
	}
	return json.Marshal(a)
}

func drain(ctx context.Context, keeper poolKeeper, args json.RawMessage) (json.RawMessage, error) {
	var a view.DrainArgs
	if err := readArgs(args, &a); err != nil {
		return nil, err
	}
	if a.Pool == "" {
		return nil, fmt.Errorf("%w: %s: want the name of a pool", drivers.ErrCommandArgument, view.ArgPool)
	}
	pool, err := keeper.Drain(ctx, a.Pool, a.Off)
	if err != nil {
		return nil, err
	}
	return json.Marshal(pool)
}
