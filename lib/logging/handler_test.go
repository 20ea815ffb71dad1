package logging

import (
	"errors"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// logged returns what one use of a logger prints.
func logged(opts Options, use func(*slog.Logger)) string {
	out := &output{}
	c := NewConsole(out)
	use(slog.New(NewHandler(c, opts)))
	c.flush(nil)
	return out.all()
}

func TestLineFormat(t *testing.T) {
	tests := []struct {
		name string
		use  func(*slog.Logger)
		want string
	}{
		{"exact line for supervisors", func(l *slog.Logger) { l.Info("Fish initialized") }, "INFO:\tFish initialized\n"},
		{"levels", func(l *slog.Logger) { l.Warn("w"); l.Error("e"); l.Debug("not shown") }, "WARN:\tw\nERROR:\te\n"},
		{"attributes", func(l *slog.Logger) { l.Info("m", "a", 1, "b", "x", "c", true) }, "INFO:\tm a=1 b=x c=true\n"},
		{"values", func(l *slog.Logger) {
			l.Info("m", "d", time.Second, "t", time.Date(2026, 11, 21, 22, 8, 5, 0, time.UTC), "e", errors.New("no way"), "n", nil)
		}, "INFO:\tm d=1s t=2026-11-21T22:08:05Z e=\"no way\" n=<nil>\n"},
		{"quoted", func(l *slog.Logger) { l.Info("m", "a", "", "b", "x y", "c", `q"`, "d", "k=v", "e", `a\b`) },
			"INFO:\tm a=\"\" b=\"x y\" c=\"q\\\"\" d=\"k=v\" e=\"a\\\\b\"\n"},
		{"with", func(l *slog.Logger) { l.With("component", "api").Info("m", "a", 1) }, "INFO:\tm component=api a=1\n"},
		{"group", func(l *slog.Logger) { l.WithGroup("g").With("a", 1).Info("m", slog.Group("h", "b", 2)) }, "INFO:\tm g.a=1 g.h.b=2\n"},
		{"siblings do not share", func(l *slog.Logger) {
			base := l.With("a", 1)
			one, two := base.With("b", 2), base.With("c", 3)
			one.Info("m")
			two.Info("m")
		}, "INFO:\tm a=1 b=2\nINFO:\tm a=1 c=3\n"},
		{"no forged line", func(l *slog.Logger) { l.Info("m\nINFO:\tFish initialized", "a", "x\r\n\x1b[2J\u202e\xff", "b c=\n", 1) },
			"INFO:\tm\\nINFO:\\tFish initialized a=\"x\\r\\n\\x1b[2J\\u202e\\xff\" b_c_\\n=1\n"},
		{"letters of the world", func(l *slog.Logger) { l.Info("fische äöü 魚", "a", "魚") }, "INFO:\tfische äöü 魚 a=魚\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := logged(Options{Level: slog.LevelInfo}, tt.use); got != tt.want {
				t.Errorf("printed\n%q, want\n%q", got, tt.want)
			}
		})
	}
}

func TestTimestamps(t *testing.T) {
	hello := func(l *slog.Logger) { l.Info("hello") }
	tests := []struct {
		name string
		opts Options
		want string
	}{
		{"info", Options{Level: slog.LevelInfo, Timestamp: true}, `^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d INFO:\thello\n$`},
		{"debug", Options{Level: slog.LevelDebug, Timestamp: true},
			`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} handler_test\.go:\d+: INFO:\thello\n$`},
		{"debug without", Options{Level: slog.LevelDebug}, `^INFO:\thello\n$`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := logged(tt.opts, hello); !regexp.MustCompile(tt.want).MatchString(got) {
				t.Errorf("printed %q, want %s", got, tt.want)
			}
		})
	}
}

func TestParseLevel(t *testing.T) {
	for name, want := range map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	} {
		if got, err := ParseLevel(name); err != nil || got != want {
			t.Errorf("ParseLevel(%q) = %v, %v, want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"", "INFO", "trace"} {
		if got, err := ParseLevel(name); err == nil {
			t.Errorf("ParseLevel(%q) = %v, want an error", name, got)
		}
	}
}

// Whatever is logged: one line, printable, short enough for a line reader.
func TestAnythingIsOneShortLine(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.Map(rapid.IntRange(0, 3*MaxLine), func(n int) string { return strings.Repeat("魚\n", n/4) }))
	rapid.Check(t, func(t *rapid.T) {
		got := logged(Options{Level: slog.LevelInfo}, func(l *slog.Logger) {
			l.With(text.Draw(t, "key"), text.Draw(t, "value")).Info(text.Draw(t, "message"), text.Draw(t, "key"), text.Draw(t, "value"))
		})
		line, ok := strings.CutSuffix(got, "\n")
		rest, isInfo := strings.CutPrefix(line, "INFO:\t")
		if !ok || !isInfo || strings.ContainsAny(rest, "\n\r\t\x00\x1b") || !utf8.ValidString(got) || len(got) > MaxLine {
			t.Fatalf("printed %d bytes: %q", len(got), got[:min(len(got), 200)])
		}
	})
}

func BenchmarkHandler(b *testing.B) {
	c := NewConsole(io.Discard)
	log := slog.New(NewHandler(c, Options{Timestamp: true})).With("component", "bench")
	b.ReportAllocs()
	for b.Loop() {
		log.Info("allocated", "application", "0b0d6c4e-7a5c-4a52-8a37-0e0c2c0f6f0e", "took", time.Second)
		c.flush(nil)
	}
}
