//go:build unix

package vmx

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestConformance is of machines with all kinds of disks, beside another node;
// in a short run, of those without disks, beside another instance.
func TestConformance(t *testing.T) {
	t.Parallel()
	s := anySite(t, "")
	h := s.harness()
	if !testing.Short() {
		h.Neighbour = func(t testing.TB) drivers.Driver { return s.open(t, "vmx", uuid.New()) }
		h.Definition.Resources.Disks = map[string]model.Disk{
			"new": {Type: "fat32", Size: 1}, "plain": {Type: "raw", Size: 1}, "copy": {Size: 1, Clone: "data.vmdk"},
		}
		h.Definition.Resources.Network = "nat"
	}
	drivertest.Run(t, h)
}

func (s site) harness() drivertest.Harness {
	options := func(text string) json.RawMessage { return json.RawMessage(text) }
	return drivertest.Harness{
		New:        func(t testing.TB) drivers.Driver { return s.open(t, "vmx", node) },
		Neighbour:  func(t testing.TB) drivers.Driver { return s.open(t, "vmx/other", node) },
		Definition: definition(),
		Malformed: map[string]json.RawMessage{
			"no images":            options(`{}`),
			"an empty list":        options(`{"images":[]}`),
			"a word as images":     options(`{"images":"base"}`),
			"an image without url": options(`{"images":[{"name":"a","version":"1"}]}`),
			"a file of the node":   options(`{"images":[{"url":"file:///etc/a-1.tar.gz"}]}`),
		},
		Task: taskSnapshot, TaskOptions: options(`{"full":true}`),
		Count:     func(t testing.TB) int { return len(s.leftovers(t)) },
		Interrupt: s.interrupts(),
		End:       func(_ testing.TB, env drivers.Environment) { s.host.PowerOffFromInside(env.Identifier) },
		Timeout:   time.Minute,
	}
}

// interrupts are one moment before and after each step of an allocation.
func (s site) interrupts() map[string]func(testing.TB, drivers.Request) {
	moments := map[string]func(testing.TB, drivers.Request){
		"before anything": func(testing.TB, drivers.Request) {},
		"in the claim": func(t testing.TB, _ drivers.Request) {
			if _, err := os.MkdirTemp(s.workspace(), s.start(t).workspace.Prefix()); err != nil {
				t.Fatal(err)
			}
		},
		"after the claim": func(t testing.TB, req drivers.Request) { s.allocatePart(t, req, "") },
		"before it was noted that it runs": func(t testing.TB, req drivers.Request) {
			folder := s.allocatePart(t, req, "start virtual machine")
			if err := os.Remove(filepath.Join(folder, startedFile)); err != nil {
				t.Fatal(err)
			}
		},
	}
	for _, step := range (build{}).steps() {
		moments["after "+step.Name] = func(t testing.TB, req drivers.Request) { s.allocatePart(t, req, step.Name) }
	}
	return moments
}

// allocatePart does an allocation up to a step.
func (s site) allocatePart(t testing.TB, req drivers.Request, last string) (folder string) {
	t.Helper()
	d := s.start(t)
	ctx := within(t, time.Minute)
	c, err := d.workspace.Claim(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	o, err := d.options(req.Definition)
	if err != nil {
		t.Fatal(err)
	}
	laid, _, err := d.UseImages(ctx, o.images, d.holder(c))
	if err != nil {
		t.Fatal(err)
	}
	b := build{driver: d, claim: c, req: req, options: o, laid: laid}
	steps := b.steps()
	until := slices.IndexFunc(steps, func(s claims.Step) bool { return s.Name == last })
	for _, step := range steps[:until+1] {
		if err := step.Do(ctx); err != nil {
			t.Fatalf("%s: %v", step.Name, err)
		}
	}
	return b.folder()
}
