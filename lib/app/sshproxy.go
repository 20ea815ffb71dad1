package app

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/auth"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/proxy/asciicast"
	sshproxy "github.com/aquarium-fish/aquarium-fish/lib/proxy/ssh"
	"github.com/aquarium-fish/aquarium-fish/lib/proxy/ssh/relay"
)

const (
	// recordingsFolder is below the node's directory.
	recordingsFolder = "ssh_recordings"
	// pruneEvery is how often recordings are looked at that are too old or too many.
	pruneEvery = time.Hour
	// flushEvery is how often what was recorded is written: a crash costs little more.
	flushEvery = time.Second
)

// sshDoor is the SSH proxy of the node before what serves it is there.
type sshDoor struct {
	listener net.Listener
	key      ssh.Signer
	address  string
}

// listenSSH binds the SSH proxy's listener.
func (a *App) listenSSH(ctx context.Context, cfg *config.Config, key crypto.Signer) (*sshDoor, error) {
	signer, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		return nil, fmt.Errorf("use ssh host key %s: %w", cfg.SSHKey, err)
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cfg.ProxySSHAddress)
	if err != nil {
		return nil, fmt.Errorf("listen for ssh proxy: %w; set proxy_ssh_address to a free port, or to port 0 for any", err)
	}
	a.cleanups.add("ssh listener", func(context.Context) error {
		_ = listener.Close() // it is closed already if it was served
		return nil
	})
	return &sshDoor{listener: listener, key: signer, address: proxyAddress(listener.Addr(), cfg.NodeAddress)}, nil
}

// Address implements api.SSH.
func (d *sshDoor) Address() string { return d.address }

// HostKey implements api.SSH.
func (d *sshDoor) HostKey() []byte { return d.key.PublicKey().Marshal() }

// sshParts is what the SSH proxy is made of.
type sshParts struct {
	config   *config.Config
	door     *sshDoor
	executor *sshproxy.Local
	member   *member
	auth     *auth.Authenticator
	trail    *audit.Log
	log      *slog.Logger
}

// newSSHExecutor makes what reaches the environments of this node; left is called when nobody is logged in to one any more.
func newSSHExecutor(cfg *config.Config, node model.UID, db sshproxy.LocalStore, left func(app model.UID), log *slog.Logger) *sshproxy.Local {
	return sshproxy.NewLocal(sshproxy.LocalOptions{
		Node: node, Store: db, MaxSessions: int(cfg.ProxySSHMaxSessions), Grace: sshGrace(cfg), Left: left, Logger: log.With("component", "ssh"),
	})
}

// sshGrace is the configured grace as the proxy wants it, for which 0 is its default.
func sshGrace(cfg *config.Config) time.Duration {
	if cfg.ProxySSHGrace == 0 {
		return -1
	}
	return cfg.ProxySSHGrace
}

// addSSH makes the SSH proxy, and what serves other members' clients. It serves before the API does, and stops after it.
func (a *App) addSSH(p sshParts) error {
	log := p.log.With("component", "ssh")
	a.addPart("ssh executor", p.executor.Run)
	p.member.ssh = sshproxy.NewService(p.executor)
	a.addPart("ssh of other members", p.member.ssh.Run)
	recordings, err := a.addRecordings(p.config, log)
	if err != nil {
		return err
	}
	server, err := sshproxy.New(sshproxy.Options{
		Listener: p.door.listener, HostKey: p.door.key, Store: p.member.store, Node: p.member.node.UID, NodeName: p.member.node.Name,
		Executor: &sshproxy.Everywhere{Node: p.member.node.UID, Here: p.executor, Asker: p.member.client},
		Limits:   p.auth, Audit: p.trail, Recorder: recordings,
		MaxSessions: int(p.config.ProxySSHMaxSessions), Grace: sshGrace(p.config), Logger: log,
	})
	if err != nil {
		return fmt.Errorf("make ssh proxy: %w", err)
	}
	a.addPart("ssh proxy", server.Run)
	return nil
}

// serveSSH adds what other members ask of this node.
func (m *member) serveSSH(mux *http.ServeMux) {
	mux.HandleFunc("POST "+sshproxy.OpenPath, m.ssh.Open)
	mux.HandleFunc("POST "+sshproxy.UsePath, m.ssh.Use)
}

// recordings keeps what is seen on terminals. It implements sshproxy.Recorder.
type recordings struct {
	folder *asciicast.Folder
	limit  int64
	log    *slog.Logger

	mu    sync.Mutex
	count int                        // guarded by mu; tells the terminals of a session from each other
	open  map[*terminalFile]struct{} // guarded by mu
}

// addRecordings opens the folder of recordings, and keeps it small.
func (a *App) addRecordings(cfg *config.Config, log *slog.Logger) (*recordings, error) {
	folder, err := asciicast.OpenFolder(filepath.Join(cfg.Directory, recordingsFolder), asciicast.Limits{
		Age: cfg.ProxySSHRecordingsKeep, Bytes: int64(cfg.ProxySSHRecordingsSize), //nolint:gosec // checked to fit
	})
	if err != nil {
		return nil, fmt.Errorf("open ssh recordings: %w", err)
	}
	r := &recordings{
		folder: folder, limit: int64(cfg.ProxySSHRecordingSize), log: log, //nolint:gosec // checked to fit
		open: map[*terminalFile]struct{}{},
	}
	a.addPart("ssh recordings", func(ctx context.Context) error {
		r.prune(ctx)
		loop.Every(ctx, pruneEvery, r.prune)
		return nil
	})
	a.addPart("ssh recordings in use", func(ctx context.Context) error {
		loop.Every(ctx, flushEvery, r.flush)
		return nil
	})
	return r, nil
}

// flush writes what was shown a while ago and nothing followed.
func (r *recordings) flush(context.Context) {
	r.mu.Lock()
	files := slices.Collect(maps.Keys(r.open))
	r.mu.Unlock()
	for _, f := range files {
		_ = f.Flush(time.Now()) // a failure stays: who records next finds it, and ends the session
	}
}

func (r *recordings) prune(context.Context) {
	removed, err := r.folder.Prune(time.Now())
	if err != nil {
		r.log.Warn("old ssh recordings not removed", "error", err)
	}
	if len(removed) > 0 {
		r.log.Info("old ssh recordings removed", "count", len(removed))
	}
}

// Record implements sshproxy.Recorder.
func (r *recordings) Record(at time.Time, resource, session model.UID, t relay.Terminal) (relay.Recording, string, error) {
	r.mu.Lock()
	r.count++
	name := asciicast.Name{Resource: resource.String(), Session: session.String(), Terminal: r.count}
	r.mu.Unlock()
	f, err := r.folder.Create(name, asciicast.Header{Width: int(t.Cols), Height: int(t.Rows), Start: at, Term: t.Term}, r.limit)
	if err != nil {
		return nil, "", fmt.Errorf("record terminal: %w", err)
	}
	file := &terminalFile{f, r}
	r.mu.Lock()
	r.open[file] = struct{}{}
	r.mu.Unlock()
	return file, f.Path(), nil
}

// terminalFile is the recording of one terminal.
type terminalFile struct {
	*asciicast.File

	of *recordings
}

// Output implements relay.Recording.
func (f *terminalFile) Output(at time.Time, data []byte) error {
	return f.File.Output(at, asciicast.Stdout, data) //nolint:wrapcheck // it says what it is
}

// Resize implements relay.Recording.
func (f *terminalFile) Resize(at time.Time, cols, rows uint32) error {
	return f.File.Resize(at, int(cols), int(rows)) //nolint:wrapcheck // it says what it is
}

// Close implements relay.Recording.
func (f *terminalFile) Close() error {
	f.of.mu.Lock()
	delete(f.of.open, f)
	f.of.mu.Unlock()
	err := f.File.Close(time.Now())
	if err != nil {
		f.of.log.Error("end of an ssh recording not written", "file", f.Path(), "error", err)
	}
	return err //nolint:wrapcheck // it says what it is
}
