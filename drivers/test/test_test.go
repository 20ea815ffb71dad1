package test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestEnvironmentIsWhatTheContractSays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "workspace")
	d := open(t, dir, "test", node, "")
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("workspace: %v, %v, want mode 0750", info, err)
	}
	req := request(`{}`)
	env := mustAllocate(t, d, req)
	if !regexp.MustCompile(`^test-[0-9a-z]{6}$`).MatchString(env.Identifier) {
		t.Errorf("identifier = %q, want test- and 6 characters", env.Identifier)
	}
	want := drivers.Environment{Identifier: env.Identifier, IPAddr: "127.0.0.1",
		Authentication: &model.Authentication{Username: "user", Password: "secret", Port: 22}}
	if diff := cmp.Diff(want, env); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if env.Authentication == req.Definition.Authentication {
		t.Error("authentication is the definition's own, want a copy")
	}
	data, err := os.ReadFile(filepath.Join(dir, env.Identifier))
	if err != nil || len(data) != 0 {
		t.Errorf("file: %q, %v, want it there and empty", data, err)
	}
	mustDeallocate(t, d, ref(req))
	if exists(t, filepath.Join(dir, env.Identifier)) {
		t.Error("the file is still there after Deallocate")
	}
}

func TestLimits(t *testing.T) {
	d := open(t, t.TempDir(), "test", node,
		"CPU_limit: 4\nram_limit: 8\ncpu_overbook: 1\nram_overbook: 2\nis_remote: true\n")
	want := drivers.Limits{CPU: 4, RAM: 8, CPUOverbook: 1, RAMOverbook: 2, Remote: true}
	if diff := cmp.Diff(want, d.Limits()); diff != "" {
		t.Errorf("Limits() (-want +got):\n%s", diff)
	}
}

func TestAdoptedFileHasNoMarker(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, "test", node, "")
	if err := os.WriteFile(filepath.Join(dir, "test-AbC123"), nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if refs, err := d.List(t.Context()); err != nil || len(refs) != 0 {
		t.Errorf("List() = %v, %v, want nothing: the file may be anybody's", refs, err)
	}
	adopted := drivers.Ref{Identifier: "test-AbC123", Definition: definition(`{}`)}
	report, err := d.Inspect(t.Context(), adopted)
	if err != nil || report.Presence != drivers.Running || report.Environment.Identifier != "test-AbC123" {
		t.Errorf("Inspect() = %+v, %v, want it running", report, err)
	}
	for range 2 {
		mustDeallocate(t, d, adopted)
	}
	if exists(t, filepath.Join(dir, "test-AbC123")) {
		t.Error("the file is still there after Deallocate")
	}
}

func TestIdentifierNeverLeavesTheWorkspace(t *testing.T) {
	parent := t.TempDir()
	victim := filepath.Join(parent, "test-victim")
	if err := os.WriteFile(victim, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	d := open(t, filepath.Join(parent, "workspace"), "test", node, "")
	for _, name := range []string{"../test-victim", victim, "test-/../..", "", ".", ".fish", "test-\x00abcde"} {
		bad := drivers.Ref{Identifier: name}
		if report, err := d.Inspect(t.Context(), bad); err != nil || report.Presence != drivers.Absent {
			t.Errorf("Inspect(%q) = %+v, %v, want Absent", name, report, err)
		}
		if err := d.Deallocate(t.Context(), bad); err != nil {
			t.Errorf("Deallocate(%q) = %v, want nil", name, err)
		}
	}
	if !exists(t, victim) || !exists(t, d.workspace.markers()) {
		t.Error("something outside the driver's files was removed")
	}
}

func TestNameThatIsTakenIsPassedBy(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, "test", node, "")
	req := request(`{}`)
	names := identifiers(req.Token)
	if err := os.WriteFile(filepath.Join(dir, names[0]), nil, 0o640); err != nil {
		t.Fatal(err)
	}
	// The same token with another owner: as unlikely as two tokens of one name.
	neighbour := open(t, dir, "test/other", node, "")
	theirs := mustAllocate(t, neighbour, req)
	ours := mustAllocate(t, d, req)
	if theirs.Identifier != names[1] || ours.Identifier != names[2] {
		t.Errorf("identifiers = %s and %s, want %s and %s", theirs.Identifier, ours.Identifier, names[1], names[2])
	}
	mustDeallocate(t, d, ref(req))
	if !exists(t, filepath.Join(dir, names[0])) || !exists(t, filepath.Join(dir, names[1])) {
		t.Error("Deallocate removed what belongs to others")
	}
	for _, name := range names[2:] {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Allocate(t.Context(), req); err == nil || !strings.Contains(err.Error(), "used by others") {
		t.Errorf("Allocate() with all names taken = %v, want an error", err)
	}
}

func TestMissingWorkspaceIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, "test", node, "")
	gone := request(`{}`)
	mustAllocate(t, d, gone)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if report, err := d.Inspect(t.Context(), ref(gone)); err != nil || report.Presence != drivers.Absent {
		t.Errorf("Inspect() after the workspace was removed = %+v, %v, want Absent", report, err)
	}
	mustAllocate(t, d, request(`{}`))
}

func TestUnusableWorkspaceIsTheReason(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := New(t.Context(), drivers.Config{Instance: "test", Cfg: []byte("workspace_path: " + file)})
	if err == nil || !strings.Contains(err.Error(), "workspace_path") || !strings.Contains(err.Error(), file) {
		t.Errorf("New() = %v, want an error that names workspace_path and the path", err)
	}
}

func TestUnreadableMarkerIsNotAbsence(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, "test", node, "")
	req := request(`{}`)
	// A file in place of the folder of markers: nothing can be found out.
	if err := os.Remove(d.workspace.markers()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.workspace.markers(), nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if report, err := d.Inspect(t.Context(), ref(req)); err == nil {
		t.Errorf("Inspect() = %+v, nil, want an error", report)
	}
	if err := d.Deallocate(t.Context(), ref(req)); err == nil {
		t.Error("Deallocate() = nil, want an error")
	}
	if refs, err := d.List(t.Context()); err == nil {
		t.Errorf("List() = %v, nil, want an error", refs)
	}
}

func TestAllocateRefusesABadToken(t *testing.T) {
	d := open(t, t.TempDir(), "test", node, "")
	for _, token := range []string{"", "short", strings.Repeat("z", 32), strings.Repeat(",", 32)} {
		req := request(`{}`)
		req.Token = token
		if _, err := d.Allocate(t.Context(), req); err == nil {
			t.Errorf("Allocate() with token %q = nil, want an error", token)
		}
	}
}

func TestChance(t *testing.T) {
	d := &dice{rnd: rand.New(rand.NewPCG(1, 2))}
	const rolls = 50_000
	for _, tt := range []struct {
		value uint8
		want  float64
	}{{0, 0}, {1, 1. / 254}, {127, 0.5}, {200, 200. / 254}, {254, 1}, {255, 1}} {
		hits := 0
		for range rolls {
			if d.hit(tt.value) {
				hits++
			}
		}
		got := float64(hits) / rolls
		if got < tt.want-0.01 || got > tt.want+0.01 || tt.value == 0 && hits > 0 || tt.value == 255 && hits < rolls {
			t.Errorf("fail value %d hit %.4f of the time, want %.4f", tt.value, got, tt.want)
		}
	}
}

func TestFailures(t *testing.T) {
	for _, key := range []string{"fail_config_apply", "fail_config_validate"} {
		_, err := New(t.Context(), drivers.Config{Instance: "test", Cfg: []byte(key + ": 255")})
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("New() with %s = %v, want an error that names it", key, err)
		}
	}
	d := open(t, t.TempDir(), "test", node, "fail_status: 255\nfail_snapshot: 255\nfail_deallocate: 255\n")
	for _, tt := range []struct {
		option              string
		noCapacity, noAlloc bool
	}{
		{"fail_options_apply", true, true},
		{"fail_options_validate", true, true},
		{"fail_available_capacity", true, false},
		{"fail_allocate", false, true},
		{"Fail_Allocate", false, true},
		{"fail_something_new", false, false},
	} {
		req := request(`{"` + tt.option + `":255}`)
		if err := d.Validate(req.Definition); err != nil {
			t.Errorf("%s: Validate() = %v, want nil", tt.option, err)
		}
		if n, err := d.Capacity(req.Definition); err != nil || (n == 0) != tt.noCapacity {
			t.Errorf("%s: Capacity() = %d, %v, want none = %v", tt.option, n, err, tt.noCapacity)
		}
		if _, err := d.Allocate(t.Context(), req); (err != nil) != tt.noAlloc {
			t.Errorf("%s: Allocate() = %v, want an error = %v", tt.option, err, tt.noAlloc)
		}
	}
	req := request(`{}`)
	mustAllocate(t, d, req)
	if err := d.Deallocate(t.Context(), ref(req)); !errors.Is(err, errDeallocate) {
		t.Errorf("Deallocate() = %v, want %v", err, errDeallocate)
	}
	if report, err := d.Inspect(t.Context(), ref(req)); err != nil || report.Presence != drivers.Running {
		t.Errorf("Inspect() = %+v, %v, want Running: fail_status is never consulted", report, err)
	}
	if result, err := d.RunTask(t.Context(), snapshot(req, `{}`)); err != nil || string(result) != `{}` {
		t.Errorf("RunTask() = %s, %v, want {}", result, err)
	}
}

func snapshot(req drivers.Request, options string) drivers.TaskRequest {
	return drivers.TaskRequest{Task: "snapshot", When: model.StatusAllocated, Options: json.RawMessage(options), Ref: ref(req)}
}

func TestSnapshot(t *testing.T) {
	d := open(t, t.TempDir(), "test", node, "")
	req := request(`{}`)
	if result, err := d.RunTask(t.Context(), snapshot(req, `{}`)); err == nil || errors.Is(err, drivers.ErrTaskUnknown) {
		t.Errorf("RunTask() without an environment = %s, %v, want an error that is no ErrTaskUnknown", result, err)
	}
	mustAllocate(t, d, req)
	for _, tt := range []struct {
		name, options string
		when          model.Status
		want          string
	}{
		{"no options", ``, model.StatusAllocated, `{"snapshots":["test-snapshot"],"when":"ALLOCATED"}`},
		{"full", `{"full":true}`, model.StatusDeallocate, `{"snapshots":["test-snapshot"],"when":"DEALLOCATE"}`},
		{"unknown option", `{"other":1}`, model.StatusAllocated, `{"snapshots":["test-snapshot"],"when":"ALLOCATED"}`},
		{"wrong type", `{"full":"yes"}`, model.StatusAllocated, ""},
		{"no JSON", `{`, model.StatusAllocated, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			task := snapshot(req, tt.options)
			task.When = tt.when
			result, err := d.RunTask(t.Context(), task)
			if string(result) != tt.want || errors.Is(err, drivers.ErrTaskUnknown) != (tt.want == "") {
				t.Errorf("RunTask() = %s, %v, want %s", result, err, tt.want)
			}
		})
	}
}

func TestDelays(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, dir, "test", node, "delay_allocate: 1m\ndelay_deallocate: 10s\ndelay_task: 5s\n")
		took := func(f func()) time.Duration {
			start := time.Now()
			f()
			return time.Since(start)
		}
		req := request(`{"delay_deallocate":"3s"}`)
		for _, tt := range []struct {
			name string
			call func()
			want time.Duration
		}{
			{"Allocate", func() { mustAllocate(t, d, req) }, time.Minute},
			{"Allocate of what is there", func() { mustAllocate(t, d, req) }, 0},
			{"RunTask", func() { _, _ = d.RunTask(t.Context(), snapshot(req, `{}`)) }, 5 * time.Second},
			{"Deallocate", func() { mustDeallocate(t, d, ref(req)) }, 3 * time.Second},
			{"Deallocate without options", func() { mustDeallocate(t, d, drivers.Ref{Token: req.Token}) }, 10 * time.Second},
		} {
			if got := took(tt.call); got != tt.want {
				t.Errorf("%s took %v, want %v", tt.name, got, tt.want)
			}
		}
	})
}

func TestHangingAllocateHoldsUpNobody(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, dir, "test", node, "")
		req := request(`{"hang_allocate":true}`)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		hung := make(chan error)
		go func() {
			_, err := d.Allocate(ctx, req)
			hung <- err
		}()
		synctest.Wait()
		if report, err := d.Inspect(t.Context(), ref(req)); err != nil || report.Presence != drivers.Partial {
			t.Errorf("Inspect() = %+v, %v, want Partial", report, err)
		}
		mustDeallocate(t, d, ref(req))
		if err := <-hung; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Allocate() = %v, want the end of its context", err)
		}
		if n := count(t, dir); n != 0 {
			t.Errorf("%d things are left", n)
		}
	})
}

func TestDeallocateDuringAllocateWins(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, dir, "test", node, "delay_allocate: 1m")
		req := request(`{}`)
		result := make(chan error)
		go func() {
			_, err := d.Allocate(t.Context(), req)
			result <- err
		}()
		synctest.Wait()
		mustDeallocate(t, d, ref(req))
		if err := <-result; !errors.Is(err, errVanished) {
			t.Errorf("Allocate() = %v, want %v", err, errVanished)
		}
		if n := count(t, dir); n != 0 {
			t.Errorf("%d things are left", n)
		}
	})
}

func TestMalformedOptionsDoNotKeepAnEnvironmentAlive(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, "test", node, "")
	req := request(`{}`)
	mustAllocate(t, d, req)
	req.Definition.Options = json.RawMessage(`{"delay_deallocate":-1}`)
	mustDeallocate(t, d, ref(req))
	if n := count(t, dir); n != 0 {
		t.Errorf("%d things are left", n)
	}
}

func TestListCarriesTheApplication(t *testing.T) {
	d := open(t, t.TempDir(), "test", node, "")
	req := request(`{}`)
	env := mustAllocate(t, d, req)
	refs, err := d.List(t.Context())
	want := []drivers.Ref{{Token: req.Token, Identifier: env.Identifier, ApplicationUID: req.ApplicationUID}}
	if diff := cmp.Diff(want, refs); err != nil || diff != "" {
		t.Errorf("List() error %v (-want +got):\n%s", err, diff)
	}
	if uuid.Nil == refs[0].ApplicationUID {
		t.Error("the application is unknown")
	}
}

func TestWhatAKillLeftOfTheProbeGoesAtTheNextStart(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, markersDir, "probe-"+node.String()+"-test-a")
	if err := os.MkdirAll(filepath.Dir(left), dirMode); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir, "test/a", node, "")
	if n := count(t, dir); n != 0 {
		t.Errorf("%d things are left", n)
	}
}

// TestDisksAreCounted against the file system of the workspace, also when
// somebody has removed that.
func TestDisksAreCounted(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "ws")
	made, err := New(t.Context(), drivers.Config{
		Instance: "test", Cfg: []byte("{workspace_path: " + folder + "}"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = made.Close() }()
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	holder := made.(drivers.DiskHolder)
	room, err := holder.DiskRoom()
	if err != nil || room.Total == 0 || room.Free > room.Total {
		t.Errorf("DiskRoom() = %+v, %v", room, err)
	}
	def := model.LabelDefinition{Resources: model.Resources{Disks: map[string]model.Disk{
		"a": {Size: 3}, "b": {Size: 4, Reuse: true}, "nonsense": {Size: math.MaxUint},
	}}}
	if gb, on := holder.DiskNeed(def); gb != 7+1<<40 || on == "" {
		t.Errorf("DiskNeed() = %d GB on %q, want 7 and the most that a disk counts", gb, on)
	}
}

// TestUnreadableMarker: it hides none of the others.
func TestUnreadableMarker(t *testing.T) {
	d := open(t, t.TempDir(), "test", node, "")
	req := request(`{}`)
	if _, err := d.Allocate(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	broken := d.workspace.marker("test-000000")
	if err := os.Symlink(node.String()+",test,"+req.Token+",half", broken); err != nil {
		t.Fatal(err)
	}
	refs, err := d.List(t.Context())
	if len(refs) != 1 || refs[0].Token != req.Token || err == nil || !strings.Contains(err.Error(), broken) {
		t.Errorf("List() = %+v, %v, want the other one, and which can not be read", refs, err)
	}
}
