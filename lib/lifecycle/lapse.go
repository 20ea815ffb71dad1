package lifecycle

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// unheard is why a node that may have forgotten what it did waits, for the user.
const unheard = "the database of this node was put back, or its system crashed, and it may have begun or ended this before: it waits until it has heard from " +
	"every member. Start those that can not be reached, or retire who is gone for good (aquarium-fish cluster retire)"

// lapsedPromise says what a vote of this process is worth in a lapse: nothing,
// if it was cast before the lapse was noticed.
func lapsedPromise(f Facts, lapse time.Duration) bool { return f.Promised && f.Promise <= lapse }

// forgets reports whether the end of an intent may be forgotten.
func (f Facts) forgets(epoch uint32) bool {
	return f.Lapsed && (epoch != f.Intended || epoch == f.Untouched && !f.Promised)
}

// nextInLapse is what comes of a grant while this node may have forgotten what
// it made of it. What it does not begin it must not decline either: that would
// undo what others know of it.
func nextInLapse(epoch uint32) Step {
	return Step{Action: Wait, Epoch: epoch, Wait: recheck, Reason: unheard}
}

// searchForgotten asks the driver whether it has anything of the application:
// what was being made when the database was lost nobody else knows of. It is
// asked about each grant by a vote of an earlier process, as a volume that was put
// back whole tells of nothing; only where there is a lapse its answer is waited for.
func (r *runner) searchForgotten(ctx context.Context, e *model.Entry, step Step) error {
	a := r.remembered(e, step.Epoch)
	if d := a.Definition.Driver; d != "" && !slices.Contains(r.m.opts.Instances(), d) {
		r.searched = true // it is not configured any more, and can not be asked
		return nil
	}
	stop := never
	if !r.m.opts.spares() && !recalled(e) {
		stop = recalled
	}
	ref, found, err := r.search(ctx, e, a, stop)
	if err != nil {
		if r.unsaid = ctx.Err() == nil; r.unsaid && !r.m.forgetful.Load() {
			if !errors.Is(err, context.Canceled) { // a recall cut it short
				r.log.Warn("driver did not say whether an earlier process began what it was granted, that counts as not begun", "error", err)
			}
			return nil
		}
		return err
	}
	if !found {
		r.searched = true
		return nil
	}
	a = ofRef(a, ref)
	if merged, err := model.MergeMetadata(e.Application.Metadata, a.LabelMetadata); err == nil { // else as it was told
		a.Metadata = merged
	}
	r.searched, err = r.takeUp(ctx, a, found)
	return err
}

// unsearched is Facts.Unsearched. A recalled application need not wait for the
// driver where the reaper removes whatever it has of it.
func (r *runner) unsearched(e *model.Entry) bool {
	if r.searched || e.Fold.Request != nil && !r.m.opts.spares() {
		return false
	}
	return r.m.forgetful.Load() || !r.unsaid && !r.votedHere(e)
}

// votedHere reports whether this process cast the vote of the grant in force,
// also if it took that back since: an earlier one began nothing by that grant.
func (r *runner) votedHere(e *model.Entry) bool {
	vote, voted := r.vote(e)
	return voted && vote.Boot != 0 && vote.Boot == r.m.opts.Voter
}

// spares reports whether the reaper removes nothing now: the database may know
// less than what runs.
func (o Options) spares() bool {
	if _, restored := o.Store.Restored(); restored {
		return true
	}
	if o.Lapsed == nil {
		return false
	}
	_, lapsed := o.Lapsed()
	return lapsed
}

// takeUp stores the allocation of an environment that is there, or was, unless
// its end came meanwhile: then nothing is taken up.
func (r *runner) takeUp(ctx context.Context, a model.Allocation, found bool) (taken bool, err error) {
	r.known = false
	ledger := r.m.opts.Ledger
	ledger.Restore(r.uid, a.Epoch, r.m.claimOf(a), true)
	stored, err := r.m.opts.Store.Update(ctx, r.uid, func(e *model.Entry) (model.Change, error) {
		if _, intended := e.Allocation(a.Epoch); intended || ended(e, a.Epoch) {
			return model.Change{}, nil
		}
		return model.Change{Allocations: []model.Allocation{a}}, nil
	})
	if err == nil {
		if _, ok := stored.Allocation(a.Epoch); ok {
			r.log.Warn("an environment that the restored database did not know is taken up again; its metadata address is another one",
				"epoch", a.Epoch, "instance", a.Definition.Driver, "identifier", a.Identifier, "found", found)
			return true, nil
		}
	}
	ledger.Return(r.uid, a.Epoch)
	return false, err
}

// lapsed is how long this process has known that the node may have forgotten
// something.
func (m *Manager) lapsed() (time.Duration, bool) {
	if m.opts.Lapsed == nil {
		return 0, false
	}
	since, lapsed := m.opts.Lapsed()
	if lapsed {
		m.forgetful.Store(true)
	}
	return time.Since(since), lapsed
}
