package audit

import (
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

// TestNothingBreaksOutOfALine: whatever somebody calls a thing, its event is one
// line without a sign that a terminal obeys, and reads back as it was.
func TestNothingBreaksOutOfALine(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, name string) {
		e := Event{Seq: 1, Time: day, Action: "task.create", User: name, ObjectName: name, Result: ResultOK, Count: 1}
		line := e.line()
		text, ok := strings.CutSuffix(string(line), "\n")
		if !ok || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q makes the line %q", name, line)
		}
		got, ok := parse([]byte(text))
		if !ok || len(name) <= maxText && got != e {
			t.Fatalf("%q reads back as %+v", name, got)
		}
		if len(line) > maxLine {
			t.Fatalf("a line of %d bytes, want at most %d", len(line), maxLine)
		}
	}
	for _, name := range []string{
		"a\nb", "\x1b[2J", "\u009b2J", "\x7f", "\u202egnp.exe", "\u2028", "\U000e0001", "\u00a0", `"},{"seq":9`, "\x00", strings.Repeat("\U000e0001", 200),
	} {
		check(t, name)
	}
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.String().Draw(t, "name")) })
}
