//go:build linux || darwin

package keeper

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"time"
)

// earlyOutput bounds what is read in search of the marker: sudo may have much
// to say before it starts the shell.
const earlyOutput = 64 << 10

// shim is a child on its way to become the entry, with the keeper's ends of
// its pipes.
type shim struct {
	pid    int
	output *os.File // what the entry prints
	status *os.File // answers of the shim
	order  *os.File // takes the order
	script *os.File // takes the shell's script; nil without sudo
	early  []byte   // read from output already
}

// fork starts a shim.
func (k *keeper) fork() (*shim, error) {
	p := &pipes{}
	defer p.closeTheirs()
	s := &shim{output: p.from("output"), status: p.from("status"), order: p.to("order")}
	stdin := os.Stdin // the null device
	if len(k.spec.Sudo) > 0 {
		s.script = p.to("script")
		stdin = p.theirs[3]
	}
	path, err := executable()
	if err = errors.Join(p.err, err); err != nil {
		return nil, fmt.Errorf("start entry: %w", err)
	}
	output, status, order := p.theirs[0], p.theirs[1], p.theirs[2]
	if c := k.spec.Credential; c != nil {
		_ = output.Chown(int(c.UID), int(c.GID)) // else the entry can not open /dev/stderr; not all systems can
	}
	child, err := os.StartProcess(path, []string{os.Args[0], Command, roleEnter}, &os.ProcAttr{
		Dir:   "/",
		Env:   os.Environ(),
		Files: []*os.File{stdin, output, output, status, order},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("start entry: %w", err)
	}
	s.pid = child.Pid
	return s, child.Release() // the reaper waits for it
}

// handOver tells the shim what to become and returns when it has become that.
func (s *shim) handOver(spec Spec) error {
	deadline := time.Now().Add(enterTimeout)
	marker := "entered-" + rand.Text()
	o := order{Argv: spec.Argv, Env: spec.Env, Dir: spec.Dir, Credential: spec.Credential, Join: spec.Join,
		Rlimits: spec.Rlimits, Keeper: os.Getpid()}
	if s.script != nil {
		o.Argv, o.Env, o.Dir = append(append([]string{}, spec.Sudo...), "/bin/sh"), os.Environ(), "/"
	}
	if err := send(s.order, deadline, o); err != nil {
		return fmt.Errorf("order entry: %w", err)
	}
	if err := s.await(deadline); err != nil {
		return err
	}
	if s.script == nil {
		return nil
	}
	err := errors.Join(s.script.SetWriteDeadline(deadline), writeAll(s.script, shellScript(spec, marker)))
	return errors.Join(s.awaitMarker(marker, deadline), err)
}

// identity names the entry, which is the process that the shim was. It may have
// ended already: it is not reaped yet.
func (s *shim) identity() (identity, error) {
	p, err := processOf(s.pid)
	if err != nil {
		return identity{}, fmt.Errorf("identify entry: %w", err)
	}
	return p.identity(), nil
}

// await reads the shim's answers: one that it is there, then none, because the
// system closes the descriptor when the entry is executed.
func (s *shim) await(deadline time.Time) error {
	defer s.status.Close()
	if err := s.status.SetReadDeadline(deadline); err != nil {
		return err
	}
	answers := json.NewDecoder(s.status)
	var first, second answer
	if err := answers.Decode(&first); err != nil {
		return fmt.Errorf("entry died before it was executed: %w", err)
	}
	switch err := answers.Decode(&second); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("wait for entry: %w", err)
	}
	return second.err()
}

// awaitMarker reads the output up to the marker, which the shell behind sudo
// prints first. Where it never comes, the output says why.
func (s *shim) awaitMarker(marker string, deadline time.Time) error {
	if err := s.output.SetReadDeadline(deadline); err != nil {
		return err
	}
	line := []byte(marker + "\n")
	chunk := make([]byte, 4096)
	for len(s.early) < earlyOutput {
		n, err := s.output.Read(chunk)
		s.early = append(s.early, chunk[:n]...)
		if before, after, found := bytes.Cut(s.early, line); found {
			s.early = slices.Concat(before, after)
			return s.output.SetReadDeadline(time.Time{})
		}
		if err != nil {
			return fmt.Errorf("run as another user: %w: %s", notEOF(err), bytes.TrimSpace(s.early))
		}
	}
	return fmt.Errorf("run as another user: %s", s.early[:1024])
}

// notEOF puts the end of output into words.
func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("sudo ended")
	}
	return err
}

// send writes one value to a pipe and closes it.
func send(to *os.File, deadline time.Time, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return errors.Join(to.SetWriteDeadline(deadline), writeAll(to, string(data)))
}

func writeAll(to *os.File, text string) error {
	_, err := to.WriteString(text)
	return errors.Join(err, to.Close())
}
