package pools

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/inventory"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Pools are those of the configuration, by name, as their owners tell, and
// those of hosts that are left of former configurations.
func (p *Pools) Pools(ctx context.Context) []view.Pool {
	all := p.all()
	list := make([]view.Pool, len(all))
	var looks sync.WaitGroup // who owns one may not be there
	for i, k := range all {
		looks.Go(func() { list[i] = k.look(ctx) })
	}
	looks.Wait()
	return slices.DeleteFunc(list, func(v view.Pool) bool { return p.named[v.Name] == nil && len(v.Hosts) == 0 })
}

// Drain begins or ends the draining of a pool. It holds over restarts.
func (p *Pools) Drain(ctx context.Context, name string, off bool) (view.Pool, error) {
	k, err := p.keeper(name)
	if err != nil {
		return view.Pool{}, fmt.Errorf("%w: pool: %q is not in dedicated_pool of this instance", drivers.ErrCommandArgument, name)
	}
	a, err := k.ask(ctx, question{Op: opDrain, Off: off})
	if err != nil {
		return view.Pool{}, fmt.Errorf("%w: %w", drivers.ErrCommandRefused, err)
	}
	if a.View == nil {
		return view.Pool{}, fmt.Errorf("the pool's owner, of another version, did not say what became of it")
	}
	return *a.View, nil
}

// look is the pool as its owner tells.
func (k *keeper) look(ctx context.Context) view.Pool {
	a, err := k.ask(ctx, question{Op: opView})
	if err == nil && a.View != nil {
		return *a.View
	}
	v := k.configured()
	if owner := k.opts.Owner(k.pool.Thing); owner != model.NilUID {
		v.Owner = owner.String()
	}
	if err != nil {
		v.Trouble = err.Error()
	}
	return v
}

// configured is what the configuration says of the pool.
func (k *keeper) configured() view.Pool { return inventory.PoolOf(k.pool.Config, k.pool.Thing) }

// show is the pool as this node, which owns it, knows it.
func (k *keeper) show() answer {
	v, room := *k.told.Load(), k.room()
	if v.Capacity = room.For(nil); v.Capacity == 0 {
		v.Trouble = room.Trouble(nil)
	}
	return answer{View: &v}
}
