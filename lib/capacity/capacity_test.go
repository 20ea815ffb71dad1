package capacity

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestFits(t *testing.T) {
	multi := Claim{Instance: "a", CPU: 2, RAM: 2, Multitenancy: true, CPUOverbook: true, RAMOverbook: true}
	plain := Claim{Instance: "a", CPU: 2, RAM: 2}
	tests := []struct {
		name   string
		taken  []Claim
		claim  Claim
		limits drivers.Limits
		free   int
		want   string // what is short; "" = fits
	}{
		{"no limits", nil, plain, drivers.Limits{}, 1, ""},
		{"one dimension without limit", nil, plain, drivers.Limits{CPU: 2}, 1, ""},
		{"above the limit", nil, plain, drivers.Limits{CPU: 1}, 1, "cpu"},
		{"ram short", []Claim{plain}, plain, drivers.Limits{CPU: 4, RAM: 3}, 1, "ram"},
		{"shared without multitenancy", []Claim{plain}, plain, drivers.Limits{CPU: 4, RAM: 4}, 9, ""},
		{"usage above the limit leaves nothing", []Claim{{Instance: "b", CPU: 9, RAM: 9}}, plain, drivers.Limits{CPU: 4}, 1, "cpu"},
		{"all local instances together", []Claim{{Instance: "b", CPU: 3, RAM: 1}}, plain, drivers.Limits{CPU: 4}, 1, "cpu"},
		{"a remote one counts for itself", []Claim{{Instance: "b", Remote: true, CPU: 3}}, plain, drivers.Limits{CPU: 4}, 1, ""},
		{"overbook when all allow it", []Claim{multi}, multi, drivers.Limits{CPU: 3, RAM: 3, CPUOverbook: 1, RAMOverbook: 1}, 9, ""},
		{"overbook on the empty node", nil, multi, drivers.Limits{CPU: 1, RAM: 2, CPUOverbook: 1}, 1, ""},
		{"no overbook when the first denies it", []Claim{plain}, multi, drivers.Limits{CPU: 3, CPUOverbook: 9}, 1, "cpu"},
		{"no overbook when the new one denies it", []Claim{multi}, plain, drivers.Limits{CPU: 3, CPUOverbook: 9}, 1, "cpu"},
		{"driver is full", nil, plain, drivers.Limits{}, 0, "capacity of the driver"},
		{"what the driver does not count yet", []Claim{plain}, plain, drivers.Limits{}, 1, "capacity of the driver"},
		{"exclusive name", []Claim{{Instance: "a", Exclusive: []string{"d"}}}, Claim{Instance: "a", Exclusive: []string{"d"}}, drivers.Limits{}, 9, "exclusive use of d"},
		{"exclusive name that another instance shares", []Claim{{Instance: "b", Exclusive: []string{"d"}}}, Claim{Instance: "a", Exclusive: []string{"d"}}, drivers.Limits{}, 9, "exclusive use of d"},
		{"exclusive name of a remote one", []Claim{{Instance: "b", Remote: true, Exclusive: []string{"d"}}}, Claim{Instance: "a", Exclusive: []string{"d"}}, drivers.Limits{}, 9, ""},
		{"overbook beyond all numbers", []Claim{multi}, multi, drivers.Limits{CPU: 3, CPUOverbook: math.MaxUint}, 9, ""},
		{"nonsense that is in use", []Claim{{Instance: "b", CPU: mostClaimed}, {Instance: "b", CPU: mostClaimed}}, plain, drivers.Limits{CPU: 4}, 9, "cpu"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBook()
			for i, c := range tt.taken {
				b.add(key{model.UID{byte(i)}, 1}, c, true)
			}
			err := b.fits(tt.claim, Offer{Limits: tt.limits, Free: tt.free})
			var short Shortage
			if errors.As(err, &short) != (tt.want != "") || short.What != tt.want {
				t.Errorf("fits() = %v, want %q short", err, tt.want)
			}
		})
	}
}

func TestHolds(t *testing.T) {
	l := NewLedger()
	now := time.Unix(1000, 0)
	limits := drivers.Limits{CPU: 2}
	a, b := model.UID{1}, model.UID{2}
	c := Claim{Instance: "x", CPU: 2}

	if err := l.Hold(a, c, Offer{Limits: limits, Free: 9}, now, now.Add(5*time.Second)); err != nil {
		t.Fatalf("Hold(a) = %v", err)
	}
	if err := l.Hold(b, c, Offer{Limits: limits, Free: 9}, now, now.Add(5*time.Second)); err == nil {
		t.Fatal("Hold(b) fits beside a's hold")
	}
	if l.Reserve(b, 1, now) {
		t.Error("Reserve(b) = true without a hold")
	}
	later := now.Add(6 * time.Second)
	if l.Reserve(a, 1, later) {
		t.Error("Reserve(a) = true after its hold ran out")
	}
	if err := l.Hold(b, c, Offer{Limits: limits, Free: 9}, later, later.Add(time.Second)); err != nil {
		t.Errorf("Hold(b) = %v after a's ran out", err)
	}
	if !l.Reserve(b, 3, later) {
		t.Error("Reserve(b) = false with a hold")
	}
	<-l.Freed() // of a's hold
	l.Return(b, 2)
	select {
	case <-l.Freed():
		t.Error("returning an epoch that was never reserved freed something")
	default:
	}
	l.Return(b, 3)
	<-l.Freed()
	if err := l.Fits(c, Offer{Limits: limits, Free: 1}); err != nil {
		t.Errorf("Fits() = %v on the empty ledger", err)
	}
}

// TestExclusiveNameOfTwo: what was restored may hold a name twice, which is free
// only after both are gone.
func TestExclusiveNameOfTwo(t *testing.T) {
	l := NewLedger()
	c := Claim{Instance: "a", Exclusive: []string{"disk"}}
	l.Restore(model.UID{1}, 1, c, true)
	l.Restore(model.UID{2}, 1, c, true)
	for i, want := range []bool{false, false, true} {
		if err := l.Fits(c, Offer{Free: 9}); (err == nil) != want {
			t.Errorf("after %d are gone Fits() = %v", i, err)
		}
		l.Return(model.UID{byte(i + 1)}, 1)
	}
}

// shelved is an instance with reused disks in a workspace.
type shelved struct {
	drivers.Driver
	shelf volume.Shelf
}

func (shelved) Limits() drivers.Limits { return drivers.Limits{} }

func (s shelved) Exclusive(def model.LabelDefinition) []string {
	return s.shelf.Exclusive(def.Resources.Disks)
}

// TestReusedDiskOfTwoInstances: who shares a workspace shares its disks.
func TestReusedDiskOfTwoInstances(t *testing.T) {
	l := NewLedger()
	here, elsewhere := t.TempDir(), t.TempDir()
	claim := func(instance, workspace string) Claim {
		def := model.LabelDefinition{Driver: instance, Resources: model.Resources{
			CPU: 1, RAM: 1, Disks: map[string]model.Disk{"cache": {Type: "dir", Reuse: true}},
		}}
		return ClaimOf(def, shelved{shelf: volume.ShelfIn(workspace)})
	}
	l.Restore(model.UID{1}, 1, claim("docker", here), true)
	for _, tt := range []struct {
		instance, workspace string
		fits                bool
	}{{"docker", here, false}, {"docker/second", here, false}, {"native", here, false}, {"docker/second", elsewhere, true}} {
		if err := l.Fits(claim(tt.instance, tt.workspace), Offer{Free: 9}); (err == nil) != tt.fits {
			t.Errorf("the disk of %s in %s: Fits() = %v, want that it fits: %v", tt.instance, tt.workspace, err, tt.fits)
		}
	}
}

// TestClaimOfNonsense: no number of a label can overflow a sum.
func TestClaimOfNonsense(t *testing.T) {
	c := ClaimOf(model.LabelDefinition{Resources: model.Resources{CPU: math.MaxUint, RAM: math.MaxUint}}, nil)
	if c.CPU != mostClaimed || c.RAM != mostClaimed {
		t.Errorf("ClaimOf() = %+v, want bounded numbers", c)
	}
}

func TestInUse(t *testing.T) {
	l := NewLedger()
	now := time.Unix(1000, 0)
	l.Restore(model.UID{1}, 1, Claim{Instance: "a", CPU: 2, RAM: 3}, true)
	l.Restore(model.UID{2}, 1, Claim{Instance: "b", CPU: 9}, true)
	if err := l.Hold(model.UID{3}, Claim{Instance: "a", CPU: 1, RAM: 1}, Offer{Free: 1}, now, now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got, want := l.InUse("a"), (Usage{Environments: 2, CPU: 3, RAM: 4}); got != want {
		t.Errorf("InUse(a) = %+v, want %+v", got, want)
	}
	if got := l.InUse("c"); got != (Usage{}) {
		t.Errorf("InUse() of what gave out nothing = %+v", got)
	}
}

func TestShortageText(t *testing.T) {
	for _, tt := range []struct {
		short Shortage
		want  string
	}{
		{Shortage{What: ShortCPU, Need: 5, Free: 1, Limit: 4}, "cpu short: needs 5, free 1 of 4"},
		{Shortage{What: ShortDisk, Need: 5, Free: 1, Limit: 40}, "disk short: needs 5 GB, free and not promised 1 of 40 GB"},
		{Shortage{What: ShortDisk, Need: 50, Free: 40, Limit: 40}, "disk short: needs 50 GB, the file system has 40 GB"},
		{Shortage{What: ShortDriver, Need: 1}, "capacity of the driver short: needs 1, free 0"},
	} {
		if got := tt.short.Error(); got != tt.want {
			t.Errorf("Error() = %q, want %q", got, tt.want)
		}
	}
}

// TestDisks: what is promised on a file system counts for every instance
// that has its disks there, until it is returned.
func TestDisks(t *testing.T) {
	l := NewLedger()
	claim := func(instance string, gb uint, on string) Claim {
		return Claim{Instance: instance, Disk: gb, FileSystem: on}
	}
	offer := Offer{Free: 9, Disk: drivers.DiskRoom{Total: 100, Free: 60}}
	l.Restore(model.UID{1}, 1, claim("a", 20, "x"), true)
	l.Restore(model.UID{2}, 1, claim("b", 15, "x"), false)
	l.Restore(model.UID{3}, 1, claim("a", 99, "y"), true)
	for _, tt := range []struct {
		name  string
		claim Claim
		offer Offer
		want  error
	}{
		{"what is left", claim("a", 25, "x"), offer, nil},
		{"too much", claim("a", 26, "x"), offer, Shortage{What: ShortDisk, Need: 26, Free: 25, Limit: 100}},
		{"no disks, and others took what was promised", claim("a", 0, "x"), Offer{Free: 9, Disk: drivers.DiskRoom{Total: 100, Free: 3}}, nil},
		{"others took what was promised", claim("a", 1, "x"), Offer{Free: 9, Disk: drivers.DiskRoom{Total: 100, Free: 3}},
			Shortage{What: ShortDisk, Need: 1, Free: 0, Limit: 100}},
		{"not counted", claim("a", 1000, "x"), Offer{Free: 9}, nil},
	} {
		if err := l.Fits(tt.claim, tt.offer); err != tt.want { //nolint:errorlint // values that are compared as a whole
			t.Errorf("%s: Fits() = %v, want %v", tt.name, err, tt.want)
		}
	}
	if got := l.InUse("a").Disk; got != 119 {
		t.Errorf("InUse(a) = %d GB, want 119", got)
	}
	l.Return(model.UID{2}, 1)
	if err := l.Fits(claim("a", 40, "x"), offer); err != nil {
		t.Errorf("Fits() = %v after something was returned", err)
	}
	if err := EverFits(claim("a", 100, "x"), offer); err != nil {
		t.Errorf("EverFits() of the whole file system = %v", err)
	}
	if err := EverFits(claim("a", 101, "x"), offer); err == nil {
		t.Error("EverFits() of more than the file system = nil")
	}
	for gb, want := range map[uint]bool{60: false, 61: true} {
		if got := Crowded(claim("a", gb, "x"), offer); got != want {
			t.Errorf("Crowded(%d GB of 60) = %v", gb, got)
		}
	}
	if !Crowded(claim("a", 0, "x"), Offer{}) {
		t.Error("Crowded() where the driver has no place = false")
	}
}

func TestLoad(t *testing.T) {
	l := NewLedger()
	l.Restore(model.UID{1}, 1, Claim{Instance: "a", CPU: 2, RAM: 1}, true)
	l.Restore(model.UID{2}, 1, Claim{Instance: "b", CPU: 1, RAM: 1}, false)
	l.Restore(model.UID{3}, 1, Claim{Instance: "cloud", Remote: true, CPU: 90}, true)
	for _, tt := range []struct {
		cpu, ram uint
		want     uint8
	}{{4, 8, 75}, {4, 2, 100}, {0, 0, 0}, {0, 8, 25}, {2, 8, 100}} {
		if got := l.Load(tt.cpu, tt.ram); got != tt.want {
			t.Errorf("Load(%d, %d) = %d, want %d", tt.cpu, tt.ram, got, tt.want)
		}
	}
}
