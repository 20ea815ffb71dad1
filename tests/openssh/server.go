//go:build linux

package openssh

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// daemon is where Debian and others put it: no PATH of a user leads there.
const daemon = "/usr/sbin/sshd"

// Tools are the programs that this package runs.
func Tools() []string { return []string{daemon, "ssh", "scp", "sftp", "ssh-agent", "ssh-add"} }

// ServerOptions says what server to run. Dir must be set.
type ServerOptions struct {
	// Dir is an existing folder for keys, config and log.
	Dir string
	// Listener is where it is reached. Default: a free port of 127.0.0.1.
	Listener net.Listener
	// User may log in, with Password if that is his. Default: who runs this,
	// with a key alone.
	User, Password string
	// Config are lines for sshd_config that win over those of this package.
	Config []string
}

// Server is an OpenSSH server for one user. Its methods may be called by
// several goroutines.
type Server struct {
	User, Password string
	// KeyFile is the private key that may log in.
	KeyFile string

	dir     string
	address *net.TCPAddr
	serving sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	closed   bool
	accepted int
	sessions map[*exec.Cmd]bool
	err      error // why it serves no more
}

// StartServer runs one until Close.
func StartServer(o ServerOptions) (*Server, error) {
	s := &Server{
		User: o.User, Password: o.Password, KeyFile: filepath.Join(o.Dir, "login_key"),
		dir: o.Dir, sessions: map[*exec.Cmd]bool{},
	}
	if s.User == "" {
		self, err := user.Current()
		if err != nil {
			return nil, fmt.Errorf("look for own account: %w", err)
		}
		s.User = self.Username
	}
	if err := s.configure(o.Config); err != nil {
		return nil, err
	}
	if o.Listener == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("listen for SSH: %w", err)
		}
		o.Listener = l
	}
	s.address = o.Listener.Addr().(*net.TCPAddr)
	s.listen(o.Listener)
	return s, nil
}

func (s *Server) listen(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener = l
	s.serving.Go(func() { s.serve(l) })
}

// Down has nobody listen any more, until Up. Sessions go on.
func (s *Server) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.listener.Close() // a second time does no harm
}

// Up listens again, where it did before.
func (s *Server) Up() error {
	l, err := net.ListenTCP("tcp", s.address)
	if err != nil {
		return fmt.Errorf("listen for SSH again: %w", err)
	}
	s.listen(l)
	return nil
}

// configure lays out the folder.
func (s *Server) configure(more []string) error {
	if os.Geteuid() == 0 { // the folder for the privileges that it gives up; a daemon's unit would make it
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return fmt.Errorf("make folder for sshd: %w", err)
		}
	}
	if err := s.makeHostKeys(); err != nil {
		return err
	}
	login, err := newECDSA(s.KeyFile)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.file("authorized_keys"), ssh.MarshalAuthorizedKey(login), 0o644); err != nil {
		return fmt.Errorf("write keys that may log in: %w", err)
	}
	text := strings.Join(append(append([]string{}, more...), s.config()...), "\n") + "\n" // the first of a key wins
	if err := os.WriteFile(s.file("sshd_config"), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write config of sshd: %w", err)
	}
	if out, err := exec.Command(daemon, "-t", "-f", s.file("sshd_config")).CombinedOutput(); err != nil {
		return fmt.Errorf("check config of sshd: %w: %s", err, out)
	}
	return nil
}

func (s *Server) config() []string {
	lines := []string{
		"HostKey " + s.file("host_ed25519"), "HostKey " + s.file("host_ecdsa"),
		"AuthorizedKeysFile " + s.file("authorized_keys"),
		"StrictModes no", // the folder is below one that all may write to
		"UsePAM no", "UseDNS no", "PrintMotd no", "PrintLastLog no", "PermitUserRC no",
		"PidFile none", "LogLevel VERBOSE",
		"AddressFamily inet", // a port that is forwarded is free, or it is not
		"PermitRootLogin yes", "PasswordAuthentication yes", "KbdInteractiveAuthentication no", "MaxAuthTries 100",
		"MaxSessions 1000",
		"AllowAgentForwarding yes", "AllowTcpForwarding yes", "AllowStreamLocalForwarding yes", "PermitTunnel yes",
		"X11Forwarding yes", "X11UseLocalhost yes", "StreamLocalBindUnlink yes",
		"AcceptEnv FISH_* LC_*",
		"Subsystem sftp internal-sftp",
	}
	if err := exec.Command(daemon, "-t", "-f", "/dev/null", "-h", s.file("host_ecdsa"), "-o", "PerSourcePenalties=no").Run(); err == nil {
		lines = append(lines, "PerSourcePenalties no") // of OpenSSH 9.8: one address logs in all the time here
	}
	return lines
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// NewHostKeys gives the server other keys, as an environment has that was made
// anew: connections from now on see them, until restore brings the old ones
// back.
func (s *Server) NewHostKeys() (restore func() error, err error) {
	old := map[string][]byte{}
	for _, name := range []string{"host_ed25519", "host_ecdsa"} {
		if old[name], err = os.ReadFile(s.file(name)); err != nil {
			return nil, fmt.Errorf("read host key: %w", err)
		}
	}
	restore = func() (err error) {
		for name, text := range old {
			err = errors.Join(err, os.WriteFile(s.file(name), text, 0o600))
		}
		return err
	}
	return restore, s.makeHostKeys()
}

func (s *Server) makeHostKeys() error {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make host key: %w", err)
	}
	if err := writeKey(s.file("host_ed25519"), ed); err != nil {
		return err
	}
	if _, err := newECDSA(s.file("host_ecdsa")); err != nil {
		return err
	}
	return nil
}

// newECDSA makes a private key in a file.
func newECDSA(file string) (ssh.PublicKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	if err := writeKey(file, key); err != nil {
		return nil, err
	}
	return ssh.NewPublicKey(key.Public())
}

func writeKey(file string, key any) error {
	block, err := ssh.MarshalPrivateKey(key, "test")
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	return nil
}

// Port is where it is reached.
func (s *Server) Port() int { return s.address.Port }

// Key is the private key that may log in, as text.
func (s *Server) Key() (string, error) {
	text, err := os.ReadFile(s.KeyFile)
	return string(text), err
}

// Login is how its user comes in directly, with the key.
func (s *Server) Login() Login {
	return Login{Address: s.address.String(), User: s.User, KeyFile: s.KeyFile}
}

// serve hands out connections until its listener is closed.
func (s *Server) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.fail(err)
			}
			return
		}
		if err := s.session(conn.(*net.TCPConn)); err != nil {
			s.fail(err)
		}
	}
}

func (s *Server) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
}

// session runs an sshd for one connection.
func (s *Server) session(conn *net.TCPConn) error {
	defer func() { _ = conn.Close() }() // the process has its own
	f, err := conn.File()
	if err != nil {
		return fmt.Errorf("hand over connection: %w", err)
	}
	defer func() { _ = f.Close() }() // likewise
	cmd := exec.Command(daemon, "-i", "-f", s.file("sshd_config"), "-E", s.file("log"))
	cmd.Stdin, cmd.Stdout = f, f
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run sshd: %w", err)
	}
	s.accepted++
	s.sessions[cmd] = true
	s.serving.Go(func() {
		_ = cmd.Wait() // how it ends says the log
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.sessions, cmd)
	})
	return nil
}

// Accepted is how many connections there were so far, Sessions how many are
// left.
func (s *Server) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Sessions is how many connections are served now.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Kill ends all sessions at once and with all that runs in them, as a machine
// does whose power is cut. New ones are served.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for cmd := range s.sessions {
		killTree(cmd.Process.Pid)
	}
}

// Freeze stops all sessions where they are, as a machine does that hangs.
func (s *Server) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for cmd := range s.sessions {
		stopTree(cmd.Process.Pid)
	}
}

// Log is what the server noted so far.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.file("log"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err.Error()
	}
	return string(text)
}

// Close ends all sessions and the server, and returns what went wrong with it
// since its start.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.Down()
	s.Kill()
	s.serving.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
