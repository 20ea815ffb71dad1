package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/tests/openssh"
)

// sshProfile is how long the node is looked at while data flows.
const sshProfile = 10 * time.Second

// sshRun is the measurement of the SSH proxy.
type sshRun struct {
	*sshSite

	client      *openssh.Client
	target, hop *openssh.Server
}

// sshWay is how a command gets to the environment.
type sshWay func(ctx context.Context, command string) (*exec.Cmd, error)

// measureSSH measures what the proxy takes from who goes through it, turn by
// turn with OpenSSH's own way over a second machine, `ssh hop ssh target`.
func (b *bench) measureSSH(ctx context.Context) error {
	for _, tool := range openssh.Tools() {
		if _, err := exec.LookPath(tool); err != nil {
			b.table.note("SSH", "not measured", err.Error())
			return nil
		}
	}
	return b.with(ctx, func(n *node) (err error) {
		r := &sshRun{}
		dir := filepath.Join(b.dir, "ssh")
		for _, s := range []struct {
			name   string
			server **openssh.Server
		}{{"target", &r.target}, {"hop", &r.hop}} {
			server, err := startSSHServer(filepath.Join(dir, s.name), nil)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, server.Close()) }()
			*s.server = server
		}
		if r.client, err = newSSHClient(filepath.Join(dir, "client")); err != nil {
			return err
		}
		login, err := loginOf(r.target)
		if err != nil {
			return err
		}
		if r.sshSite, err = b.newSSHSite(ctx, n, login); err != nil {
			return err
		}
		defer r.close()
		end := b.profile(n, "ssh", sshProfile)
		if err := end(r.throughput(ctx)); err != nil {
			return err
		}
		if err := r.keystrokes(); err != nil {
			return err
		}
		return r.idle(ctx)
	})
}

// loginOf is what a label says of a server.
func loginOf(s *openssh.Server) (string, error) {
	key, err := s.Key()
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	text, err := json.Marshal(map[string]any{"username": s.User, "key": key, "port": s.Port()})
	if err != nil {
		return "", fmt.Errorf("describe login: %w", err)
	}
	return string(text), nil
}

func startSSHServer(dir string, l net.Listener) (*openssh.Server, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make folder of SSH server: %w", err)
	}
	return openssh.StartServer(openssh.ServerOptions{Dir: dir, Listener: l})
}

func newSSHClient(dir string) (*openssh.Client, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of SSH client: %w", err)
	}
	return openssh.NewClient(dir)
}

// login is a fresh one at the proxy.
func (r *sshRun) login() (openssh.Login, error) {
	a, err := r.access()
	if err != nil {
		return openssh.Login{}, err
	}
	return openssh.Login{Address: a.Address, User: a.Username, Password: a.Password}, nil
}

// proxied goes through the node.
func (r *sshRun) proxied(ctx context.Context, command string) (*exec.Cmd, error) {
	l, err := r.login()
	if err != nil {
		return nil, err
	}
	return r.client.Command(ctx, []openssh.Host{{Name: "env", Login: l}}, "ssh", "-T", "env", command)
}

// direct goes past it.
func (r *sshRun) direct(ctx context.Context, command string) (*exec.Cmd, error) {
	return r.client.Command(ctx, []openssh.Host{{Name: "env", Login: r.target.Login()}}, "ssh", "-T", "env", command)
}

// hopped has another server run a client that goes on to the environment.
func (r *sshRun) hopped(ctx context.Context, command string) (*exec.Cmd, error) {
	inner, err := r.direct(ctx, quoted(command))
	if err != nil {
		return nil, err
	}
	return r.client.Command(ctx, []openssh.Host{{Name: "hop", Login: r.hop.Login()}}, "ssh", "-T", "hop", "exec "+strings.Join(inner.Args, " "))
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// down and up are how many bytes a second get through, once the windows are
// open.
func down(ctx context.Context, way sshWay, size int64) (float64, error) {
	cmd, err := way(ctx, fmt.Sprintf("head -c %d /dev/zero", size+warmBytes))
	if err != nil {
		return 0, err
	}
	return timed(cmd, nil, func(out io.Reader) (time.Duration, error) {
		if _, err := io.CopyN(io.Discard, out, warmBytes); err != nil {
			return 0, err
		}
		begin := time.Now()
		n, err := io.Copy(io.Discard, out)
		if err == nil && n != size {
			err = fmt.Errorf("got %d bytes, want %d", n, size)
		}
		return time.Since(begin), err
	}, size)
}

func up(ctx context.Context, way sshWay, size int64) (float64, error) {
	cmd, err := way(ctx, fmt.Sprintf("head -c %d >/dev/null; echo begin; wc -c", warmBytes))
	if err != nil {
		return 0, err
	}
	return timed(cmd, io.LimitReader(zeros{}, size+warmBytes), func(out io.Reader) (time.Duration, error) {
		lines := bufio.NewReader(out)
		if _, err := lines.ReadString('\n'); err != nil {
			return 0, err
		}
		begin := time.Now()
		text, err := lines.ReadString('\n')
		if err == nil && strings.TrimSpace(text) != fmt.Sprint(size) {
			err = fmt.Errorf("the environment got %q bytes, want %d", text, size)
		}
		return time.Since(begin), err
	}, size)
}

// timed runs a command and has its output read.
func timed(cmd *exec.Cmd, stdin io.Reader, read func(out io.Reader) (time.Duration, error), size int64) (float64, error) {
	cmd.Stdin, cmd.Stderr = stdin, os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, fmt.Errorf("run ssh: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("run ssh: %w", err)
	}
	took, err := read(out)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return 0, fmt.Errorf("run %q: %w", cmd.Args, err)
	}
	return float64(size) / took.Seconds(), nil
}

// sshDirections are the two that data flows in.
func sshDirections() []sshDirection {
	return []sshDirection{{"from the environment", down}, {"to the environment", up}}
}

type sshDirection struct {
	name    string
	measure func(ctx context.Context, way sshWay, size int64) (float64, error)
}

// throughput compares the proxy with a second hop of OpenSSH.
func (r *sshRun) throughput(ctx context.Context) error {
	for _, d := range sshDirections() {
		got, err := r.turns(ctx, d, r.proxied, r.hopped, r.bench.plan.sshBytes)
		if err != nil {
			return err
		}
		r.bench.table.atLeast("SSH: throughput "+d.name+", of `ssh hop ssh target`", "%.0f %%", 100*got.ratio, 100*sshOverHops, got.String())
	}
	return nil
}

// turns measures two ways turn by turn.
func (r *sshRun) turns(ctx context.Context, d sshDirection, ours, theirs sshWay, size int64) (comparison, error) {
	return takeTurns(r.bench.plan.reps,
		func() (float64, error) { return d.measure(ctx, ours, size) },
		func() (float64, error) { return d.measure(ctx, theirs, size) })
}

// dialSSH logs in with the library.
func dialSSH(l openssh.Login) (*ssh.Client, error) {
	auth := ssh.Password(l.Password)
	if l.KeyFile != "" {
		text, err := os.ReadFile(l.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read key: %w", err)
		}
		signer, err := ssh.ParsePrivateKey(text)
		if err != nil {
			return nil, fmt.Errorf("read key: %w", err)
		}
		auth = ssh.PublicKeys(signer)
	}
	c, err := ssh.Dial("tcp", l.Address, &ssh.ClientConfig{
		User: l.User, Auth: []ssh.AuthMethod{auth}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: patience, //nolint:gosec // on this machine
	})
	if err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	return c, nil
}

// terminal is a program that sits at one and echoes keys, as that does.
type terminal struct {
	client *ssh.Client
	in     io.Writer
	out    io.Reader
}

func openTerminal(l openssh.Login) (*terminal, error) {
	c, err := dialSSH(l)
	if err != nil {
		return nil, err
	}
	t := &terminal{client: c}
	if err := t.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open terminal: %w", err), c.Close())
	}
	return t, nil
}

func (t *terminal) open() error {
	s, err := t.client.NewSession()
	if err != nil {
		return err
	}
	if err := s.RequestPty("xterm", 24, 80, ssh.TerminalModes{}); err != nil {
		return err
	}
	if t.in, err = s.StdinPipe(); err != nil {
		return err
	}
	if t.out, err = s.StdoutPipe(); err != nil {
		return err
	}
	if err := s.Start("echo ready; exec cat"); err != nil {
		return err
	}
	_, err = io.ReadFull(t.out, make([]byte, len("ready\r\n")))
	return err
}

// key is how long it takes until a key is shown.
func (t *terminal) key() (time.Duration, error) {
	begin := time.Now()
	if _, err := t.in.Write([]byte("x")); err != nil {
		return 0, fmt.Errorf("press a key: %w", err)
	}
	if _, err := io.ReadFull(t.out, make([]byte, 1)); err != nil {
		return 0, fmt.Errorf("wait for a key to be shown: %w", err)
	}
	return time.Since(begin), nil
}

// keystrokes measures what the proxy adds to the time until a key is shown.
func (r *sshRun) keystrokes() error {
	l, err := r.login()
	if err != nil {
		return err
	}
	var took [2][]time.Duration
	var terminals [2]*terminal
	for i, l := range []openssh.Login{l, r.target.Login()} {
		if terminals[i], err = openTerminal(l); err != nil {
			return err
		}
		defer func() { _ = terminals[i].client.Close() }() // nothing is in it
	}
	for range r.bench.plan.sshKeys {
		for i, t := range terminals {
			d, err := t.key()
			if err != nil {
				return err
			}
			took[i] = append(took[i], d)
		}
	}
	ours, direct := median(took[0]), median(took[1])
	r.bench.table.under("SSH: a keystroke is shown later than without the proxy, p50", ours-direct, sshKeystroke,
		fmt.Sprintf("%v instead of %v; p99 %v instead of %v", brief(ours), brief(direct), brief(percentile(took[0], 99)), brief(percentile(took[1], 99))))
	return nil
}

// idle measures what sessions take in which nothing happens.
func (r *sshRun) idle(ctx context.Context) error {
	if err := pause(ctx, r.bench.plan.settle); err != nil {
		return err
	}
	before, err := r.node.memory()
	if err != nil {
		return err
	}
	for range r.bench.plan.sshIdle {
		l, err := r.login()
		if err != nil {
			return err
		}
		t, err := openTerminal(l)
		if err != nil {
			return err
		}
		defer func() { _ = t.client.Close() }() // nothing is in it
	}
	if err := pause(ctx, r.bench.plan.settle); err != nil {
		return err
	}
	after, err := r.node.memory()
	if err != nil {
		return err
	}
	growth := megabytes(max(after, before) - before)
	r.bench.table.less(fmt.Sprintf("SSH: %d idle sessions, growth of memory", r.bench.plan.sshIdle), "%.0f MB", growth, sshIdleMemory,
		fmt.Sprintf("%.0f MB before", megabytes(before)))
	return nil
}
