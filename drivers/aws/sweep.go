package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/astray"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

// sweepers is how many things are removed at a time: EC2 takes five requests a
// second of most kinds.
const sweepers = 4

// sweepPlan says what is paid for by mistake.
func (d *driver) sweepPlan(ctx context.Context, args json.RawMessage) (json.RawMessage, error) {
	if err := readArgs(args, &struct{}{}); err != nil {
		return nil, err
	}
	plan, err := d.astray(ctx)
	if err != nil {
		return nil, err
	}
	return json.Marshal(plan)
}

// astray looks, and then asks the node what it wants: so nothing is astray that
// was made in between.
func (d *driver) astray(ctx context.Context) (view.Sweeping, error) {
	listing, err := d.inventory.Look(ctx)
	if err != nil {
		return view.Sweeping{}, err
	}
	s := view.Sweeping{Region: d.settings.Region, Strays: d.strays(listing.Things), Memory: listing.Memory}
	if s.Strays == nil {
		s.Strays = []view.Stray{}
	}
	return s, nil
}

// strays are those among things that were listed just now.
func (d *driver) strays(things []view.Thing) []view.Stray {
	f := astray.Facts{Now: time.Now(), Former: map[string]astray.Kept{}, Pools: map[string]bool{}, Risen: d.risen.see(things)}
	f.Wanted, f.Whole = d.wanted()
	for _, t := range things {
		if t.Kind == view.Host && d.pools.Kept(t.Pool) {
			f.Pools[t.Pool] = true
		}
		if _, known := f.Former[t.Instance]; t.Former && !known {
			kept := astray.Kept{}
			kept.Wanted, kept.Whole = d.former.Wanted(t.Instance)
			f.Former[t.Instance] = kept
		}
	}
	return astray.Find(things, f)
}

// sweep removes what the admin has seen in a plan, as far as it still is astray.
func (d *driver) sweep(ctx context.Context, args json.RawMessage) (json.RawMessage, error) {
	var a view.SweepArgs
	if err := readArgs(args, &a); err != nil {
		return nil, err
	}
	if len(a.IDs) == 0 {
		return nil, fmt.Errorf("%w: ids: want those of a plan", drivers.ErrCommandArgument)
	}
	s, err := d.astray(ctx)
	if err != nil {
		return nil, err
	}
	if s.Trouble != "" {
		return nil, fmt.Errorf("%w: it can not be looked at what is there now, try again when AWS answers: %s", drivers.ErrCommandRefused, s.Trouble)
	}
	var work sync.WaitGroup
	turns := make(chan struct{}, sweepers)
	for i := range s.Strays {
		stray := &s.Strays[i]
		if !slices.Contains(a.IDs, stray.ID) || stray.Held != "" || stray.Doubtful && !a.Forgotten {
			continue
		}
		work.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			if err := d.removeStray(ctx, stray.Thing); err != nil {
				stray.Error = err.Error()
				return
			}
			stray.Removed = true
			d.log.Info("a thing that was paid for by mistake is removed", "kind", stray.Kind, "id", stray.ID, "reason", stray.Reason)
		})
	}
	work.Wait()
	return json.Marshal(s)
}

// removeStray asks for the end of a thing. Of one that is gone it returns nil.
func (d *driver) removeStray(ctx context.Context, t view.Thing) (err error) {
	switch t.Kind {
	case view.Host:
		err = d.releaseStray(ctx, t.ID)
	case view.Instance:
		err = d.api.TerminateInstances(ctx, []string{t.ID})
	case view.Spot:
		err = d.api.CancelSpotRequests(ctx, []string{t.ID})
	case view.Volume:
		err = d.api.DeleteVolume(ctx, t.ID)
	case view.Snapshot:
		err = d.api.DeleteSnapshot(ctx, t.ID)
	case view.Image:
		err = d.api.DeregisterImage(ctx, t.ID)
	default:
		return fmt.Errorf("this version does not remove a %s", t.Kind)
	}
	if cloud.IsKind(err, cloud.NotFound) {
		return nil
	}
	return err
}

// releaseStray releases one host.
func (d *driver) releaseStray(ctx context.Context, id string) error {
	released, refused, err := d.api.ReleaseHosts(ctx, []string{id})
	switch {
	case err != nil:
		return err
	case refused[id] != nil:
		return refused[id]
	case !slices.Contains(released, id):
		return errors.New("EC2 did not say whether it is released")
	}
	return nil
}
