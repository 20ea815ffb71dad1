package model

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestUIDsCarryTheirMakerAndSortByTime(t *testing.T) {
	node := UID{1, 2, 3, 4, 5, 6, 7}
	src := NewUIDSource(node)
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var last UID
	for i := range 1000 {
		// The wall clock falls back half-way: order must not.
		now := start.Add(time.Duration(i) * time.Millisecond)
		if i > 500 {
			now = now.Add(-time.Hour)
		}
		u := src.New(now)
		if !SamePrefix(u, node) || u.Version() != 4 || u.Variant().String() != "RFC4122" {
			t.Fatalf("UID %s: prefix, version or variant is wrong", u)
		}
		if string(u[:12]) < string(last[:12]) {
			t.Fatalf("UID %s sorts before %s", u, last)
		}
		last = u
	}
}

func TestDerivedUIDs(t *testing.T) {
	src := NewUIDSource(UID{9})
	app, node := src.New(time.Now()), UID{7, 7, 7, 7, 7, 7, 7}
	first, again, next := GrantUID(app, 1, node), GrantUID(app, 1, node), GrantUID(app, 2, node)
	if first != again || first == next {
		t.Error("a grant's UID must follow from application and epoch alone")
	}
	if !SamePrefix(GrantUID(app, 1, node), node) || !SamePrefix(VoteUID(app, node, 7, 1), node) {
		t.Error("a derived UID must carry its maker's prefix")
	}
	if VoteUID(app, node, 7, 1) == VoteUID(app, node, 7, 2) || VoteUID(app, node, 7, 1) == VoteUID(app, node, 8, 1) {
		t.Error("votes of two rounds share a UID")
	}
}

func TestClockNeverFalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := NewClock(HLC(rapid.Int64Range(0, 1<<40).Draw(t, "last")))
		last := c.Last()
		for range 20 {
			c.Observe(HLC(rapid.Int64Range(0, 1<<40).Draw(t, "seen")))
			got := c.Next(time.Unix(0, rapid.Int64Range(0, 1<<41).Draw(t, "wall")))
			if got <= last {
				t.Fatalf("clock fell from %d to %d", last, got)
			}
			last = got
		}
	})
}

func TestMergeMetadata(t *testing.T) {
	tests := []struct {
		name, app, label, want string
		fails                  string
	}{
		{"label wins at the top level", `{"A":1,"B":{"x":1}}`, `{"B":{"y":2},"C":3}`, `{"A":1,"B":{"y":2},"C":3}`, ""},
		{"numbers keep their text", `{"n":12345678901234567890,"f":1.50}`, `{}`, `{"n":12345678901234567890,"f":1.50}`, ""},
		{"nothing is an empty object", ``, ``, `{}`, ""},
		{"order is the application's", `{"z":1,"a":2}`, `{"a":3}`, `{"z":1,"a":3}`, ""},
		{"a repeated key keeps its last value", `{"a":1,"a":2}`, `{}`, `{"a":2}`, ""},
		{"an array is refused", `[1]`, `{}`, ``, "application metadata: is not a JSON object"},
		{"null is refused", `{}`, `null`, ``, "label metadata: is not a JSON object"},
		{"half an object is refused", `{"a":`, `{}`, ``, "application metadata: is not JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := MergeMetadata(json.RawMessage(tt.app), json.RawMessage(tt.label))
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("MergeMetadata() error = %v, want %q", err, tt.fails)
				}
				return
			}
			if err != nil || string(got) != tt.want {
				t.Errorf("MergeMetadata() = %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestParseLifetime(t *testing.T) {
	const fallback = time.Hour
	tests := []struct {
		in      string
		want    time.Duration
		wantErr bool
	}{
		{"", fallback, false},
		{"0", fallback, false},
		{"0s", fallback, false},
		{"90m", 90 * time.Minute, false},
		{"-1s", 0, false},
		{"soon", 0, true},
	}
	for _, tt := range tests {
		got, err := ParseLifetime(tt.in, fallback)
		if got != tt.want || (err != nil) != tt.wantErr {
			t.Errorf("ParseLifetime(%q) = %v, %v, want %v, error %v", tt.in, got, err, tt.want, tt.wantErr)
		}
	}
}

func TestUnmatchedPattern(t *testing.T) {
	ids := []string{"OS:linux", "HostName:mac-1", "Path:a/b"}
	tests := []struct {
		name   string
		filter []string
		want   string // "" = all match
	}{
		{"empty matches any node", nil, ""},
		{"every pattern must match", []string{"OS:*", "HostName:win-*"}, "HostName:win-*"},
		{"any identifier will do", []string{"HostName:mac-[0-9]", "OS:linu?"}, ""},
		{"star stops at a slash", []string{"Path:*"}, "Path:*"},
		{"case counts", []string{"os:linux"}, "os:linux"},
		{"malformed never matches", []string{"OS:["}, "OS:["},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, unmatched := UnmatchedPattern(tt.filter, ids)
			if got != tt.want || unmatched != (tt.want != "") {
				t.Errorf("UnmatchedPattern(%q) = %q, %v, want %q", tt.filter, got, unmatched, tt.want)
			}
		})
	}
}

func TestLabelValidateOrder(t *testing.T) {
	def := LabelDefinition{Driver: "test", Resources: Resources{CPU: 1, RAM: 1}}
	with := func(f func(*LabelDefinition)) Label {
		d := def
		f(&d)
		return Label{Name: "x", Definitions: []LabelDefinition{d}}
	}
	tests := []struct {
		name  string
		label Label
		want  string
	}{
		{"good", Label{Name: "x", Definitions: []LabelDefinition{def}}, ""},
		{"no definitions", Label{Name: "x"}, ""},
		{"name first", Label{Definitions: []LabelDefinition{{}}}, "name"},
		{"driver", with(func(d *LabelDefinition) { d.Driver = "" }), "driver"},
		{"cpu", with(func(d *LabelDefinition) { d.Resources.CPU, d.Resources.RAM = 0, 0 }), "cpu"},
		{"ram", with(func(d *LabelDefinition) { d.Resources.RAM = 0 }), "ram"},
		{"lifetime", with(func(d *LabelDefinition) { d.Resources.Lifetime = "x" }), "lifetime"},
		{"pattern", with(func(d *LabelDefinition) { d.Resources.NodeFilter = []string{"["} }), "node_filter"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.label.Validate()
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Validate() = %v, want %q", err, tt.want)
			}
		})
	}
}
