package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// readEvidence returns the lines of the file.
func readEvidence(t *testing.T, path string) []evidenceLine {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []evidenceLine
	for line := range bytes.Lines(text) {
		var l evidenceLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("line %s: %v", line, err)
		}
		lines = append(lines, l)
	}
	return lines
}

// TestEvidence: nodes that share a file, calls that are repeated, and one that
// is released before it was made.
func TestEvidence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "evidence")
	cfg := fmt.Sprintf("evidence_file: %q\n", path)
	other := uuid.MustParse("99999999-2222-4333-8444-555555555555")
	a, b := open(t, t.TempDir(), "test", node, cfg), open(t, t.TempDir(), "test/dev", other, cfg)
	first, second := request(`{}`), request(`{}`)
	one, two := mustAllocate(t, a, first), mustAllocate(t, b, second)
	mustAllocate(t, a, first) // exists already: nothing starts
	mustDeallocate(t, a, ref(first))
	mustDeallocate(t, a, ref(first)) // gone already
	mustDeallocate(t, b, ref(second))
	want := []evidenceLine{
		{0, evidenceStarted, node, "test", first.ApplicationUID, first.Token, one.Identifier},
		{0, evidenceStarted, other, "test/dev", second.ApplicationUID, second.Token, two.Identifier},
		{0, evidenceStopped, node, "test", first.ApplicationUID, first.Token, one.Identifier},
		{0, evidenceStopped, other, "test/dev", second.ApplicationUID, second.Token, two.Identifier},
	}
	got := readEvidence(t, path)
	for i := range got {
		if got[i].Monotonic <= 0 || i > 0 && got[i].Monotonic < got[i-1].Monotonic {
			t.Errorf("line %d is of %v, the one before of %v", i, got[i].Monotonic, got[max(0, i-1)].Monotonic)
		}
		got[i].Monotonic = 0
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
}

// TestWithoutEvidenceNothingStarts: neither does anything count as gone.
func TestWithoutEvidenceNothingStarts(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "folder", "evidence")
	d := open(t, dir, "test", node, fmt.Sprintf("evidence_file: %q\n", path))
	req := request(`{}`)
	if _, err := d.Allocate(t.Context(), req); err == nil {
		t.Fatal("an environment starts without evidence")
	}
	if got, err := d.Inspect(t.Context(), ref(req)); err != nil || got.Presence != drivers.Partial {
		t.Errorf("Inspect() = %+v, %v, want the claim alone", got, err)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	mustAllocate(t, d, req)
	if err := os.Rename(filepath.Dir(path), filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	if err := d.Deallocate(t.Context(), ref(req)); err == nil {
		t.Error("an environment counts as gone without evidence")
	}
	if err := os.Rename(filepath.Join(dir, "away"), filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	mustDeallocate(t, d, ref(req))
	if got := readEvidence(t, path); len(got) != 2 || got[1].Event != evidenceStopped {
		t.Errorf("evidence = %+v, want a start and a stop", got)
	}
}
