package lifecycle

import (
	"context"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// reapPeriod is the time between two sightings: longer than any write takes,
// short against what a leaked machine costs.
const reapPeriod = time.Minute

// reaper is the safety net beside the life of an application: it compares what
// the drivers really run with what the store says, and removes what is
// provably ours and known to nobody, once it was seen twice. On a restored
// database, which knows less than what runs, it only reports.
type reaper struct {
	opts Options
	seen map[stray]bool // at the last round
	kept map[stray]bool // told of, and left because the database was restored
}

// stray names an environment of an instance.
type stray struct{ instance, token, identifier string }

func newReaper(opts Options) *reaper {
	return &reaper{opts: opts, seen: map[stray]bool{}, kept: map[stray]bool{}}
}

// reap makes one round. What a driver that can not list all does not name is left
// for the next round, and what was seen there once stays seen once.
func (r *reaper) reap(ctx context.Context) {
	now := map[stray]bool{}
	for _, instance := range r.opts.Instances() {
		r.reapInstance(ctx, instance, now)
	}
	r.seen = now
}

// spare tells whether a stray has to stay, and says so once.
func (r *reaper) spare(s stray) bool {
	if !r.opts.spares() {
		delete(r.kept, s)
		return false
	}
	if !r.kept[s] {
		r.kept[s] = true
		r.opts.Logger.Warn("an environment that the restored database does not know is left alone; "+
			"release it by hand, or let the node do it: aquarium-fish db confirm", "instance", s.instance, "identifier", s.identifier)
	}
	return true
}

func (r *reaper) reapInstance(ctx context.Context, instance string, now map[stray]bool) {
	driver, _ := r.opts.Driver(instance)
	if driver == nil {
		return
	}
	refs, err := listBy(ctx, driver, r.opts.Logger)
	if err != nil {
		if ctx.Err() == nil {
			r.opts.Logger.Warn("driver can not list all its environments", "instance", instance, "error", err)
		}
		r.keepSightings(instance, now)
	}
	// Only now: an environment is listed after its intent is stored, so what
	// the store does not know at this point nobody has asked for.
	wanted := wantedOf(r.opts.Store.Open(), instance)
	for _, ref := range refs {
		s := stray{instance: instance, token: ref.Token, identifier: ref.Identifier}
		if wanted[ref.Token] || wanted[ref.Identifier] {
			continue
		}
		if !r.seen[s] {
			now[s] = true
			continue
		}
		now[s] = true // if it stays or its removal fails, the next round is on it
		if !r.spare(s) {
			r.remove(ctx, driver, instance, ref)
		}
	}
}

func (r *reaper) keepSightings(instance string, now map[stray]bool) {
	for s := range r.seen {
		if s.instance == instance {
			now[s] = true
		}
	}
}

// Wanted is drivers.Config.Wanted of an instance.
func (m *Manager) Wanted(instance string) (names map[string]bool, whole bool) {
	whole = !m.opts.spares() // before the look, as who confirms the database between them does not vouch for what was read
	return wantedOf(m.opts.Store.Open(), instance), whole
}

// wantedOf are the tokens and identifiers of the instance's open allocations,
// and of those of which an old database did not know the instance.
func wantedOf(open []*model.Entry, instance string) map[string]bool {
	wanted := map[string]bool{}
	for _, e := range open {
		for _, a := range e.OpenAllocations() {
			if a.Definition.Driver != instance && a.Definition.Driver != "" {
				continue
			}
			for _, name := range []string{a.Token, a.Identifier} {
				if name != "" {
					wanted[name] = true
				}
			}
		}
	}
	return wanted
}

func (r *reaper) remove(ctx context.Context, driver drivers.Driver, instance string, ref drivers.Ref) {
	r.opts.Logger.Warn("removing an environment that nobody asked for",
		"instance", instance, "identifier", ref.Identifier)
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	err := drivers.Guard(r.opts.Logger, func() error { return driver.Deallocate(ctx, ref) })
	if err != nil && ctx.Err() == nil {
		r.opts.Logger.Warn("stray environment not removed", "instance", instance, "identifier", ref.Identifier, "error", err)
	}
}
