package aws

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// snapshot takes snapshots of the machine's disks, all at one moment.
func (r *taskRun) snapshot(ctx context.Context) (any, error) {
	if len(r.rec.Snapshots) == 0 {
		if err := r.create(ctx, "take snapshots", r.takeSnapshots); err != nil {
			return nil, err
		}
	}
	if err := r.awaitSnapshots(ctx); err != nil {
		return nil, err
	}
	if err := r.commit(ctx, r.rec.Snapshots); err != nil {
		return nil, err
	}
	return snapshotResult{Snapshots: r.rec.Snapshots, When: r.req.When}, nil
}

func (r *taskRun) takeSnapshots(ctx context.Context) error {
	taken, err := r.api.CreateSnapshots(ctx, cloud.SnapshotsRequest{
		InstanceID: r.rec.Machine, Description: r.description(), WithoutRoot: len(r.rec.Omit) > 0, Tags: r.rec.Tags,
	})
	for _, s := range taken {
		r.rec.Snapshots = append(r.rec.Snapshots, s.ID)
	}
	slices.Sort(r.rec.Snapshots)
	return err
}

// create asks EC2 for what has no client token. That it is asked is written down
// before; what has no certain answer is looked for until it shows, or can not
// any more, and only then asked for again.
func (r *taskRun) create(ctx context.Context, what string, ask func(ctx context.Context) error) error {
	return r.until(ctx, what, func() (done bool, state string, err error) {
		if !r.rec.Sent.IsZero() {
			asked := time.Now()
			found, err := r.find(ctx)
			switch {
			case err != nil:
				return false, "", err
			case found:
				return true, "", r.save()
			case asked.Sub(r.rec.Sent) <= cloud.Settled:
				return false, "it was asked for, and has no answer: it shows within " + cloud.Settled.String(), nil
			}
		}
		if r.machine.ID == "" {
			return false, "", r.nothing()
		}
		if time.Now().After(r.rec.Deadline) {
			return false, "not begun", nil
		}
		return r.ask(ctx, what, ask)
	})
}

// ask asks once, and writes down what that may have led to.
func (r *taskRun) ask(ctx context.Context, what string, ask func(ctx context.Context) error) (done bool, state string, err error) {
	r.rec.Sent = time.Now().UTC()
	if err := r.save(); err != nil {
		return false, "", err
	}
	err = ask(ctx)
	switch {
	case err == nil:
		r.rec.Sent = time.Time{}
		return true, "", r.save()
	case !cloud.Undone(err), duplicate(err): // it may be there
		return false, err.Error(), nil
	}
	r.rec.Sent = time.Time{}
	if e := r.save(); e != nil {
		return false, "", e
	}
	return false, err.Error(), refusal(what, err)
}

// save writes the record. Where that fails nothing more is asked.
func (r *taskRun) save() error {
	if err := r.records().save(r.rec); err != nil {
		return labelError{err}
	}
	return nil
}

// find looks for what the task has made, by its tags.
func (r *taskRun) find(ctx context.Context) (found bool, err error) {
	if r.req.Task == taskImage {
		return r.findImages(ctx)
	}
	list, err := r.api.Snapshots(ctx, self(), r.mine())
	if err != nil {
		return false, err
	}
	slices.SortFunc(list, func(a, b cloud.Snapshot) int {
		return cmp.Or(result(a.Tags)-result(b.Tags), a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
	})
	of := map[string]string{}
	for _, s := range list {
		if of[s.VolumeID] == "" { // one that was made twice goes when its lease is over
			of[s.VolumeID] = s.ID
		}
	}
	var ids []string
	for _, volume := range r.rec.Volumes {
		if of[volume] == "" {
			return false, nil
		}
		ids = append(ids, of[volume])
	}
	r.rec.Snapshots = slices.Sorted(slices.Values(ids))
	return true, nil
}

// result orders what is a result before what is a step.
func result(tags cloud.Tags) int {
	if tags[cloud.TagPurpose] == cloud.PurposeTask {
		return 0
	}
	return 1
}

// absence counts for how long something is not listed.
type absence struct{ since time.Time }

// lasts reports whether it is gone, and not only shown late.
func (a *absence) lasts(listed bool, now time.Time) bool {
	switch {
	case listed:
		a.since = time.Time{}
	case a.since.IsZero():
		a.since = now
	}
	return !listed && now.Sub(a.since) > cloud.Settled
}

// awaitSnapshots waits until all of them are completed.
func (r *taskRun) awaitSnapshots(ctx context.Context) error {
	missing := absence{}
	return r.until(ctx, "wait for snapshots", func() (bool, string, error) {
		asked := time.Now()
		list, err := r.api.Snapshots(ctx, self(), cloud.Where("snapshot-id", r.rec.Snapshots...))
		if err != nil {
			return false, "", err
		}
		open := map[string]string{}
		for _, id := range r.rec.Snapshots {
			open[id] = "not listed"
		}
		for _, s := range list {
			switch s.State {
			case cloud.SnapshotCompleted:
				delete(open, s.ID)
			case cloud.SnapshotError:
				return false, "", failure("snapshot %s failed: %s", s.ID, cmp.Or(s.Reason, "EC2 does not say why"))
			default:
				open[s.ID] = s.State + " " + s.Progress
			}
		}
		if missing.lasts(len(list) >= len(r.rec.Snapshots), asked) {
			return false, "", failure("of the snapshots %s somebody removed one", strings.Join(r.rec.Snapshots, ", "))
		}
		return len(open) == 0, states(open), nil
	})
}

// states says in what state things are, for the log.
func states(of map[string]string) string {
	var all []string
	for _, id := range slices.Sorted(maps.Keys(of)) {
		all = append(all, id+" "+of[id])
	}
	return strings.Join(all, ", ")
}
