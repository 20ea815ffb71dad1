package vmx

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
)

const (
	// addressEvery is how often the places are looked at where the address of a
	// guest appears.
	addressEvery = 250 * time.Millisecond
	// rosterAge is how old an answer of vmrun may be for those who only wait.
	rosterAge = 2 * time.Second
)

// waiting is what is known while an environment's address is waited for.
type waiting struct {
	ip       string
	facts    facts
	resets   int // that there had been when the wait began
	deadline time.Time
}

var errNoGuest = errors.New("the guest was gone before it had an address")

// decide says whether the wait goes on. An environment without an address is
// one all the same: that of a guest which sets its address itself, or is in a
// network whose DHCP server is not VMware's, is learned when it asks for its
// metadata. A guest that is gone is none.
func (w waiting) decide(now time.Time) (done bool, err error) {
	switch {
	case w.facts.stopping:
		return true, claims.ErrStopping
	case w.facts.running && w.facts.log.gone != "" && w.facts.monitor:
		return true, fmt.Errorf("%w: %s", errNoGuest, w.facts.log.gone)
	case w.facts.suspended:
		return true, nil // it will not get one while it stands still
	case !w.facts.running:
		return true, fmt.Errorf("%w: %s", errNoGuest, w.facts.log.ending())
	case w.ip != "", !now.Before(w.deadline):
		return true, nil
	}
	return w.facts.monitor && w.facts.log.resets > w.resets, nil // it sets itself up anew: who knows how long
}

// deadline is the end of a wait that began at the start of a machine. at is of
// a file, and the clock may have been set back since: no wait is longer for it.
func deadline(now, at time.Time, wait time.Duration) time.Time {
	return now.Add(wait - max(0, now.Sub(at)))
}

// waitAddress waits for the address of a started machine. No turn is held:
// Deallocate ends the wait.
func (d *driver) waitAddress(ctx context.Context, c claims.Claim) (string, error) {
	at, err := d.startedAt(c)
	if err != nil {
		return "", errors.Join(claims.ErrVanished, err)
	}
	w := waiting{deadline: deadline(time.Now(), at, d.settings.AddressWait)}
	if log, err := readLog(d.workspace.Folder(c.Name)); err == nil {
		w.resets = log.resets
	}
	for {
		if err := d.workspace.Stands(c); err != nil {
			return "", err
		}
		if w.facts, err = d.inspect(ctx, c, rosterAge); err != nil {
			return "", err
		}
		w.ip = d.address(ctx, c)
		done, err := w.decide(time.Now())
		if err == nil && done && w.ip == "" {
			d.log.Info("environment has no address yet; it is learned when the guest asks for its metadata", "hw_addr", hwAddr(c.Name))
		}
		if done || err != nil {
			return w.ip, err
		}
		if err := pause(ctx, addressEvery); err != nil {
			return "", err
		}
	}
}

// address is the one that the environment has now; empty if nobody knows it.
func (d *driver) address(ctx context.Context, c claims.Claim) string {
	ip, err := d.finder.Find(ctx, hwAddr(c.Name), time.Now())
	if err != nil {
		d.log.Debug("could not look for an address everywhere", "hw_addr", hwAddr(c.Name), "error", err)
	}
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}
