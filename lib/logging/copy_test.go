package logging

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
)

func TestHandlerCopies(t *testing.T) {
	var first, second bytes.Buffer
	console, file := NewConsole(&first), NewConsole(&second)
	log := slog.New(NewHandler(console, Options{Copy: file})).With("component", "x")
	log.Info("both")
	file.WriteLater([]byte("{}\n"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	console.Run(ctx)
	file.Run(ctx)
	if got, want := first.String(), "INFO:\tboth component=x\n"; got != want {
		t.Errorf("console = %q, want %q", got, want)
	}
	if got, want := second.String(), "INFO:\tboth component=x\n{}\n"; got != want {
		t.Errorf("file = %q, want %q", got, want)
	}
}
