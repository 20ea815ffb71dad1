//go:build linux

package tests

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestUpgradeNative: an environment that v0.7 made is a user with a home and
// processes. It is ALLOCATED at once, lives on, and is gone when it is given
// back: processes, user and home.
func TestUpgradeNative(t *testing.T) {
	needs.Machine(t, "to make users")
	const name = "fish-oldabc"
	i := newInstallation(t)
	i.check(os.Chmod(filepath.Dir(i.dir), 0o755)) // its users have to pass
	home := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("useradd", "--no-user-group", "--create-home", "--home-dir", home, "--shell", "/bin/sh", name).CombinedOutput(); err != nil {
		t.Fatalf("useradd: %v %s", err, out)
	}
	t.Cleanup(func() { // gone already where the test succeeds
		_ = exec.Command("su", "-s", "/bin/sh", name, "-c", "kill -KILL -1").Run()
		_ = exec.Command("userdel", name).Run()
	})
	work := exec.Command("su", "-s", "/bin/sh", name, "-c", "exec sleep 600")
	work.Dir = "/"
	if err := work.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- work.Wait() }()
	t.Cleanup(func() { _ = work.Process.Signal(syscall.SIGKILL) })
	i.user("admin", "old admin", false)
	app := i.life(i.label("mac", 1, definition("native", `{}`), `{}`), "admin", "NEW ELECTED ALLOCATED", name)
	i.die()
	n := fish.New(t, fish.Options{Dir: i.dir, Config: "drivers: [{name: native}]\n", AdminPassword: "old admin"})
	n.Spawn()
	if err := n.Listening(); err != nil {
		t.Fatal(err)
	}
	if s := n.State(app); s.Status != "ALLOCATED" {
		t.Errorf("first answer: %+v", s)
	}
	n.WaitLine("Fish initialized")
	select {
	case err := <-ended:
		t.Errorf("what v0.7 ran has ended: %v", err)
	default:
	}
	n.Deallocate(app)
	n.WaitStatus(app, "DEALLOCATED")
	<-ended
	if u, err := user.Lookup(name); err == nil {
		t.Errorf("the user is still there: %+v", u)
	}
	if _, err := os.Stat(home); !os.IsNotExist(err) {
		t.Errorf("the home is still there: %v", err)
	}
}
