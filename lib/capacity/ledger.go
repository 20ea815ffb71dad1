package capacity

import (
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Ledger counts what the node has promised. Methods never block on anything
// but its own lock.
type Ledger struct {
	mu    sync.Mutex
	book  *book
	holds map[model.UID]time.Time // application -> when its hold runs out

	freed chan struct{}
}

// NewLedger returns an empty ledger.
func NewLedger() *Ledger {
	return &Ledger{book: newBook(), holds: map[model.UID]time.Time{}, freed: make(chan struct{}, 1)}
}

// Freed signals, coalesced, that something came back since the last signal.
func (l *Ledger) Freed() <-chan struct{} { return l.freed }

// Hold takes the claim for an application that the node votes yes for, until
// the given time: so that all its yeses can be kept together. It returns nil,
// or the Shortage.
func (l *Ledger) Hold(app model.UID, c Claim, o Offer, now, until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(now)
	if _, held := l.holds[app]; held {
		return nil
	}
	if err := l.book.fits(c, o); err != nil {
		return err
	}
	l.book.add(key{app, 0}, c, true)
	l.holds[app] = until
	return nil
}

// Unhold gives a hold back, if there is one.
func (l *Ledger) Unhold(app model.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, held := l.holds[app]; held {
		l.drop(app)
	}
}

// Held reports whether a hold stands.
func (l *Ledger) Held(app model.UID, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(now)
	_, held := l.holds[app]
	return held
}

// Reserve turns the application's hold into the reservation of a grant, and
// reports whether there was a hold.
func (l *Ledger) Reserve(app model.UID, epoch uint32, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(now)
	if _, held := l.holds[app]; !held {
		return false
	}
	c := l.book.claims[key{app, 0}]
	l.book.remove(key{app, 0})
	delete(l.holds, app)
	l.book.add(key{app, epoch}, c, true)
	return true
}

// Restore counts a reservation that was made before this process started,
// whether it fits or not. placed says that the driver knows of the environment.
func (l *Ledger) Restore(app model.UID, epoch uint32, c Claim, placed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.book.add(key{app, epoch}, c, !placed)
}

// Reclaim replaces the claim of a reservation that stands, because more is
// known of it now than when it was restored.
func (l *Ledger) Reclaim(app model.UID, epoch uint32, c Claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := key{app, epoch}
	if _, ok := l.book.claims[k]; ok {
		_, pending := l.book.unknown[k]
		l.book.add(k, c, pending)
		l.signal()
	}
}

// Placed says that the driver knows of the environment and counts it in its
// own capacity.
func (l *Ledger) Placed(app model.UID, epoch uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.book.placed(key{app, epoch})
}

// Return gives a reservation back, once it is certain that nothing of the
// environment exists. Returning it again does nothing.
func (l *Ledger) Return(app model.UID, epoch uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.book.remove(key{app, epoch}) {
		l.signal()
	}
}

// EverFits returns nil if the claim fits on an empty node, or what is lacking
// even then.
func EverFits(c Claim, o Offer) error {
	if err := enough(c, o.Limits, usage{}); err != nil {
		return err
	}
	return enoughDisk(c, o.Disk, o.Disk.Total, 0)
}

// Crowded reports whether others than the node's environments have taken so
// much that the claim would not fit if none of those ran.
func Crowded(c Claim, o Offer) bool {
	return o.Free < 1 || enoughDisk(c, o.Disk, o.Disk.Free, 0) != nil
}

// Fits returns nil if one more such claim would fit now, or what is lacking.
func (l *Ledger) Fits(c Claim, o Offer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.book.fits(c, o)
}

// Usage is what one instance has given out.
type Usage struct {
	Environments int
	CPU          uint // cores
	RAM          uint // GB
	Disk         uint // GB
}

// InUse is what is promised or in use of an instance: holds, reservations and
// environments that are being released.
func (l *Ledger) InUse(instance string) Usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	var u Usage
	for _, c := range l.book.claims {
		if c.Instance == instance {
			u.Environments++
			u.CPU += c.CPU
			u.RAM += c.RAM
			u.Disk += c.Disk
		}
	}
	return u
}

// Applications are those that hold or have reserved something.
func (l *Ledger) Applications(now time.Time) map[model.UID]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(now)
	apps := make(map[model.UID]bool, len(l.book.claims))
	for k := range l.book.claims {
		apps[k.application] = true
	}
	return apps
}

// expire drops the holds whose time is over. Caller holds mu.
func (l *Ledger) expire(now time.Time) {
	for app, until := range l.holds {
		if now.After(until) {
			l.drop(app)
		}
	}
}

// drop removes a hold. Caller holds mu.
func (l *Ledger) drop(app model.UID) {
	delete(l.holds, app)
	l.book.remove(key{app, 0})
	l.signal()
}

func (l *Ledger) signal() {
	select {
	case l.freed <- struct{}{}:
	default:
	}
}
