package limits

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func itoa(n int) string { return strconv.Itoa(n) }

const (
	serviceGroup = "/system.slice/aquarium-fish.service"
	userService  = "/user.slice/user-1000.slice/user@1000.service"
	userGroup    = userService + "/app.slice/fish.service"
)

func TestDetectV2(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("cgroups and their errors are Linux's")
	}
	tests := []struct {
		name           string
		own            string
		readOnly, open []string
		base           string // where the Parent is made; none if empty
		controls       []string
		describe       string // its start
	}{
		{
			name: "root", own: serviceGroup,
			base: "/", controls: []string{"memory", "cpu", "pids"}, describe: "cgroup v2",
		},
		{
			name: "user service with a delegated group", own: userGroup, readOnly: []string{"/"}, open: []string{userService},
			base: userService, controls: []string{"memory", "pids"},
			describe: "cgroup v2 (memory; cpu is not limited: ",
		},
		{
			name: "delegated group that the node itself is in", own: serviceGroup, readOnly: []string{"/"}, open: []string{serviceGroup},
			base: serviceGroup, describe: "rlimits (memory of each process by rlimit: ROOT" + serviceGroup +
				"/cgroup.subtree_control is busy: the group holds processes of its own",
		},
		{
			name: "ordinary user", own: "/user.slice/user-1000.slice/session-3.scope", readOnly: []string{"/"},
			describe: "rlimits (memory of each process by rlimit: ROOT/cgroup.procs is not writable: permission denied; cpu is not limited: ",
		},
		{
			name: "own group outside of what is mounted", own: "/../other", readOnly: []string{"/"},
			describe: "rlimits (memory of each process by rlimit: ROOT/cgroup.procs is not writable",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRecorded(t)
			r.readOnly, r.open = test.readOnly, test.open
			l := r.detect(test.own)
			want := strings.ReplaceAll(test.describe, "ROOT", r.root)
			if got := l.Describe(); !strings.HasPrefix(got, want) {
				t.Errorf("Describe() = %q, want %q...", got, want)
			}
			if test.base == "" {
				if len(l.hierarchies) != 0 {
					t.Errorf("hierarchies = %v, want none", l.hierarchies)
				}
				return
			}
			h := l.hierarchies[0]
			if got, want := h.base, filepath.Join(r.root, test.base); got != want {
				t.Errorf("base = %s, want %s", got, want)
			}
			if diff := cmp.Diff(test.controls, h.controls); diff != "" {
				t.Errorf("controls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDetectNothing(t *testing.T) {
	var log strings.Builder
	l := Detect(Options{
		Root: t.TempDir(), Self: filepath.Join(t.TempDir(), "none"), Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	want := "none: "
	if runtime.GOOS == "linux" {
		want = "rlimits (memory of each process by rlimit: no cgroups at "
	}
	if got := l.Describe(); !strings.HasPrefix(got, want) {
		t.Errorf("Describe() = %q, want %q...", got, want)
	}
	if !strings.Contains(log.String(), "limits of native environments found") {
		t.Errorf("log = %q, want a line that says which limits", log.String())
	}
	plan, err := l.Make("fish-abcdef", Limits{CPU: 2, RAM: 1 << 30})
	if err != nil || len(plan.Join) != 0 || (len(plan.Rlimits) == 1) != (runtime.GOOS == "linux") {
		t.Errorf("Make() = %v, %v, want only a limit of memory, and only on Linux", plan, err)
	}
	if plan, err := l.Make("fish-abcdef", Limits{}); err != nil || len(plan.Rlimits) != 0 {
		t.Errorf("Make(no limits) = %v, %v, want an empty plan", plan, err)
	}
	if err := errors.Join(l.Kill(t.Context(), "fish-abcdef"), l.Remove(t.Context(), "fish-abcdef")); err != nil {
		t.Errorf("Kill, Remove = %v, want nil where there are no groups", err)
	}
	l.byProcess = false // as on macOS
	if got := l.Describe(); !strings.HasPrefix(got, "none: ") {
		t.Errorf("Describe() = %q, want none and the reason", got)
	}
}

func TestMakeV2(t *testing.T) {
	r := newRecorded(t)
	l := r.detect(serviceGroup)
	group := filepath.Join(r.root, Parent, "fish-abcdef")
	plan, err := l.Make("fish-abcdef", Limits{CPU: 3, RAM: 2 << 30, PIDs: 500})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Plan{Join: []string{group + "/cgroup.procs"}}, plan); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	check := func(want map[string]string) {
		t.Helper()
		for file, value := range want {
			if got := get(t, filepath.Join(group, file)); got != value {
				t.Errorf("%s = %q, want %q", file, got, value)
			}
		}
	}
	check(map[string]string{"memory.max": "2147483648", "memory.swap.max": "0", "cpu.max": "300000 100000", "pids.max": "500"})
	if _, err := l.Make("fish-abcdef", Limits{}); err != nil { // again, now without limits
		t.Fatal(err)
	}
	check(map[string]string{"memory.max": "max", "memory.swap.max": "max", "cpu.max": "max 100000", "pids.max": "max"})
}

func TestMakeWithoutSwapAccounting(t *testing.T) {
	r := newRecorded(t)
	l := r.detect(serviceGroup)
	group := filepath.Join(r.root, Parent, "fish-abcdef")
	if _, err := l.Make("fish-abcdef", Limits{}); err != nil {
		t.Fatal(err)
	}
	for _, optional := range []string{"memory.swap.max"} {
		if err := os.Remove(filepath.Join(group, optional)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Make("fish-abcdef", Limits{RAM: 1 << 30}); err != nil {
		t.Errorf("Make() = %v, want nil: swap is optional", err)
	}
}

func TestMakeFailsWhole(t *testing.T) {
	r := newRecorded(t)
	r.readOnly = []string{"/" + Parent + "/fish-abcdef/cpu.max"}
	l := r.detect(serviceGroup)
	if plan, err := l.Make("fish-abcdef", Limits{CPU: 1}); err == nil || !strings.Contains(err.Error(), "cpu.max") {
		t.Errorf("Make() = %v, %v, want an error that names cpu.max", plan, err)
	}
	if got := l.List(); len(got) != 0 {
		t.Errorf("List() = %v, want nothing left of a failed Make", got)
	}
}

func TestMakeAfterParentWasRemoved(t *testing.T) {
	r := newRecorded(t)
	l := r.detect(serviceGroup)
	if err := r.rmdir(filepath.Join(r.root, Parent)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Make("fish-abcdef", Limits{CPU: 1, RAM: 1 << 30}); err != nil {
		t.Errorf("Make() = %v, want the parent made again", err)
	}
}

func TestNames(t *testing.T) {
	l := newRecorded(t).detect(serviceGroup)
	for _, name := range []string{"", ".", "..", "../x", "a/b", "cgroup.procs", "Fish", "-x", strings.Repeat("a", 64)} {
		_, makeErr := l.Make(name, Limits{})
		if makeErr == nil || l.Kill(t.Context(), name) == nil || l.Remove(t.Context(), name) == nil {
			t.Errorf("name %q is accepted, want an error of Make, Kill and Remove", name)
		}
	}
}

// TestKillRecorded kills in a tree with a group below the environment's, on a
// new kernel and on one without cgroup.kill.
func TestKillRecorded(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run("old kernel "+strconv.FormatBool(old), func(t *testing.T) {
			r := newRecorded(t)
			r.old = old
			l := r.detect(serviceGroup)
			if _, err := l.Make("fish-abcdef", Limits{RAM: 1 << 30}); err != nil {
				t.Fatal(err)
			}
			group := filepath.Join(r.root, Parent, "fish-abcdef")
			if err := r.mkdir(filepath.Join(group, "inner")); err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(group, "cgroup.procs"), "2000000001\n2000000002")
			put(t, filepath.Join(group, "inner/cgroup.procs"), "2000000003")
			put(t, filepath.Join(group, "cgroup.events"), "populated 1")
			if err := l.Remove(t.Context(), "fish-abcdef"); err == nil || !strings.Contains(err.Error(), "still has processes") {
				t.Errorf("Remove(populated) = %v, want that it still has processes", err)
			}
			if err := l.Kill(t.Context(), "fish-abcdef"); err != nil {
				t.Errorf("Kill() = %v", err)
			}
			if old && !cmp.Equal(*r.killed, []int{2000000001, 2000000002, 2000000003}) {
				t.Errorf("killed %v, want all three processes", *r.killed)
			}
			for range 2 { // the second finds nothing
				if err := l.Remove(t.Context(), "fish-abcdef"); err != nil {
					t.Errorf("Remove() = %v", err)
				}
			}
			if got := l.List(); len(got) != 0 {
				t.Errorf("List() = %v, want none", got)
			}
		})
	}
}

func TestKillSparesTheNode(t *testing.T) {
	r := newRecorded(t)
	r.old = true
	l := r.detect(serviceGroup)
	if _, err := l.Make("fish-abcdef", Limits{}); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(r.root, Parent, "fish-abcdef/cgroup.procs"), itoa(os.Getpid()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := l.Kill(ctx, "fish-abcdef"); err == nil || !errors.Is(err, context.DeadlineExceeded) || len(*r.killed) != 0 {
		t.Errorf("Kill() = %v, killed %v, want an error and nothing killed", err, *r.killed)
	}
}

// TestListFindsOtherPlaces finds groups that a start with other rights made.
func TestListFindsOtherPlaces(t *testing.T) {
	r := newRecorded(t)
	r.readOnly, r.open = []string{"/"}, []string{userService}
	if _, err := r.detect(userGroup).Make("fish-byuser", Limits{}); err != nil {
		t.Fatal(err)
	}
	r.readOnly = nil
	l := r.detect(userGroup)
	if _, err := l.Make("fish-byroot", Limits{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"fish-byroot", "fish-byuser"}, l.List()); diff != "" {
		t.Errorf("List() (-want +got):\n%s", diff)
	}
	if err := l.Remove(t.Context(), "fish-byuser"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"fish-byroot"}, l.List()); diff != "" {
		t.Errorf("List() (-want +got):\n%s", diff)
	}
}

func TestSettingsV1(t *testing.T) {
	limits := Limits{CPU: 2, RAM: 4096, PIDs: 7}
	tests := []struct {
		control string
		want    Limits
		list    []setting
	}{
		{"memory", limits, []setting{{"memory.limit_in_bytes", "4096", false}, {"memory.memsw.limit_in_bytes", "4096", true}}},
		{"memory", Limits{}, []setting{{"memory.limit_in_bytes", "-1", false}, {"memory.memsw.limit_in_bytes", "-1", true}}},
		{"cpu", limits, []setting{{"cpu.cfs_period_us", "100000", false}, {"cpu.cfs_quota_us", "200000", false}}},
		{"cpu", Limits{}, []setting{{"cpu.cfs_period_us", "100000", false}, {"cpu.cfs_quota_us", "-1", false}}},
		{"pids", limits, []setting{{"pids.max", "7", false}}},
		{"pids", Limits{}, []setting{{"pids.max", "max", false}}},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.list, settingsV1(test.control, test.want), cmp.AllowUnexported(setting{})); diff != "" {
			t.Errorf("settingsV1(%s, %v) (-want +got):\n%s", test.control, test.want, diff)
		}
	}
}

func TestMemberships(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cgroup")
	put(t, file, "12:cpu,cpuacct:/a\n4:memory:/b:c\n1:name=systemd:/d\n0::/e\nnonsense")
	want := map[string]string{"cpu": "/a", "cpuacct": "/a", "memory": "/b:c", "name=systemd": "/d", "": "/e"}
	if diff := cmp.Diff(want, memberships(file)); diff != "" {
		t.Errorf("memberships() (-want +got):\n%s", diff)
	}
}
