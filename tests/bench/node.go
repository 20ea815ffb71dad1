package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// The limits of a node, as its users set them (and of what it is compared
// with).
const (
	nodeCores  = 2
	nodeMemory = "512M" // and the unit of whom it is for: 512MB in the config, 512MiB in Go
)

const nodeConfig = `node_name: bench
api_address: 127.0.0.1:0
proxy_socks_address: 127.0.0.1:0
proxy_ssh_address: 127.0.0.1:0
cpu_limit: %d
mem_target: %sB
drivers:
  - name: test
    cfg: {workspace_path: %q}
`

// installation is a node's folder and the binary that runs in it.
type installation struct {
	binary, dir string
	workspaces  string // folder for what the test driver makes
}

// install makes a folder in which a node has never run.
func (i installation) install() error {
	if err := os.MkdirAll(i.dir, 0o700); err != nil {
		return fmt.Errorf("create node folder: %w", err)
	}
	return i.configure()
}

// configure gives the node a workspace of its own.
func (i installation) configure() error {
	return i.write(fmt.Sprintf(nodeConfig, nodeCores, nodeMemory, filepath.Join(i.workspaces, filepath.Base(i.dir))))
}

// write gives the node a config of its own.
func (i installation) write(config string) error {
	if err := os.WriteFile(filepath.Join(i.dir, "fish.yaml"), []byte(config), 0o600); err != nil {
		return fmt.Errorf("write config: %w", err)
	}
	return nil
}

// copyTo is a second node that has lived the same life.
func (i installation) copyTo(dir string) (installation, error) {
	if err := os.CopyFS(dir, os.DirFS(i.dir)); err != nil {
		return i, fmt.Errorf("copy node folder: %w", err)
	}
	i.dir = dir
	return i, i.configure()
}

// data is a path below the node's `directory`.
func (i installation) data(name string) string { return filepath.Join(i.dir, "fish_data", name) }

// database is the file of the node's one database.
func (i installation) database() (string, error) {
	found, err := filepath.Glob(i.data("*/sqlite.db"))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("got %d, want 1", len(found))
	}
	if err != nil {
		return "", fmt.Errorf("find database: %w", err)
	}
	return found[0], nil
}

// node is a running node.
type node struct {
	server
	installation

	started       time.Duration // from exec to "Fish initialized"
	adminPassword string        // of a first start
	cmd           *exec.Cmd
	process       *process.Process
	output        *output
	exited        chan error // its one value is the end of the process
}

// start runs the node and returns when it says that it serves.
func (i installation) start(ctx context.Context) (*node, error) {
	n := &node{
		installation: i, cmd: exec.CommandContext(ctx, i.binary, "--cfg", "fish.yaml"),
		output: newOutput(), exited: make(chan error, 1),
	}
	n.cmd.Dir = i.dir
	n.cmd.Stdout, n.cmd.Stderr = n.output, n.output
	begin := time.Now()
	if err := n.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start node: %w", err)
	}
	go func() { n.exited <- n.cmd.Wait() }()
	select {
	case <-n.output.serving:
		n.started = time.Since(begin)
	case err := <-n.exited:
		return nil, fmt.Errorf("the node ended at its start: %w\n%s", err, n.output.text())
	case <-time.After(patience):
		return nil, errors.Join(fmt.Errorf("the node does not serve after %v\n%s", patience, n.output.text()), n.kill())
	}
	if err := n.connect(); err != nil {
		return nil, errors.Join(err, n.kill())
	}
	return n, nil
}

// connect learns what clients need.
func (n *node) connect() error {
	text := n.output.text()
	n.address = after(text, "API listening on: ")
	n.adminPassword = after(text, "Admin user pass: ")
	pem, err := os.ReadFile(n.data("ca.crt"))
	if err != nil {
		return fmt.Errorf("read CA: %w", err)
	}
	pool := x509.NewCertPool()
	if n.address == "" || !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("no address or no CA:\n%s", text)
	}
	n.tls = &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if n.process, err = process.NewProcess(int32(n.cmd.Process.Pid)); err != nil { //nolint:gosec // process ids fit
		return fmt.Errorf("find process: %w", err)
	}
	return nil
}

// after is the rest of the line behind a text.
func after(text, mark string) string {
	_, rest, _ := strings.Cut(text, mark)
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

// stop ends the node by SIGTERM and returns how long that took.
func (n *node) stop() (time.Duration, error) {
	begin := time.Now()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, fmt.Errorf("stop node: %w", err)
	}
	select {
	case err := <-n.exited:
		took := time.Since(begin)
		n.exited <- err // for another stop
		if err != nil {
			return took, fmt.Errorf("the node ended with: %w\n%s", err, n.output.text())
		}
		return took, nil
	case <-time.After(patience):
		return 0, errors.Join(fmt.Errorf("the node ignores SIGTERM\n%s", n.output.text()), n.kill())
	}
}

func (n *node) kill() error { return n.cmd.Process.Kill() }

// memory is the resident set in bytes.
func (n *node) memory() (uint64, error) {
	m, err := n.process.MemoryInfo()
	if err != nil {
		return 0, fmt.Errorf("read memory of node: %w", err)
	}
	return m.RSS, nil
}

// expect sends one request and expects 200.
func (c *conn) expect(request []byte) ([]byte, error) {
	a, err := c.do(request)
	if err != nil {
		return nil, err
	}
	if a.status != 200 {
		first, _, _ := bytes.Cut(request, []byte(" HTTP"))
		return nil, fmt.Errorf("%s: got %d %.300s", first, a.status, a.body)
	}
	return a.body, nil
}

// create makes an object and returns its UID.
func (c *conn) create(u user, path, body string) (string, error) {
	text, err := c.expect(post(u, path, body))
	if err != nil {
		return "", err
	}
	var object struct {
		UID string `json:"UID"`
	}
	if err := json.Unmarshal(text, &object); err != nil || object.UID == "" {
		return "", fmt.Errorf("POST %s: no UID in %.300s", path, text)
	}
	return object.UID, nil
}

// output takes what a node prints: all until it serves, which is little, then
// only the newest, as an access log of minutes would be gigabytes.
type output struct {
	serving chan struct{} // closed when it says so

	mu      sync.Mutex
	start   []byte
	newest  []byte
	isReady bool
}

func newOutput() *output { return &output{serving: make(chan struct{})} }

var _ io.Writer = (*output)(nil)

// Write takes a part.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.isReady {
		o.newest = append(o.newest[:0], p...)
		return len(p), nil
	}
	o.start = append(o.start, p...)
	if bytes.Contains(o.start, []byte("Fish initialized")) {
		o.isReady = true
		close(o.serving)
	}
	return len(p), nil
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.start) + string(o.newest)
}
