package capacity

import (
	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// OfferOf asks a driver for what it has for an environment of the definition;
// what comes with an error is as much as is known.
func OfferOf(def model.LabelDefinition, driver drivers.Driver, claim Claim) (o Offer, err error) {
	o.Limits = driver.Limits()
	if holder, ok := driver.(drivers.DiskHolder); ok && claim.Disk > 0 {
		if o.Disk, err = holder.DiskRoom(); err != nil {
			return o, err
		}
	}
	o.Free, err = driver.Capacity(def)
	return o, err
}

// Load is how much is promised of a node with so many cores and GB of memory,
// in percent: of the one of which more is. What counts against a remote
// instance does not. 0 cores or GB are not counted.
func (l *Ledger) Load(cpu, ram uint) uint8 {
	l.mu.Lock()
	defer l.mu.Unlock()
	local := l.book.scopes[""]
	return uint8(max(share(local.cpu, cpu), share(local.ram, ram))) //nolint:gosec // at most 100
}

func share(used, of uint) uint {
	if of == 0 {
		return 0
	}
	return min(100, 100*min(used, of)/of)
}
