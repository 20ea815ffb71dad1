//go:build linux

package account

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// The tests in this file make real users. As root they do it directly, and once
// more as an ordinary user through sudo.

// role names, in the environment of this test binary, what part a test shall
// play when it is run by itself: as an ordinary user, or to be killed.
const role = "FISH_ACCOUNT_TEST"

func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit) // not that of the test: it is also for cleaning up
	t.Cleanup(cancel)
	return ctx
}

func realAccounts(t *testing.T) *Accounts {
	t.Helper()
	a, err := New(within(t, 20*time.Second), Options{Owner: "fish-test"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// removed removes a user after the test.
func removed(t *testing.T, a *Accounts, name string) {
	t.Helper()
	t.Cleanup(func() {
		if err := a.Remove(within(t, time.Minute), name); err != nil {
			t.Error(err)
		}
	})
}

func TestRealUsers(t *testing.T) {
	needs.Machine(t, "to make users")
	exercise(t, realAccounts(t))
}

// exercise makes, uses and removes users, directly or through sudo.
func exercise(t *testing.T, a *Accounts) {
	ctx := within(t, time.Minute)
	const name, other = "fish-testuser", "fish-testother"
	home := filepath.Join(os.TempDir(), name)
	removed(t, a, name)
	removed(t, a, other)

	user, err := a.Ensure(ctx, name, home, []string{"games", "users"})
	if err != nil {
		t.Fatal(err)
	}
	if user.UID < firstUID || user.Home != home || !user.Ours || len(user.Groups) != 2 || user.GID != user.Groups[0] {
		t.Errorf("Ensure() = %+v, want an uid from %d, home and both groups", user, firstUID)
	}
	if again, err := a.Ensure(ctx, name, home, []string{"games", "users"}); err != nil || again.UID != user.UID {
		t.Errorf("Ensure() again = %+v, %v, want the same user", again, err)
	}
	if _, err := os.Stat(home); err == nil {
		t.Errorf("home %s exists, want none made", home)
	}
	if names, err := a.List(ctx); err != nil || !slices.Contains(names, name) {
		t.Errorf("List() = %v, %v, want %s in it", names, err, name)
	}
	if _, err := a.Ensure(ctx, other, home, []string{"no-such-group"}); !errors.Is(err, ErrNoGroup) {
		t.Errorf("Ensure(missing group) = %v, want ErrNoGroup", err)
	}

	said, stop := daemons(t, a, name, user)
	if want := fmt.Sprintf("%d %d", user.UID, user.GID); said != want {
		t.Errorf("process says it is %q, want %q", said, want)
	}
	if pids, err := a.system.processes(ctx, user.UID); err != nil || len(pids) < 3 {
		t.Errorf("processes = %v, %v, want at least 3", pids, err)
	}
	began := time.Now()
	if err := a.KillAll(ctx, name); err != nil {
		t.Fatal(err)
	}
	t.Logf("killed in %v", time.Since(began).Round(time.Millisecond))
	stop()
	if pids, err := a.system.processes(ctx, user.UID); err != nil || len(pids) != 0 {
		t.Errorf("processes after KillAll = %v, %v, want none", pids, err)
	}

	_, stop = daemons(t, a, name, user) // Remove kills by itself
	for range 2 {
		if err := a.Remove(ctx, name); err != nil {
			t.Error(err)
		}
	}
	stop()
	if _, found, err := a.Lookup(ctx, name); err != nil || found {
		t.Errorf("Lookup() after Remove = %v, %v, want it gone", found, err)
	}
	ownGroup(t, a, other)
}

// ownGroup makes a user with a group of its own, also where an interrupted try
// left that group.
func ownGroup(t *testing.T, a *Accounts, name string) {
	ctx := within(t, time.Minute)
	want := person{name: name}
	if _, err := a.pick(&want, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := a.privileged(ctx, "groupadd", "--gid", fmt.Sprint(want.uid), name); err != nil {
		t.Fatal(err)
	}
	user, err := a.Ensure(ctx, name, "/nonexistent", nil)
	if err != nil || user.GID != want.uid || user.UID != want.uid {
		t.Errorf("Ensure() = %+v, %v, want uid and gid %d", user, err, want.uid)
	}
	if err := a.Remove(ctx, name); err != nil {
		t.Error(err)
	}
	if gid, found, err := a.system.group(name); err != nil || found {
		t.Errorf("group %s = %d, %v after Remove, want it gone", name, gid, err)
	}
}

// daemons starts processes as the user, some in sessions of their own, and
// returns what they say of their ids and what waits for their end.
func daemons(t *testing.T, a *Accounts, name string, user User) (said string, stop func()) {
	t.Helper()
	script := `id -u; id -g; for i in 1 2; do setsid sh -c 'sleep 600 & sleep 600' & done; echo started; exec sleep 600`
	argv := append(a.Sudo(name), "/bin/sh", "-c", script)
	cmd := exec.Command(argv[0], argv[1:]...)
	if a.root {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user.UID), Gid: uint32(user.GID)}}
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text []byte
	for buffer := make([]byte, 256); !bytes.Contains(text, []byte("started")); {
		n, err := output.Read(buffer)
		if err != nil {
			t.Fatalf("read from processes of %s: %v after %q", name, err, text)
		}
		text = append(text, buffer[:n]...)
	}
	said, _, _ = strings.Cut(strings.Join(strings.Fields(string(text)), " "), " started")
	return said, func() { _ = cmd.Wait() } // killed
}

// TestRealForeignUser leaves a user alone that somebody else made.
func TestRealForeignUser(t *testing.T) {
	needs.Machine(t, "to make users")
	a := realAccounts(t)
	user, found, err := a.Lookup(t.Context(), "nobody")
	if err != nil || !found || user.Ours {
		t.Fatalf("Lookup(nobody) = %+v, %v, %v, want it found and not ours", user, found, err)
	}
	if _, err := a.Ensure(t.Context(), "nobody", "/nonexistent", nil); !errors.Is(err, ErrTaken) {
		t.Errorf("Ensure(nobody) = %v, want ErrTaken", err)
	}
	if err := errors.Join(a.KillAll(t.Context(), "nobody"), a.Remove(t.Context(), "nobody")); err != nil {
		t.Error(err)
	}
	if _, found, err := a.Lookup(t.Context(), "nobody"); err != nil || !found {
		t.Errorf("Lookup(nobody) after Remove = %v, %v, want it still there", found, err)
	}
}

// TestRealForkBomb kills what forks as fast as it can, and whose dead nobody
// reaps because their parent is stopped.
func TestRealForkBomb(t *testing.T) {
	needs.Machine(t, "to make users")
	a := realAccounts(t)
	ctx := within(t, time.Minute)
	const name = "fish-testbomb"
	removed(t, a, name)
	user, err := a.Ensure(ctx, name, "/nonexistent", nil)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `f() { while :; do setsid sh -c 'exec sleep 0.1' & kill -0 $$; done; }; f & f`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user.UID), Gid: uint32(user.GID)}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for pids := []int(nil); len(pids) < 20; {
		if pids, err = a.system.processes(ctx, user.UID); err != nil || ctx.Err() != nil {
			t.Fatal(err, ctx.Err())
		}
	}
	began := time.Now()
	if err := a.KillAll(ctx, name); err != nil { // the first is now dead, and not reaped
		t.Fatal(err)
	}
	t.Logf("killed in %v", time.Since(began).Round(time.Millisecond))
	if err := a.Remove(ctx, name); err != nil {
		t.Errorf("Remove() with a dead process = %v, want nil", err)
	}
	t.Logf("removed in %v", time.Since(began).Round(time.Millisecond))
	_ = cmd.Wait() // killed
}

// TestRealSudo does all of it as an ordinary user, first without the right to
// use sudo, then with it.
func TestRealSudo(t *testing.T) {
	switch os.Getenv(role) {
	case "refused":
		_, err := New(within(t, 20*time.Second), Options{Owner: "fish-test"})
		if err == nil || !strings.Contains(err.Error(), "not root") || !strings.Contains(err.Error(), "password") {
			t.Errorf("New() = %v, want that sudo asks for a password", err)
		}
		return
	case "allowed":
		exercise(t, realAccounts(t))
		return
	}
	needs.Machine(t, "to make users")
	if _, err := locate(nil, "sudo"); err != nil {
		needs.Lacking(t, "needs the package sudo:", err)
	}
	a := realAccounts(t)
	const name = "fish-tester"
	removed(t, a, name)
	user, err := a.Ensure(within(t, time.Minute), name, "/nonexistent", nil)
	if err != nil {
		t.Fatal(err)
	}
	binary := copyOfTests(t)
	runAs(t, user, binary, "refused")
	rule := "/etc/sudoers.d/fish-test"
	t.Cleanup(func() { _ = os.Remove(rule) }) // before the user is removed
	if err := os.WriteFile(rule, []byte(name+" ALL=(ALL) NOPASSWD: ALL\n"), 0o440); err != nil {
		t.Fatal(err)
	}
	runAs(t, user, binary, "allowed")
}

// runAs runs this test again as an ordinary user.
func runAs(t *testing.T, user User, binary, part string) {
	t.Helper()
	cmd := exec.CommandContext(within(t, time.Minute), binary, "-test.run", "^TestRealSudo$", "-test.v")
	cmd.Env = []string{role + "=" + part, "PATH=/usr/bin:/bin", "TMPDIR=" + os.TempDir()}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user.UID), Gid: uint32(user.GID)}}
	output, err := cmd.CombinedOutput()
	t.Logf("%s, as uid %d:\n%s", part, user.UID, output)
	if err != nil || !bytes.Contains(output, []byte("--- PASS: TestRealSudo")) {
		t.Errorf("%s: as an ordinary user: %v", part, err)
	}
}

// TestRealKilled kills a process that makes a user, at different moments. What
// it had started may still be at work when the next process goes on.
func TestRealKilled(t *testing.T) {
	const name = "fish-testkill"
	if os.Getenv(role) == "killed" {
		_, err := realAccounts(t).Ensure(t.Context(), name, "/nonexistent", nil)
		t.Log(err)
		return
	}
	needs.Machine(t, "to make users")
	a := realAccounts(t)
	ctx := within(t, time.Minute)
	removed(t, a, name)
	for _, ms := range []int{10, 15, 20, 25, 30, 40, 70, 150} {
		after := time.Duration(ms) * time.Millisecond
		cmd := exec.Command(os.Args[0], "-test.run", "^TestRealKilled$")
		cmd.Env = []string{role + "=killed"}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // killed, or done before
		timer.Stop()
		user, err := a.Ensure(ctx, name, "/nonexistent", nil)
		if err != nil || !user.Ours || user.UID != user.GID {
			t.Errorf("Ensure() after a kill at %v = %+v, %v, want the user complete", after, user, err)
		}
		if err := a.Remove(ctx, name); err != nil {
			t.Error(err)
		}
		gid, group, err := a.system.group(name)
		if _, found, lookupErr := a.Lookup(ctx, name); err != nil || lookupErr != nil || found || group {
			t.Errorf("after Remove: user %v, group %v (%d), %v, want both gone", found, group, gid, errors.Join(err, lookupErr))
		}
	}
}

// copyOfTests puts this test binary where every user may run it.
func copyOfTests(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fish-account-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "tests")
	if err := errors.Join(os.WriteFile(path, data, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}
