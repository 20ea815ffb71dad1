package drivers

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestShares: each thing once, by the configuration alone; a name that others
// could not know keeps the instance away, with the reason.
func TestShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shares := func(cfg Config) ([]Share, error) {
			switch text := string(cfg.Cfg); text {
			case "broken":
				return nil, errors.New("want a name")
			case "":
				return nil, nil
			default:
				return []Share{{Thing: text, Owner: "node-1"}}, nil
			}
		}
		r := newTestRegistry(t, Options{
			Factories: []Factory{{Name: "aws", New: always, Shares: shares}, {Name: "test", New: always}}, Logger: slog.New(slog.DiscardHandler),
			Entries: []Entry{
				{Name: "aws/a", Cfg: []byte("aws/mac")}, {Name: "aws/b", Cfg: []byte("aws/eu/win")}, {Name: "aws/c", Cfg: []byte("aws/mac")}, {Name: "aws/d"},
				{Name: "aws/e", Cfg: []byte("broken")}, {Name: "aws/f", Cfg: []byte("mac=x")}, {Name: "aws/g", Cfg: []byte("test/mac")}, {Name: "test"},
			},
		})
		want := []Share{{Thing: "aws/mac", Owner: "node-1"}, {Thing: "aws/eu/win", Owner: "node-1"}}
		if diff := cmp.Diff(want, r.Shares()); diff != "" {
			t.Errorf("Shares() (-want +got):\n%s", diff)
		}
		if r.SharesKnown() {
			t.Error("SharesKnown() = true with an instance whose config is broken")
		}
		whole := newTestRegistry(t, Options{
			Factories: []Factory{{Name: "aws", New: always, Shares: shares}}, Logger: slog.New(slog.DiscardHandler),
			Entries: []Entry{{Name: "aws", Cfg: []byte("aws/mac")}},
		})
		if !whole.SharesKnown() {
			t.Error("SharesKnown() = false of what is all well")
		}
		r.Start(t.Context())
		for _, name := range []string{"aws/a", "aws/d", "test"} {
			if _, ok := r.Get(name); !ok {
				t.Errorf("%s is not there", name)
			}
		}
		for name, why := range map[string]string{"aws/e": "want a name", "aws/f": `"<driver>/<name>"`, "aws/g": `"<driver>/<name>"`} {
			if _, ok := r.Get(name); ok || !strings.Contains(r.Reason(name), why) {
				t.Errorf("%s is there (%v), or away without reason: %q", name, ok, r.Reason(name))
			}
		}
	})
}

// TestLifetime: it follows from the configuration, also of an instance that is
// not ready, and of none that is not configured.
func TestLifetime(t *testing.T) {
	lifetime := func(cfg Config) (time.Duration, bool) {
		return time.Duration(len(cfg.Cfg)) * time.Hour, len(cfg.Cfg) > 0
	}
	r := newTestRegistry(t, Options{
		Factories: []Factory{{Name: "aws", New: failing(99), Lifetime: lifetime}, {Name: "test", New: always}},
		Entries:   []Entry{{Name: "aws/a", Cfg: []byte("22")}, {Name: "aws/b"}, {Name: "test"}},
	})
	for name, want := range map[string]time.Duration{"aws/a": 2 * time.Hour, "aws/b": 0, "test": 0, "aws/none": 0} {
		if got, ok := r.Lifetime(name); got != want || ok != (want != 0) {
			t.Errorf("Lifetime(%s) = %v, %v, want %v", name, got, ok, want)
		}
	}
}

// answerer is a driver that is asked.
type answerer struct{ Driver }

func (answerer) Answer(context.Context, model.UID, string, json.RawMessage) (json.RawMessage, error) {
	return json.RawMessage(`{}`), nil
}

// TestAnswerer: it is always the first instance that is configured for the thing, ready or not.
func TestAnswerer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRegistry(t, Options{
			Factories: []Factory{{
				Name: "aws", Shares: func(cfg Config) ([]Share, error) { return []Share{{Thing: string(cfg.Cfg)}}, nil },
				New: func(_ context.Context, cfg Config) (Driver, error) {
					switch cfg.Instance {
					case "aws/away":
						return nil, errors.New("has no credentials")
					case "aws/plain":
						return &fakeDriver{name: cfg.Instance}, nil
					}
					return answerer{&fakeDriver{name: cfg.Instance}}, nil
				},
			}},
			Entries: []Entry{
				{Name: "aws/b", Cfg: []byte("aws/mac")}, {Name: "aws/a", Cfg: []byte("aws/mac")}, {Name: "aws/away", Cfg: []byte("aws/win")},
				{Name: "aws/c", Cfg: []byte("aws/win")}, {Name: "aws/plain", Cfg: []byte("aws/x")},
			},
		})
		r.Start(t.Context())
		for thing, want := range map[string][2]string{
			"aws/mac": {"aws/a", ""}, "aws/win": {"aws/away", "driver aws/away has no credentials"}, "aws/x": {"aws/plain", "driver aws/plain answers no questions"},
			"aws/none": {"", "no driver instance is configured for it"},
		} {
			name, a, absent := r.Answerer(thing)
			if name != want[0] || absent != want[1] || (a == nil) != (want[1] != "") {
				t.Errorf("Answerer(%s) = %q, %v, %q, want %q", thing, name, a, absent, want)
			}
		}
	})
}
