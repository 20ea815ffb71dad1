package tests

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestQuickstart runs the first thing that a new user runs, as it is.
func TestQuickstart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "../examples/quickstart.sh").CombinedOutput()
	if err != nil {
		t.Fatalf("quickstart.sh: %v\n%s", err, out)
	}
	for _, want := range []string{
		"FROM_APPLICATION=world", "FROM_LABEL=hello", `"status":"ALLOCATED"`, `"status":"DEALLOCATED"`,
		"the process and its folder are gone", "Fish stopped",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("quickstart.sh does not show %q:\n%s", want, out)
		}
	}
}
