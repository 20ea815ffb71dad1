package drivers

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// TestGuard: a panic is an error and one line of the log, with where it was.
func TestGuard(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	refused := errors.New("refused")
	if err := Guard(logger, func() error { return refused }); !errors.Is(err, refused) || log.Len() > 0 {
		t.Errorf("Guard() = %v, logged %q, want what the driver returned and no line", err, &log)
	}
	var none map[string]int
	err := Guard(logger, func() error { none["a"] = 1; return nil })
	if err == nil || !strings.HasPrefix(err.Error(), "panic in the driver: assignment to entry in nil map") {
		t.Errorf("Guard() = %v, want the panic", err)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "guard_test.go") {
		t.Errorf("logged %q, want one line with the place", got)
	}
}
