//go:build unix

package vmx

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// example is one of the example files, as JSON.
func example(t *testing.T, name string) json.RawMessage {
	t.Helper()
	text, err := os.ReadFile("../../examples/vmx/" + name)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := yamlconf.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := doc.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return asJSON
}

// TestExampleLabel is one that this driver takes.
func TestExampleLabel(t *testing.T) {
	t.Parallel()
	var label struct{ Definitions []model.LabelDefinition }
	err := json.Unmarshal(example(t, "label.yml"), &label)
	if err != nil || len(label.Definitions) != 1 {
		t.Fatalf("the example has %d definitions, %v", len(label.Definitions), err)
	}
	d := newSite(t, "").start(t)
	if err := d.Validate(label.Definitions[0]); err != nil {
		t.Error(err)
	}
	if got := d.Exclusive(label.Definitions[0]); len(got) != 1 {
		t.Errorf("Exclusive() = %v, want its reused disk", got)
	}
}

// TestExampleApplication: what it tells, all of it arrives.
func TestExampleApplication(t *testing.T) {
	t.Parallel()
	flat, err := metadata.Environment(example(t, "application.yml"), nil)
	if err != nil || len(flat.Pairs) != 2 || len(flat.Dropped) != 0 {
		t.Errorf("the environment gets %v, %v", flat, err)
	}
}
