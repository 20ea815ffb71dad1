//go:build linux

package limits

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// TestMain lets the test binary be the process that is limited.
func TestMain(m *testing.M) {
	switch role := os.Getenv("FISH_LIMITS_TEST"); role {
	case "":
		os.Exit(m.Run())
	case "hog":
		join()
		hog()
	case "daemons":
		join()
		daemons()
	}
}

// join does what a Plan asks for, in the process that will be limited.
func join() {
	for _, file := range filepath.SplitList(os.Getenv("FISH_JOIN")) {
		if err := (realKernel{}).write(file, "0"); err != nil {
			fmt.Println("join:", err)
			os.Exit(3)
		}
	}
	if value, err := strconv.ParseUint(os.Getenv("FISH_RLIMIT"), 10, 64); err == nil {
		if err := syscall.Setrlimit(memoryRlimit, &syscall.Rlimit{Cur: value, Max: value}); err != nil {
			fmt.Println("setrlimit:", err)
			os.Exit(3)
		}
	}
	fmt.Println("joined")
}

// hog uses 192 MB, and says so if it may.
func hog() {
	memory := make([]byte, 192<<20)
	for i := 0; i < len(memory); i += 4096 {
		memory[i] = 1
	}
	fmt.Println("used", len(memory))
}

// daemons leaves processes in sessions of their own and goes on.
func daemons() {
	script := `for i in 1 2 3; do setsid sh -c 'sleep 600 & sleep 600' & done; echo started; wait; sleep 600`
	if err := syscall.Exec("/bin/sh", []string{"sh", "-c", script}, os.Environ()); err != nil {
		fmt.Println("exec:", err)
	}
}

// start runs this binary in a role, limited by the plan.
func start(t *testing.T, role string, plan Plan) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "FISH_LIMITS_TEST="+role, "FISH_JOIN="+strings.Join(plan.Join, string(filepath.ListSeparator)))
	for _, limit := range plan.Rlimits {
		cmd.Env = append(cmd.Env, fmt.Sprintf("FISH_RLIMIT=%d", limit.Value))
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(output)
	if !lines.Scan() || lines.Text() != "joined" {
		t.Fatalf("first line of %s = %q, want joined", role, lines.Text())
	}
	return cmd, lines
}

// realLimiter is that of this machine, which has to limit memory at least.
func realLimiter(t *testing.T) *Limiter {
	t.Helper()
	needs.Machine(t, "to make cgroups")
	l := Detect(Options{})
	if !l.has(controlMemory) {
		needs.Lacking(t, "needs cgroups, limits here:", l.Describe())
	}
	t.Log(l.Describe())
	return l
}

// made makes a group that is gone after the test.
func made(t *testing.T, l *Limiter, name string, limits Limits) Plan {
	t.Helper()
	plan, err := l.Make(name, limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // that of the test has ended
		defer cancel()
		if err := errors.Join(l.Kill(ctx, name), l.Remove(ctx, name)); err != nil {
			t.Error(err)
		}
	})
	return plan
}

func TestRealMemory(t *testing.T) {
	l := realLimiter(t)
	plan := made(t, l, "fish-test-memory", Limits{RAM: 64 << 20})
	cmd, lines := start(t, "hog", plan)
	if lines.Scan() {
		t.Errorf("process limited to 64 MB says %q", lines.Text())
	}
	_ = cmd.Wait() // how it ended is looked at below
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("process limited to 64 MB ended with %v, want killed", cmd.ProcessState)
	}
	if got := oomKills(t, plan); got == 0 {
		t.Error("kernel counts no process killed for its memory in the group, want one")
	}
	if _, err := l.Make("fish-test-memory", Limits{RAM: 1 << 30}); err != nil { // raising an existing limit
		t.Fatal(err)
	}
	cmd, lines = start(t, "hog", plan)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "used") {
		t.Errorf("process limited to 1 GB says %q, want that it used 192 MB", lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("process limited to 1 GB: %v", err)
	}
	if _, err := l.Make("fish-test-memory", Limits{RAM: 64 << 20}); err != nil { // lowering it
		t.Error(err)
	}
}

// oomKills reads how many processes of the group the kernel killed.
func oomKills(t *testing.T, plan Plan) int {
	t.Helper()
	total := 0
	for _, join := range plan.Join {
		for _, file := range []string{"memory.events", "memory.oom_control"} {
			data, _ := os.ReadFile(filepath.Join(filepath.Dir(join), file))
			for line := range strings.Lines(string(data)) {
				if count, found := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); found {
					n, err := strconv.Atoi(count)
					if err != nil {
						t.Fatal(err)
					}
					total += n
				}
			}
		}
	}
	return total
}

func TestRealCPU(t *testing.T) {
	l := realLimiter(t)
	if !l.has(controlCPU) {
		// Some containers keep it to their host. What is written there is seen by TestMakeV2 and TestSettingsV1 as well.
		needs.Lacking(t, "needs a writable cpu controller, limits here:", l.Describe())
	}
	plan := made(t, l, "fish-test-cpu", Limits{CPU: 1})
	cmd, _ := start(t, "daemons", plan)
	defer func() { _ = cmd.Wait() }()
	var got []string
	for _, join := range plan.Join {
		for _, file := range []string{"cpu.max", "cpu.cfs_quota_us"} {
			data, err := os.ReadFile(filepath.Join(filepath.Dir(join), file))
			if err == nil {
				got = append(got, strings.Fields(string(data))[0])
			}
		}
	}
	if !slices.Contains(got, "100000") {
		t.Errorf("quotas = %v, want 100000 of 100000 microseconds for one core", got)
	}
	if err := l.Kill(t.Context(), "fish-test-cpu"); err != nil {
		t.Error(err)
	}
}

// TestRealKill kills daemons, some in a group that the environment made itself,
// and removes all groups.
func TestRealKill(t *testing.T) {
	l := realLimiter(t)
	plan := made(t, l, "fish-test-kill", Limits{PIDs: 100})
	cmd, lines := start(t, "daemons", plan)
	if !lines.Scan() || lines.Text() != "started" {
		t.Fatalf("daemons say %q", lines.Text())
	}
	inner := filepath.Join(filepath.Dir(plan.Join[0]), "inner")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := (realKernel{}).write(filepath.Join(inner, "cgroup.procs"), strconv.Itoa(cmd.Process.Pid)); err != nil && !isBusy(err) {
		t.Fatal(err) // busy: v2 lets no process be beside such groups once it hands controllers down
	}
	if !slices.Contains(l.List(), "fish-test-kill") {
		t.Errorf("List() = %v, want the group in it", l.List())
	}
	if err := l.Remove(t.Context(), "fish-test-kill"); err == nil {
		t.Error("Remove(populated) = nil, want an error")
	}
	reaped := make(chan struct{})
	go func() { defer close(reaped); _ = cmd.Wait() }()
	began := time.Now()
	if err := l.Kill(t.Context(), "fish-test-kill"); err != nil {
		t.Fatal(err)
	}
	<-reaped
	t.Logf("killed in %v", time.Since(began))
	for range 2 {
		if err := l.Kill(t.Context(), "fish-test-kill"); err != nil {
			t.Error(err)
		}
		if err := l.Remove(t.Context(), "fish-test-kill"); err != nil {
			t.Error(err)
		}
	}
	if slices.Contains(l.List(), "fish-test-kill") {
		t.Errorf("List() = %v, want the group gone", l.List())
	}
}

// TestRealRlimit limits a process where there are no cgroups. It needs no rights.
func TestRealRlimit(t *testing.T) {
	l := Detect(Options{Root: t.TempDir()})
	plan, err := l.Make("fish-test-rlimit", Limits{RAM: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	cmd, lines := start(t, "hog", plan)
	if lines.Scan() {
		t.Errorf("process limited to 128 MB says %q", lines.Text())
	}
	if err := cmd.Wait(); err == nil {
		t.Error("process limited to 128 MB used 192 MB, want that it failed")
	}
}
