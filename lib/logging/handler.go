package logging

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Options says how log lines look.
type Options struct {
	// Level is the lowest level printed. At debug every line also has microseconds and its place in the source.
	Level slog.Level
	// Timestamp puts date and time before each line.
	Timestamp bool
	// Copy gets every line too; nil: nobody does.
	Copy *Console
}

// ParseLevel reads the name of a verbosity (contract 1).
func ParseLevel(name string) (slog.Level, error) {
	switch name {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("unknown verbosity %q: want debug, info, warn or error", name)
}

// Handler is a [slog.Handler] that prints `2026/11/21 22:08:05 INFO:<TAB>text key=value`, one line per record
// (contract 4). Nothing that is logged can break out of its line or out of its value.
type Handler struct {
	console *Console
	opts    Options
	attrs   []byte // attributes of WithAttrs, rendered
	group   string // prefix of keys, with its dot
}

var _ slog.Handler = (*Handler)(nil)

// NewHandler makes a handler that prints to the console.
func NewHandler(console *Console, opts Options) *Handler {
	h := &Handler{console: console, opts: opts}
	console.setRender(h.render)
	if opts.Copy != nil {
		opts.Copy.setRender(h.render)
	}
	return h
}

// Enabled tells whether records of the level are printed.
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.opts.Level }

// Handle prints one record.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	line := h.render(r)
	h.console.WriteLine(line)
	if h.opts.Copy != nil {
		h.opts.Copy.WriteLine(line)
	}
	return nil
}

// render makes the line of one record.
func (h *Handler) render(r slog.Record) []byte {
	b := make([]byte, 0, 256)
	if h.opts.Timestamp {
		b = h.appendHead(b, r.Time, r.PC)
	}
	b = append(b, r.Level.String()...)
	b = append(b, ":\t"...)
	b = appendEscaped(b, r.Message)
	b = append(b, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		b = appendAttr(b, h.group, a)
		return len(b) < MaxLine
	})
	return cutLine(b)
}

// appendHead prints the time, and at debug its microseconds and `file.go:N:`.
func (h *Handler) appendHead(b []byte, at time.Time, pc uintptr) []byte {
	if h.opts.Level > slog.LevelDebug {
		return at.AppendFormat(b, "2006/01/02 15:04:05 ")
	}
	b = at.AppendFormat(b, "2006/01/02 15:04:05.000000 ")
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	if frame.File == "" {
		frame.File = "???"
	}
	b = append(b, filepath.Base(frame.File)...)
	b = append(b, ':')
	b = strconv.AppendInt(b, int64(frame.Line), 10)
	return append(b, ": "...)
}

// WithAttrs returns a handler that adds the attributes to every record.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = slices.Clip(with.attrs)
	for _, a := range attrs {
		with.attrs = appendAttr(with.attrs, h.group, a)
	}
	return &with
}

// WithGroup returns a handler that puts the name and a dot before every key that follows.
func (h *Handler) WithGroup(name string) slog.Handler {
	with := *h
	if name != "" {
		with.group += name + "."
	}
	return &with
}

// appendAttr prints ` key=value`, a group as one such pair per member.
func appendAttr(b []byte, group string, a slog.Attr) []byte {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, member := range value.Group() {
			b = appendAttr(b, group, member)
		}
		return b
	}
	if a.Equal(slog.Attr{}) {
		return b
	}
	b = append(b, ' ')
	b = appendEscaped(b, strings.Map(keyRune, group+a.Key))
	b = append(b, '=')
	return appendValue(b, valueText(value))
}

// keyRune keeps a key one word.
func keyRune(r rune) rune {
	if r == ' ' || r == '=' || r == '"' {
		return '_'
	}
	return r
}

func valueText(value slog.Value) string {
	if value.Kind() == slog.KindTime {
		return value.Time().Format(time.RFC3339Nano)
	}
	return value.String()
}

// appendValue prints a value, in quotes where its end would be unclear without.
func appendValue(b []byte, s string) []byte {
	if s == "" || strings.ContainsAny(s, " =\"\\") || strings.IndexFunc(s, unprintable) >= 0 {
		b = append(b, '"')
		b = appendEscaped(b, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s))
		return append(b, '"')
	}
	return append(b, s...)
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }

// appendEscaped prints text, and what is not printable (newlines, terminal controls, direction marks, bad UTF-8) as
// Go's escapes, so that nobody can forge a line or rewrite the terminal. Past MaxLine it stops.
func appendEscaped(b []byte, s string) []byte {
	for i := 0; i < len(s) && len(b) <= MaxLine; {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = fmt.Appendf(b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b = append(b, s[i:i+size]...)
		default:
			quoted := strconv.QuoteRune(r)
			b = append(b, quoted[1:len(quoted)-1]...)
		}
		i += size
	}
	return b
}
