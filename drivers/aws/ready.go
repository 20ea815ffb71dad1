package aws

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// ready waits until the machine has what the node needs of it, or is gone.
func (l *launcher) ready(ctx context.Context, inst cloud.Instance) (cloud.Instance, error) {
	bound, cancel := context.WithTimeoutCause(ctx, l.settings.AddressWait,
		fmt.Errorf("machine %s has no address %v after its launch", inst.ID, l.settings.AddressWait))
	defer cancel()
	retry := backoff{leastLook, mostLook}
	for {
		if cloud.Gone(inst.State) {
			return inst, nil
		}
		whole, err := l.complete(bound, inst)
		if err != nil || whole {
			return inst, err
		}
		if err := retry.wait(bound); err != nil {
			return inst, errors.Join(err, context.Cause(bound))
		}
		seen, err := l.look(bound, time.Now())
		if err != nil && !transient(err) {
			return inst, errors.Join(err, context.Cause(bound))
		}
		if listed, is := seen.byID[inst.ID]; is {
			inst = listed.Instance
		}
	}
}

// complete reports whether a machine has all that it should, and puts the tags
// on its disks when they are there.
func (l *launcher) complete(ctx context.Context, inst cloud.Instance) (bool, error) {
	if inst.PrivateIP == "" {
		return false, nil
	}
	if l.in.marked() {
		return true, nil
	}
	for _, device := range slices.Sorted(maps.Keys(l.in.DiskTags)) {
		id := inst.Volumes[device]
		if id == "" {
			return false, nil
		}
		err := l.api.CreateTags(ctx, []string{id}, l.in.DiskTags[device])
		if transient(err) || cloud.IsKind(err, cloud.NotFound) { // it is new, and not known everywhere
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("tag disk %s: %w", device, err)
		}
	}
	l.in.Marked = true
	return true, l.ledger.save(l.in)
}
