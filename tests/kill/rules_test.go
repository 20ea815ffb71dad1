package kill

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// state is one row that the API may show for application "a".
func state(status string) fish.State {
	return fish.State{UID: "row of " + status, ApplicationUID: "a", Status: status}
}

// TestBrokenPromisesAreNoticed is about the campaign's own eyes: each line is a
// history that no sound node answers.
func TestBrokenPromisesAreNoticed(t *testing.T) {
	plain, failing := &label{name: "plain"}, &label{name: "failing", fails: true}
	for _, tt := range []struct {
		name     string
		app      app
		statuses string // each is seen in turn; the last breaks a promise
		want     string
	}{
		{"allocation lost", app{label: plain}, "NEW ALLOCATED ELECTED", "fell back"},
		{"ended by nobody", app{label: plain}, "ALLOCATED DEALLOCATE", "nobody asked"},
		{"recalled by nobody", app{label: plain}, "NEW RECALLED", "nobody asked"},
		{"failed without reason", app{label: plain}, "ELECTED ERROR", "is in ERROR"},
		{"failed after it lived", app{label: failing}, "ALLOCATED ERROR", "is in ERROR"},
		{"deallocate lost", app{label: plain, asked: true, answered: "RECALLED"}, "ALLOCATED", "lost an acknowledged deallocate"},
		{"end undone", app{label: plain, asked: true}, "DEALLOCATED NEW", "fell back"},
		{"end changed", app{label: failing, asked: true}, "DEALLOCATED ERROR", "another row"},
		{"request changed", app{label: plain, asked: true}, "RECALLED DEALLOCATE", "another row"},
		{"alive, then recalled", app{label: plain, asked: true}, "ALLOCATED RECALLED", "is RECALLED"},
		{"nonsense", app{label: plain}, "BROKEN", "unknown status"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := tt.app
			a.uid = "a"
			statuses := strings.Fields(tt.statuses)
			for _, s := range statuses[:len(statuses)-1] {
				if err := a.observe(state(s)); err != nil {
					t.Fatalf("observe(%s): %v", s, err)
				}
			}
			err := a.observe(state(statuses[len(statuses)-1]))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("observe(%s) = %v, want an error with %q", tt.statuses, err, tt.want)
			}
		})
	}
}

func TestSoundLivesAreNotBlamed(t *testing.T) {
	for _, tt := range []struct {
		app      app
		statuses string
	}{
		{app{label: &label{}}, "NEW ELECTED NEW ELECTED ALLOCATED ALLOCATED"},
		{app{label: &label{}, asked: true}, "NEW ALLOCATED DEALLOCATE DEALLOCATED DEALLOCATED"},
		{app{label: &label{}, asked: true}, "ELECTED RECALLED DEALLOCATED"},
		{app{label: &label{lifetime: 1}}, "ALLOCATED DEALLOCATE DEALLOCATED"},
		{app{label: &label{fails: true}}, "ELECTED ERROR"},
		{app{label: &label{doomed: true, deleting: true}}, "NEW ERROR"},
	} {
		a := tt.app
		a.uid = "a"
		for s := range strings.FieldsSeq(tt.statuses) {
			if err := a.observe(state(s)); err != nil {
				t.Errorf("%s: %v", tt.statuses, err)
			}
		}
	}
}

func TestTasksAndResourcesKeepTheirWord(t *testing.T) {
	snapshot := task{UID: "t", Task: "snapshot", When: "DEALLOCATE", early: true}
	a := app{uid: "a", label: &label{}, lived: true, state: state("DEALLOCATED")}
	one := snapshot
	a.tasks = []*task{&one}
	if err := a.seen(&one, "{}"); err != nil {
		t.Error(err)
	}
	if err := a.seen(&one, `{"snapshots":[]}`); err == nil {
		t.Error("a wrong result is taken")
	}
	if err := a.seen(&one, `{"error":"late"}`); err != nil {
		t.Error(err)
	}
	if err := a.seen(&one, one.snapshot()); err == nil {
		t.Error("a result that changed is taken")
	}
	if err := a.judge(); err == nil {
		t.Error("a release without its task is taken")
	}
	r := fish.Resource{UID: "r", ApplicationUID: "a", Identifier: "test-1"}
	if err := a.hold(r); err != nil {
		t.Error(err)
	}
	r.Identifier = "test-2"
	if err := a.hold(r); err == nil {
		t.Error("a second environment is taken")
	}
}

func TestPlansComeFromTheSeed(t *testing.T) {
	draw := func() (plans []string) {
		d := planner{rng: rand.New(rand.NewPCG(1, 2))}
		for range 2 * len(points()) {
			p := d.draw()
			plans = append(plans, p.String()+p.config()+strings.Join(p.env, " "))
			if calm := p.calm(); strings.Contains(calm.config(), "crash_") || !strings.Contains(calm.config(), "delay_task") || calm.env != nil {
				t.Errorf("calm plan %v %v", calm, calm.env)
			}
		}
		return plans
	}
	first, second := draw(), draw()
	aimed := map[string]bool{}
	for i := range first {
		if first[i] != second[i] {
			t.Errorf("one seed, two plans:\n%s\n%s", first[i], second[i])
		}
		for _, point := range points() {
			aimed[point] = aimed[point] || strings.Contains(first[i], ": "+point)
		}
	}
	for point, ok := range aimed {
		if !ok {
			t.Errorf("%s is never aimed at", point)
		}
	}
}
