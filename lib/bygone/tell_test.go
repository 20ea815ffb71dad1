package bygone

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestTellsWhoDoesNotAnswer: the log names a member that fails for long, not each
// time, and not one that fails once.
func TestTellsWhoDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(app(9, 5))
		var log bytes.Buffer
		k := New(Options{
			Node: node(1), Store: w, Ready: func() bool { return true }, Ask: w.ask, Name: model.UID.String, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Unreachable: func(model.UID) time.Duration { return 0 },
		})
		step := func(name string, rounds int, every time.Duration, want int) {
			t.Helper()
			log.Reset()
			for range rounds {
				k.Cleared(node(9), false)
				k.clear(t.Context())
				time.Sleep(every)
			}
			if got := strings.Count(log.String(), "level=WARN"); got != want {
				t.Errorf("%s: told %d times, want %d: %s", name, got, want, &log)
			}
		}
		step("all answer", 100, look, 0)
		time.Sleep(clearFor)
		w.broken[node(3)] = errors.New("certificate expired")
		step("one fails", 10, look, 0)
		step("it fails for long", 100, look, 1)
		for _, part := range []string{"member=" + node(3).String(), "certificate expired"} {
			if !strings.Contains(log.String(), part) {
				t.Errorf("the log does not say %q: %s", part, &log)
			}
		}
		step("on and on", 720, look, 1)
		clear(w.broken)
		step("it answers", 1, look, 0)
		time.Sleep(clearFor)
		w.broken[node(3)] = errors.New("no")
		step("it fails now and then", 10, time.Hour, 0)
	})
}
