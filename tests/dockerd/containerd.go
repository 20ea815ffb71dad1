//go:build linux

package dockerd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// containerdSocket is where dockerd lets its own containerd listen. One that it
// does not start itself listens there too, so that there is one place to clean up.
func (s *Server) containerdSocket() string {
	return filepath.Join(s.dir, "exec/containerd/containerd.sock")
}

// startContainerd runs a containerd that dockerd only uses, as that of a system
// is: dockerd starts none and mends none.
func (s *Server) startContainerd() error {
	of := filepath.Join(s.dir, "containerd")
	if err := errors.Join(os.MkdirAll(filepath.Dir(s.containerdSocket()), 0o700), os.MkdirAll(of, 0o700)); err != nil {
		return fmt.Errorf("make containerd's folders: %w", err)
	}
	// Kubernetes is of no use here, and the plugin that installs things would do so outside of the folder.
	config := "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n"
	if err := os.WriteFile(of+"/config.toml", []byte(config), 0o600); err != nil {
		return fmt.Errorf("write containerd's config: %w", err)
	}
	if err := os.Remove(s.containerdSocket()); err != nil && !errors.Is(err, os.ErrNotExist) { // of one that was killed
		return fmt.Errorf("remove containerd's socket: %w", err)
	}
	cmd := exec.Command("containerd", "--config", of+"/config.toml", "--address", s.containerdSocket(), "--root", of+"/root", "--state", of+"/state")
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, s.log, s.log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as dockerd
	if err := s.network.within(cmd.Start); err != nil {
		return fmt.Errorf("start containerd: %w", err)
	}
	s.own = cmd
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(s.containerdSocket()); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("containerd does not listen")
		}
	}
}

// endContainerd is SIGKILL, which ends also what is stopped.
func (s *Server) endContainerd() error {
	if s.own == nil {
		return nil
	}
	err := s.own.Process.Kill()
	_ = s.own.Wait() // killed
	s.own = nil
	return err
}

// KillContainerd ends the engine's own containerd (Options.Containerd), as
// StartContainerd begins it again. dockerd lives on, and so do containers.
func (e *Engine) KillContainerd() {
	e.t.Helper()
	e.must(e.endContainerd())
}

// StartContainerd runs the killed one again, with what it had.
func (e *Engine) StartContainerd() {
	e.t.Helper()
	e.must(e.startContainerd())
}

// FreezeContainerd lets the engine's own containerd hang.
func (e *Engine) FreezeContainerd() {
	e.t.Helper()
	e.must(freeze(e.own.Process))
}

// ThawContainerd ends what FreezeContainerd began.
func (e *Engine) ThawContainerd() {
	e.t.Helper()
	e.must(e.own.Process.Signal(syscall.SIGCONT))
}
