package election

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func sized(driver string, cpu, ram uint, filter ...string) model.LabelDefinition {
	d := def(driver, filter...)
	d.Resources.CPU, d.Resources.RAM = cpu, ram
	return d
}

func onDisk(driver string, gb uint) model.LabelDefinition {
	d := def(driver)
	d.Resources.Disks = map[string]model.Disk{"d": {Size: gb}}
	return d
}

func TestExplain(t *testing.T) {
	other := node(99)
	tests := []struct {
		name    string
		def     model.LabelDefinition
		change  func(*Situation)
		want    Obstacle
		never   bool
		lasting string // "" where it is the reason
	}{
		{"fits", def("good"), nil, Obstacle{Cause: CauseFits, Reason: "fits: about to be granted"}, false, ""},
		{"maintenance", def("good"), func(s *Situation) { s.Host.Maintenance = true },
			Obstacle{Cause: CauseMaintenance, Reason: "node is in maintenance"}, false, ""},
		{"never, and in maintenance", def("absent"), func(s *Situation) { s.Host.Maintenance = true },
			Obstacle{Cause: CauseMaintenance, Reason: "node is in maintenance"}, true, "driver absent is not configured"},
		{"driver failed", def("broken"), nil,
			Obstacle{Cause: CauseDriverAbsent, Reason: "driver broken is not ready: no socket"}, false, ""},
		{"driver failed, and another system", def("broken", "OS:mac"), nil,
			Obstacle{Cause: CauseDriverAbsent, Reason: "driver broken is not ready: no socket"}, true, `node filter "OS:mac" matches no identifier of the node`},
		{"driver unknown", def("absent"), nil,
			Obstacle{Cause: CauseDriverUnknown, Reason: "driver absent is not configured"}, true, ""},
		{"filter", def("good", "OS:*", "gpu"), nil,
			Obstacle{Cause: CauseNodeFilter, Reason: `node filter "gpu" matches no identifier of the node`}, true, ""},
		{"image", def("picky"), nil,
			Obstacle{Cause: CauseOptions, Reason: "driver refuses the definition: image is missing"}, true, ""},
		{"too large", sized("good", 1, 9), nil,
			Obstacle{Cause: CauseTooLarge, Reason: "does not fit on an empty node: ram short: needs 9, free 8 of 8"}, true, ""},
		{"cpu in use", sized("good", 3, 1), func(s *Situation) { s.Fits = used(capacity.Claim{Instance: "good", CPU: 2, RAM: 1}) },
			Obstacle{Cause: CauseCPU, Reason: "cpu short: needs 3, free 2 of 4",
				Shortage: capacity.Shortage{What: "cpu", Need: 3, Free: 2, Limit: 4}}, false, ""},
		{"ram in use", sized("good", 1, 8), func(s *Situation) { s.Fits = used(capacity.Claim{Instance: "good", CPU: 2, RAM: 1}) },
			Obstacle{Cause: CauseRAM, Reason: "ram short: needs 8, free 7 of 8",
				Shortage: capacity.Shortage{What: "ram", Need: 8, Free: 7, Limit: 8}}, false, ""},
		{"disk in use", def("good"), func(s *Situation) {
			s.Fits = func(model.UID, Option) error { return capacity.Shortage{What: "exclusive use of disk d", Need: 1} }
		}, Obstacle{Cause: CauseExclusive, Reason: "exclusive use of disk d is another environment's now"}, false, ""},
		{"disk promised", onDisk("diskful", 30), func(s *Situation) { s.Fits = used(capacity.Claim{Instance: "other", Disk: 15, FileSystem: "x"}) },
			Obstacle{Cause: CauseDisk, Reason: "disk short: needs 30 GB, free and not promised 25 of 100 GB",
				Shortage: capacity.Shortage{What: "disk", Need: 30, Free: 25, Limit: 100}}, false, ""},
		{"disk taken by others", onDisk("diskful", 41), nil,
			Obstacle{Cause: CauseDisk, Reason: "disk short: needs 41 GB, free and not promised 40 of 100 GB",
				Shortage: capacity.Shortage{What: "disk", Need: 41, Free: 40, Limit: 100}}, false, ""},
		{"larger than the file system", onDisk("diskful", 101), nil,
			Obstacle{Cause: CauseTooLarge, Reason: "does not fit on an empty node: disk short: needs 101 GB, the file system has 100 GB"}, true, ""},
		{"file system hangs", onDisk("hung", 1), nil,
			Obstacle{Cause: CauseCapacityUnknown, Reason: "driver can take none now: no answer"}, false, ""},
		{"file system hangs, no disks", def("hung"), nil, Obstacle{Cause: CauseFits, Reason: "fits: about to be granted"}, false, ""},
		{"driver full", def("full"), nil,
			Obstacle{Cause: CauseDriverCapacity, Reason: "the driver has no place for one more"}, false, ""},
		{"behind a head", def("good"), func(s *Situation) { s.Heads = map[string]model.UID{"": other} },
			Obstacle{Cause: CauseBehind, Reason: Behind{}.Error(), Head: other}, false, ""},
		{"is the head", def("good"), func(s *Situation) { s.Heads = map[string]model.UID{"": s.Waiting.Application.UID} },
			Obstacle{Cause: CauseFits, Reason: "fits: about to be granted"}, false, ""},
		{"held off", def("good"), func(s *Situation) { s.Waiting.Declined, s.Waiting.NotBefore = 4, t0.Add(time.Second) },
			Obstacle{Cause: CauseHeldOff, Reason: "tried again in 1s, after 4 declined grants"}, false, ""},
		{"held off as nothing could be written", def("good"), func(s *Situation) { s.Waiting.NotBefore, s.Waiting.Rest = t0.Add(time.Second), RestUnwritten },
			Obstacle{Cause: CauseHeldOff, Reason: "tried again in 1s, as its grant could not be written; the log says why"}, false, ""},
		{"disk full", def("good"), func(s *Situation) { s.Unwritable = errors.New("no space") },
			Obstacle{Cause: CauseDatabase, Reason: "the node grants nothing while it can not store anything: no space"}, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := Situation{
				Waiting: *waiting(1, 1), Label: model.Label{Definitions: []model.LabelDefinition{tt.def}}, Host: hosted(), Fits: used(),
			}
			if tt.change != nil {
				tt.change(&s)
			}
			tt.want.Driver = tt.def.Driver
			if tt.never {
				tt.want.Lasting = tt.lasting
				if tt.lasting == "" {
					tt.want.Lasting = tt.want.Reason
				}
			}
			want := Standing{Never: tt.never, Definitions: []Obstacle{tt.want}}
			if diff := cmp.Diff(want, Explain(s, t0)); diff != "" {
				t.Errorf("Explain() (-want +got):\n%s", diff)
			}
		})
	}
}

// used asks a ledger in which the claims are taken, and takes nothing.
func used(claims ...capacity.Claim) func(model.UID, Option) error {
	ledger := capacity.NewLedger()
	for i, c := range claims {
		ledger.Restore(node(byte(i)), 1, c, true)
	}
	return func(_ model.UID, o Option) error { return ledger.Fits(o.Claim, o.Offer) }
}

func TestExplainNeedsADefinition(t *testing.T) {
	if got := Explain(Situation{Host: hosted()}, t0); !got.Never || len(got.Definitions) != 0 {
		t.Errorf("Explain() of a label without definitions = %+v, want never", got)
	}
}

func TestNeverNeedsAllDefinitions(t *testing.T) {
	s := Situation{Waiting: *waiting(1, 1), Host: hosted(), Fits: used(),
		Label: model.Label{Definitions: []model.LabelDefinition{def("absent"), def("broken")}}}
	if got := Explain(s, t0); got.Never {
		t.Errorf("never although the second definition waits for its driver: %+v", got)
	}
	s.Label.Definitions[1] = def("picky")
	if got := Explain(s, t0); !got.Never {
		t.Errorf("not never although both can not run: %+v", got)
	}
}

// TestExplainSaysWhatTheBallotDecides draws a node's load, heads and a label,
// and compares with the vote: yes for the first definition that Explain says
// fits, no where none does, and never only where no load at all would help.
func TestExplainSaysWhatTheBallotDecides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := waiting(1, 1)
		label := model.Label{}
		for range rapid.IntRange(0, 4).Draw(t, "definitions") {
			label.Definitions = append(label.Definitions, sized(
				rapid.SampledFrom([]string{"absent", "broken", "good", "good", "picky", "full"}).Draw(t, "driver"),
				rapid.UintRange(1, 6).Draw(t, "cpu"), rapid.UintRange(1, 10).Draw(t, "ram"),
				rapid.SampledFrom([]string{"OS:linux", "OS:linux", "OS:mac"}).Draw(t, "filter")))
		}
		host := hosted()
		host.Maintenance = rapid.Bool().Draw(t, "maintenance")
		heads := map[string]model.UID{}
		if rapid.Bool().Draw(t, "headed") {
			heads[""] = rapid.SampledFrom([]model.UID{w.Application.UID, node(77)}).Draw(t, "head")
		}
		ledger := capacity.NewLedger()
		ledger.Restore(node(50), 1, capacity.Claim{Instance: "good", CPU: rapid.UintRange(0, 4).Draw(t, "load")}, true)
		st := Explain(Situation{Waiting: *w, Label: label, Host: host, Heads: heads, Fits: func(_ model.UID, o Option) error {
			return ledger.Fits(o.Claim, o.Offer)
		}}, t0)
		says := -1
		for _, o := range st.Definitions {
			if o.Cause == CauseFits {
				says = o.Definition
				break
			}
		}
		if vote := voteAlone(w, label, host, heads, ledger); vote != says {
			t.Fatalf("Explain() says %d of %+v, the vote is %d", says, st, vote)
		}
		host.Maintenance = false
		never := voteAlone(w, label, willing(host), nil, capacity.NewLedger()) < 0
		if never != st.Never {
			t.Fatalf("never = %v of %+v, on an empty and sound node the vote says %v", st.Never, st, never)
		}
	})
}

// voteAlone is the definition that the node votes for, -1 for none.
func voteAlone(w *Waiting, label model.Label, host Host, heads map[string]model.UID, ledger *capacity.Ledger) int {
	sorted := map[model.UID]Candidates{w.Application.LabelUID: Sort(label, host)}
	yeses, _ := Ballot([]Line{{w}}, sorted, heads, func(app model.UID, o Option) error {
		return ledger.Hold(app, o.Claim, o.Offer, t0, t0.Add(time.Minute))
	}, 1)
	if len(yeses) == 0 {
		return -1
	}
	return yeses[0].Definition
}

// willing is the host with all that may pass gone: absent drivers are back and
// the full one has room.
func willing(host Host) Host {
	old := host.Driver
	host.Driver = func(name string) (drivers.Driver, string) {
		if name == "broken" || name == "full" {
			return plain{free: 1}, ""
		}
		return old(name)
	}
	return host
}

// TestExplainOfALiveElection: the heads are those of the last pass, a hold of
// its own is no obstacle, and an application that is not in the queue is
// explained all the same.
func TestExplainOfALiveElection(t *testing.T) {
	e := newShelved(2)
	e.opts.StarvationAfter = 1
	e.opts.Driver = func(string) (drivers.Driver, string) { return plain{free: 1, limits: drivers.Limits{CPU: 1}}, "" }
	e.opts.Ledger.Restore(node(90), 1, capacity.Claim{Instance: "good", CPU: 1}, true)
	first := e.enqueue(1, 0)
	second := e.enqueue(2, 1)
	e.pass(t.Context())
	label, _ := e.opts.Store.Label(node(0))
	if got := e.Explain(first, label).Definitions[0]; got.Cause != CauseCPU {
		t.Errorf("the head is told %+v, want cpu short", got)
	}
	if got := e.Explain(second, label).Definitions[0]; got.Cause != CauseBehind || got.Head != first.UID {
		t.Errorf("the second is told %+v, want behind %v", got, first.UID)
	}
	e.opts.Ledger.Return(node(90), 1)
	now := time.Now()
	if err := e.opts.Ledger.Hold(first.UID, capacity.Claim{Instance: "good", CPU: 1}, capacity.Offer{Limits: drivers.Limits{CPU: 1}, Free: 1}, now, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := e.Explain(first, label).Definitions[0]; got.Cause != CauseFits {
		t.Errorf("who holds the room is told %+v, want fits", got)
	}
	stranger := waiting(9, 0).Application
	if got := e.Explain(stranger, label).Definitions[0]; got.Cause != CauseBehind {
		t.Errorf("who is not in the queue is told %+v", got)
	}
	e.opts.Maintenance = func() bool { return true }
	if got := e.Misfits(label); len(got) != 2 || len(got[0]) != 0 {
		t.Errorf("Misfits() in maintenance = %+v, want none", got)
	}
}

// TestExplainOfWhoMayNotDecide: a node that decides, and may not now, says that
// and nothing else, whether it could run the application or not.
func TestExplainOfWhoMayNotDecide(t *testing.T) {
	s := Situation{
		Waiting: Waiting{Application: model.Application{UID: node(50)}, Role: Role{Decider: node(1), Asleep: forgetful}}, Decides: true,
		Label: model.Label{Definitions: []model.LabelDefinition{{Driver: "none"}}},
		Host: Host{
			Driver: func(string) (drivers.Driver, string) { return nil, "is not configured" }, Configured: func(string) bool { return false },
		},
	}
	st := Explain(s, time.Now())
	if o := st.Definitions[0]; o.Cause != CauseArbiter || o.Reason != forgetful || st.Undecided != forgetful || !st.Never || o.Lasting == "" {
		t.Errorf("Explain() = %+v", st)
	}
	if s.Decides = false; Explain(s, time.Now()).Definitions[0].Cause != CauseDriverUnknown {
		t.Error("a node that does not decide says nothing of itself")
	}
}
