//go:build linux

package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// TestBehindSudo runs the contract, and what else is about users, as a node
// that is an ordinary user with the rule for sudo that account/DESIGN.md names.
func TestBehindSudo(t *testing.T) {
	if behindSudo() {
		t.Skip("this is the node that TestBehindSudo started")
	}
	needs.Machine(t, "to make a user who may use sudo")
	t.Parallel()
	if _, err := exec.LookPath("sudo"); err != nil {
		needs.Lacking(t, "needs the package sudo:", err)
	}
	who := nodeUser(t)
	s := newSite(t, "")
	if err := os.Chown(s.dir, int(who.Uid), int(who.Gid)); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(s.dir, "node")
	tests, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = errors.Join(os.WriteFile(binary, tests, 0o755), os.Chmod(binary, 0o755)) //nolint:gosec // others have to run it
	}
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, binary, "-test.v", "-test.timeout=4m", "-test.run",
		"^(TestConformanceOfUsers|TestKilledKeeper|TestGroupsOfTheUser|TestReusedDisk|TestImageOnLitteredDisk|TestStoppingIsFinal|TestUserThatComesLate)$")
	node.Env = []string{nodeVariable + "=1", "PATH=" + os.Getenv("PATH"), "TMPDIR=" + s.dir, "HOME=/nonexistent"}
	node.Dir = "/"
	node.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	node.WaitDelay = time.Second
	output, err := node.CombinedOutput()
	for _, name := range []string{"TestConformanceOfUsers", "TestKilledKeeper/user", "TestGroupsOfTheUser", "TestReusedDisk", "TestImageOnLitteredDisk",
		"TestUserThatComesLate"} {
		if !bytes.Contains(output, []byte("--- PASS: "+name+" (")) {
			t.Errorf("%s did not pass", name)
		}
	}
	if err != nil || t.Failed() {
		t.Errorf("node behind sudo: %v\n%s", err, output)
	}
	// The node could not see the processes of others; root can.
	for _, left := range append(processesWith(t, s.dir), usersBelow(t, s.dir)...) {
		t.Errorf("left: %s", left)
	}
}

// nodeUser makes an ordinary user who may use sudo, for as long as the test.
func nodeUser(t *testing.T) *syscall.Credential {
	t.Helper()
	name := fmt.Sprintf("node-%d", os.Getpid())
	rule := "/etc/sudoers.d/" + name
	t.Cleanup(func() {
		if err := errors.Join(os.Remove(rule), exec.Command("userdel", "-f", name).Run()); err != nil {
			t.Error(err)
		}
	})
	if out, err := exec.Command("useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", name).CombinedOutput(); err != nil {
		t.Fatalf("useradd: %v: %s", err, out)
	}
	if err := os.WriteFile(rule, []byte(name+" ALL=(ALL) NOPASSWD: ALL\n"), 0o440); err != nil {
		t.Fatal(err)
	}
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
