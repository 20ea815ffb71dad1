// Package capacity is the node's ledger: what its driver instances may give
// out, who holds what, and whether one more fits.
//
// The book is pure arithmetic; the Ledger around it adds a lock, holds that
// run out and a signal when something came back. An entry is made before a
// driver is asked for anything and removed only when the driver confirmed that
// nothing is left, so the sum never says that there is room where there is
// none.
package capacity

import (
	"fmt"
	"math"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Claim is what one environment takes from where.
type Claim struct {
	Instance     string // full name of the driver instance
	Remote       bool   // counts against the instance alone, not the node
	CPU          uint   // cores
	RAM          uint   // GB
	Multitenancy bool
	CPUOverbook  bool
	RAMOverbook  bool
	Disk         uint   // GB of disks that are made
	FileSystem   string // that they are made on; instances may share it
	// Exclusive are names that no two environments of a scope hold at once:
	// instances may share what they name.
	Exclusive []string
}

// mostClaimed bounds what one environment counts, in cores and GB, so that no
// sum of nonsense overflows: what is larger fits nowhere that has a limit.
const mostClaimed = 1 << 40

// ClaimOf is what an environment of the definition takes from the instance. An
// absent driver (nil) is taken for a local one until it is back.
func ClaimOf(def model.LabelDefinition, driver drivers.Driver) Claim {
	r := def.Resources
	c := Claim{
		Instance: def.Driver, CPU: min(r.CPU, mostClaimed), RAM: min(r.RAM, mostClaimed),
		Multitenancy: r.Multitenancy, CPUOverbook: r.CPUOverbook, RAMOverbook: r.RAMOverbook,
	}
	if driver == nil {
		return c
	}
	c.Remote = driver.Limits().Remote
	if h, ok := driver.(drivers.DiskHolder); ok {
		c.Disk, c.FileSystem = h.DiskNeed(def)
		c.Disk = min(c.Disk, mostClaimed)
	}
	if x, ok := driver.(drivers.Excluder); ok {
		c.Exclusive = x.Exclusive(def)
	}
	return c
}

// Scope is where the claim is summed up: one for all local instances of the
// node together, one for each remote instance (contract 13).
func (c Claim) Scope() string {
	if c.Remote {
		return c.Instance
	}
	return ""
}

// Offer is what an instance has to give for an environment, as of now.
type Offer struct {
	Limits drivers.Limits
	Free   int              // how many more the driver itself would take
	Disk   drivers.DiskRoom // for a claim with disks
}

// What a Shortage is of, apart from "exclusive use of NAME".
const (
	ShortCPU    = "cpu"  // in cores
	ShortRAM    = "ram"  // in GB
	ShortDisk   = "disk" // in GB
	ShortDriver = "capacity of the driver"
)

// Shortage says what is lacking for one more environment.
type Shortage struct {
	What       string
	Need, Free uint
	Limit      uint // of all that there is; 0 where there is no such sum
}

// Error implements error in words for the user.
func (s Shortage) Error() string {
	switch {
	case s.What == ShortDisk && s.Need > s.Limit:
		return fmt.Sprintf("disk short: needs %d GB, the file system has %d GB", s.Need, s.Limit)
	case s.What == ShortDisk:
		return fmt.Sprintf("disk short: needs %d GB, free and not promised %d of %d GB", s.Need, s.Free, s.Limit)
	case s.Limit > 0:
		return fmt.Sprintf("%s short: needs %d, free %d of %d", s.What, s.Need, s.Free, s.Limit)
	}
	return fmt.Sprintf("%s short: needs %d, free %d", s.What, s.Need, s.Free)
}

// key names an entry: an application's hold has epoch 0, its reservation the
// epoch of its grant.
type key struct {
	application model.UID
	epoch       uint32
}

// usage is the sum of a scope's claims, with the tenancy flags that the first
// one set and that stay until the scope is empty again (contract 13).
type usage struct {
	entries      int
	cpu, ram     uint
	multitenancy bool
	cpuOverbook  bool
	ramOverbook  bool
}

// book is the ledger's arithmetic.
type book struct {
	claims  map[key]Claim
	scopes  map[string]usage
	pending map[string]int    // instance -> entries that its driver does not count yet
	taken   map[exclusive]int // how many hold a name: more than one only after Restore
	disks   map[string]uint   // file system -> GB promised
	unknown map[key]struct{}  // entries counted in pending
}

// exclusive is a name in a scope.
type exclusive struct{ scope, name string }

func newBook() *book {
	return &book{
		claims: map[key]Claim{}, scopes: map[string]usage{}, pending: map[string]int{},
		taken: map[exclusive]int{}, disks: map[string]uint{}, unknown: map[key]struct{}{},
	}
}

// fits returns nil if one more such claim fits, or what is lacking.
func (b *book) fits(c Claim, o Offer) error {
	if err := enough(c, o.Limits, b.scopes[c.Scope()]); err != nil {
		return err
	}
	if err := enoughDisk(c, o.Disk, o.Disk.Free, b.disks[c.FileSystem]); err != nil {
		return err
	}
	for _, name := range c.Exclusive {
		if b.taken[exclusive{c.Scope(), name}] > 0 {
			return Shortage{What: "exclusive use of " + name, Need: 1}
		}
	}
	if free := o.Free - b.pending[c.Instance]; free < 1 {
		return Shortage{What: ShortDriver, Need: 1}
	}
	return nil
}

// enough compares cpu and ram with what the limits leave over usage. A limit
// of 0 is no limit; what is used beyond a limit leaves 0, never less.
func enough(c Claim, limits drivers.Limits, u usage) error {
	if u.entries == 0 { // the first one sets the flags
		u.multitenancy, u.cpuOverbook, u.ramOverbook = c.Multitenancy, c.CPUOverbook, c.RAMOverbook
	}
	shared := u.multitenancy && c.Multitenancy
	cpu := withOverbook(limits.CPU, limits.CPUOverbook, shared && u.cpuOverbook && c.CPUOverbook)
	if free, ok := left(cpu, u.cpu); ok && c.CPU > free {
		return Shortage{What: ShortCPU, Need: c.CPU, Free: free, Limit: cpu}
	}
	ram := withOverbook(limits.RAM, limits.RAMOverbook, shared && u.ramOverbook && c.RAMOverbook)
	if free, ok := left(ram, u.ram); ok && c.RAM > free {
		return Shortage{What: ShortRAM, Need: c.RAM, Free: free, Limit: ram}
	}
	return nil
}

// enoughDisk compares the disks with what is left of so many GB.
func enoughDisk(c Claim, room drivers.DiskRoom, gb, promised uint) error {
	if room.Total == 0 { // not counted
		return nil
	}
	if free := gb - min(gb, promised); c.Disk > free {
		return Shortage{What: ShortDisk, Need: c.Disk, Free: free, Limit: room.Total}
	}
	return nil
}

func withOverbook(limit, overbook uint, allowed bool) uint {
	if limit == 0 || !allowed {
		return limit
	}
	return limit + min(overbook, math.MaxUint-limit)
}

// left is what a limit leaves; ok is false where there is no limit.
func left(limit, used uint) (free uint, ok bool) {
	if limit == 0 {
		return 0, false
	}
	return limit - min(limit, used), true
}

func (b *book) add(k key, c Claim, pending bool) {
	b.remove(k)
	b.claims[k] = c
	u := b.scopes[c.Scope()]
	if u.entries == 0 {
		u.multitenancy, u.cpuOverbook, u.ramOverbook = c.Multitenancy, c.CPUOverbook, c.RAMOverbook
	}
	u.entries++
	u.cpu += c.CPU
	u.ram += c.RAM
	b.scopes[c.Scope()] = u
	if c.Disk > 0 {
		b.disks[c.FileSystem] += c.Disk
	}
	for _, name := range c.Exclusive {
		b.taken[exclusive{c.Scope(), name}]++
	}
	if pending {
		b.unknown[k] = struct{}{}
		b.pending[c.Instance]++
	}
}

// placed says that the driver counts the entry itself from now on.
func (b *book) placed(k key) {
	if _, ok := b.unknown[k]; !ok {
		return
	}
	delete(b.unknown, k)
	instance := b.claims[k].Instance
	if b.pending[instance]--; b.pending[instance] == 0 {
		delete(b.pending, instance)
	}
}

func (b *book) remove(k key) bool {
	c, ok := b.claims[k]
	if !ok {
		return false
	}
	b.placed(k)
	delete(b.claims, k)
	u := b.scopes[c.Scope()]
	u.entries--
	u.cpu -= c.CPU
	u.ram -= c.RAM
	if u.entries == 0 {
		delete(b.scopes, c.Scope())
	} else {
		b.scopes[c.Scope()] = u
	}
	if b.disks[c.FileSystem] -= c.Disk; b.disks[c.FileSystem] == 0 {
		delete(b.disks, c.FileSystem)
	}
	for _, name := range c.Exclusive {
		x := exclusive{c.Scope(), name}
		if b.taken[x]--; b.taken[x] == 0 {
			delete(b.taken, x)
		}
	}
	return true
}
