package test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// node is an arbitrary one.
var node = uuid.MustParse("11111111-2222-4333-8444-555555555555")

// open makes an instance with its workspace in dir and more lines of cfg.
func open(t testing.TB, dir, instance string, uid model.UID, cfg string) *driver {
	t.Helper()
	d, err := New(t.Context(), drivers.Config{
		Instance: instance,
		Cfg:      fmt.Appendf(nil, "workspace_path: %q\n%s", dir, cfg),
		NodeUID:  uid,
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return d.(*driver)
}

func definition(options string) model.LabelDefinition {
	return model.LabelDefinition{
		Driver: "test", Options: json.RawMessage(options), Resources: model.Resources{CPU: 1, RAM: 1},
		Authentication: &model.Authentication{Username: "user", Password: "secret", Port: 22},
	}
}

func TestConformance(t *testing.T) {
	other := uuid.MustParse("99999999-2222-4333-8444-555555555555")
	for _, tt := range []struct {
		name, neighbour string
		neighbourNode   model.UID
		cfg             string
	}{
		{"beside another instance", "test/other", node, ""},
		{"beside another node", "test/dev", other, ""},
		{"slow", "test", node, "delay_allocate: 3ms\ndelay_deallocate: 1ms\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			drivertest.Run(t, harness(t.TempDir(), tt.cfg, tt.neighbour, tt.neighbourNode))
		})
	}
}

func harness(dir, cfg, neighbour string, neighbourNode model.UID) drivertest.Harness {
	claimed := func(t testing.TB, req drivers.Request) (*workspace, entry) {
		w := open(t, dir, "test/dev", node, "").workspace
		e, err := w.claim(req.Token, req.ApplicationUID)
		if err != nil {
			t.Fatal(err)
		}
		return w, e
	}
	return drivertest.Harness{
		New: func(t testing.TB) drivers.Driver { return open(t, dir, "test/dev", node, cfg) },
		Neighbour: func(t testing.TB) drivers.Driver {
			return open(t, dir, neighbour, neighbourNode, "")
		},
		Definition: definition(`{}`),
		Malformed: map[string]json.RawMessage{
			"a chance of 256":           json.RawMessage(`{"fail_allocate":256}`),
			"a word as chance":          json.RawMessage(`{"fail_allocate":"never"}`),
			"a number as delay":         json.RawMessage(`{"delay_allocate":5}`),
			"a crash that is forbidden": json.RawMessage(`{"crash_allocate":"before"}`),
		},
		Task:        "snapshot",
		TaskOptions: json.RawMessage(`{"full":true}`),
		Count:       func(t testing.TB) int { return count(t, dir) },
		Stands: func(t testing.TB, env drivers.Environment) bool {
			info, err := os.Lstat(filepath.Join(dir, env.Identifier))
			if err != nil {
				t.Fatal(err)
			}
			return info.Mode().Perm()&0o200 == 0
		},
		Interrupt: map[string]func(testing.TB, drivers.Request){
			"before the marker": func(testing.TB, drivers.Request) {},
			"between the two":   func(t testing.TB, req drivers.Request) { claimed(t, req) },
			"before the answer": func(t testing.TB, req drivers.Request) {
				w, e := claimed(t, req)
				if err := w.complete(e); err != nil {
					t.Fatal(err)
				}
			},
		},
	}
}

// count counts files and markers, of whomever.
func count(t testing.TB, dir string) int {
	t.Helper()
	n := 0
	for _, pattern := range []string{"test-*", markersDir + "/*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		n += len(found)
	}
	return n
}

func request(options string) drivers.Request {
	return drivers.Request{
		ApplicationUID: uuid.New(),
		Token:          fmt.Sprintf("%x", [16]byte(uuid.New())),
		Definition:     definition(options),
	}
}

func ref(req drivers.Request) drivers.Ref {
	return drivers.Ref{Token: req.Token, ApplicationUID: req.ApplicationUID, Definition: req.Definition}
}

func mustAllocate(t testing.TB, d *driver, req drivers.Request) drivers.Environment {
	t.Helper()
	env, err := d.Allocate(t.Context(), req)
	if err != nil {
		t.Fatalf("Allocate() = %v", err)
	}
	return env
}

func mustDeallocate(t testing.TB, d *driver, ref drivers.Ref) {
	t.Helper()
	if err := d.Deallocate(t.Context(), ref); err != nil {
		t.Fatalf("Deallocate() = %v", err)
	}
}

// BenchmarkLife is one allocation and its release, many at once.
func BenchmarkLife(b *testing.B) {
	d := open(b, b.TempDir(), "test", node, "")
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			req := request(`{}`)
			if _, err := d.Allocate(context.Background(), req); err != nil {
				b.Error(err)
			}
			if err := d.Deallocate(context.Background(), ref(req)); err != nil {
				b.Error(err)
			}
		}
	})
}

func exists(t testing.TB, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	return err == nil
}
