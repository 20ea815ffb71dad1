package fish

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// How long a test waits before it gives up: far more than the node may take,
// because other tests keep the machine busy.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 20 * time.Second
)

// shownRuns is how many of a node's runs a failed test shows, shownLines how
// much of each: the last ones.
const shownRuns, shownLines = 3, 400

// NodeName is the name of a node that its test does not name otherwise.
const NodeName = "test-node"

// Options says how to run a node. The zero value is good.
type Options struct {
	// Config is YAML that comes after the keys that the harness sets:
	// node_name, and addresses with port 0. A key given here replaces theirs.
	Config string
	// Dir is the working directory, in which the node makes fish_data.
	// Default: a fresh one.
	Dir string
	// Flags are added to the command line, Env to the environment.
	Flags []string
	Env   []string
	// Binary is run instead of the one that Main built.
	Binary string
	// AdminPassword is that of a directory in which a node ran before.
	AdminPassword string
	// Wrap is a command that becomes the binary, such as `nsenter --net=FILE`:
	// its process is the node's.
	Wrap []string
	// Dial connects the client where the node is not in the test's own
	// network. Default: the usual way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Node is one node under test. Its methods are for the test's goroutine.
type Node struct {
	Client               // as the admin
	Dir           string // the working directory
	AdminPassword string

	t       testing.TB
	options Options
	process *process
	runs    []*process
}

// process is one run of the binary.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *output
	exited         chan struct{} // closed when err is set
	err            error
}

// Start runs a node and returns when it serves. The node is stopped when the
// test ends.
func Start(t testing.TB, options Options) *Node {
	t.Helper()
	n := New(t, options)
	n.start()
	return n
}

// New prepares a node that does not run yet.
func New(t testing.TB, options Options) *Node {
	t.Helper()
	n := &Node{t: t, Dir: options.Dir, AdminPassword: options.AdminPassword, options: options}
	if n.Dir == "" {
		n.Dir = t.TempDir()
	}
	n.writeConfig()
	t.Cleanup(n.cleanup)
	return n
}

// writeConfig lays the test's keys over the harness'.
func (n *Node) writeConfig() {
	n.t.Helper()
	var b strings.Builder
	for _, d := range [][2]string{
		{"node_name", NodeName}, {"api_address", "127.0.0.1:0"},
		{"proxy_ssh_address", "127.0.0.1:0"}, {"proxy_socks_address", "127.0.0.1:0"},
	} {
		if !strings.HasPrefix(n.options.Config, d[0]+":") && !strings.Contains(n.options.Config, "\n"+d[0]+":") {
			fmt.Fprintf(&b, "%s: %s\n", d[0], d[1])
		}
	}
	b.WriteString(n.options.Config)
	if err := os.WriteFile(n.configFile(), []byte(b.String()), 0o600); err != nil {
		n.t.Fatalf("write config: %v", err)
	}
}

func (n *Node) configFile() string { return filepath.Join(n.Dir, "fish.yaml") }

// start runs the binary once more and waits until it serves.
func (n *Node) start() {
	n.t.Helper()
	n.Spawn()
	if err := n.Listening(); err != nil {
		n.t.Fatal(err)
	}
	n.WaitLine("Fish initialized")
}

// Listening waits until the API of this run listens and turns the client to
// it. An error says that it never will, or not in time.
func (n *Node) Listening() error {
	const mark = "API listening on: "
	line, err := n.process.stdout.find(mark, startTimeout)
	if err != nil {
		return err
	}
	_, address, _ := strings.Cut(line, mark)
	if password, ok := n.printedPassword(); ok {
		n.AdminPassword = password
	}
	client, err := NewClient("https://"+address, filepath.Join(n.Dir, "fish_data", "ca.crt"))
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	client.DialBy(n.options.Dial)
	n.Client = client.As("admin", n.AdminPassword)
	n.Client.t = n.t
	return nil
}

// Reconfigure sets the config and the environment of the next run.
func (n *Node) Reconfigure(config string, env ...string) {
	n.t.Helper()
	n.options.Config, n.options.Env = config, env
	n.writeConfig()
}

// Upgrade sets the binary of the next run; empty is the one that Main built.
func (n *Node) Upgrade(binary string) { n.options.Binary = binary }

// Spawn runs the binary once more and does not wait for it.
func (n *Node) Spawn() {
	n.t.Helper()
	args := append([]string{"--cfg", n.configFile()}, n.options.Flags...)
	p, err := spawn(command{n.options.Binary, n.Dir, n.options.Env, args, n.options.Wrap})
	if err != nil {
		n.t.Fatalf("start node: %v", err)
	}
	n.process = p
	n.runs = append(n.runs, p)
}

// command is what to run.
type command struct {
	binary, dir string
	env, args   []string
	wrap        []string // what starts the binary; empty: nothing
}

func spawn(c command) (*process, error) {
	if c.binary == "" {
		c.binary = os.Getenv(BinaryEnv)
	}
	if c.binary == "" {
		return nil, errors.New("no binary: call fish.Main in TestMain, or set " + BinaryEnv)
	}
	line := slices.Concat(c.wrap, []string{c.binary}, c.args)
	p := &process{
		cmd: exec.Command(line[0], line[1:]...), stdout: newOutput(), stderr: newOutput(), exited: make(chan struct{}),
	}
	p.cmd.Dir, p.cmd.Env = c.dir, append(append(os.Environ(), noCloud()...), c.env...)
	// Pipes of our own: an environment that lives on may hold the node's, and
	// must not keep the test from seeing that the node is gone.
	readers, err := p.pipes()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	_ = p.cmd.Stdout.(*os.File).Close() // the child has its own
	_ = p.cmd.Stderr.(*os.File).Close()
	go p.watch(readers)
	return p, nil
}

func (p *process) pipes() ([]*os.File, error) {
	out, outW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	errs, errsW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	p.cmd.Stdout, p.cmd.Stderr = outW, errsW
	return []*os.File{out, errs}, nil
}

// watch reads what the process prints and notes its end.
func (p *process) watch(readers []*os.File) {
	var reading sync.WaitGroup
	for i, o := range []*output{p.stdout, p.stderr} {
		reading.Go(func() { o.read(readers[i]) })
	}
	err := p.cmd.Wait()
	for _, r := range readers { // what it printed is in the pipe by now
		_ = r.SetReadDeadline(time.Now().Add(time.Second))
	}
	reading.Wait()
	for _, r := range readers {
		_ = r.Close()
	}
	p.err = err
	close(p.exited)
}

// WaitLine waits for a line of the node's log, in this run, that holds the
// text.
func (n *Node) WaitLine(text string) string {
	n.t.Helper()
	line, err := n.process.stdout.find(text, startTimeout)
	if err != nil {
		n.t.Fatal(err)
	}
	return line
}

// Lines returns what the node has printed in this run.
func (n *Node) Lines() (stdout, stderr []string) {
	stdout, _, _ = n.process.stdout.snapshot()
	stderr, _, _ = n.process.stderr.snapshot()
	return stdout, stderr
}

const passwordLine = "Admin user pass: "

// printedPassword is what stood at column 0 of stderr, or, in a run that made
// no admin, nothing. The line comes before the node says that it serves.
func (n *Node) printedPassword() (string, bool) {
	// Two pipes have no common order: the line may still be on its way.
	timeout := time.Second
	if n.AdminPassword != "" {
		timeout = 5 * time.Millisecond
	}
	line, err := n.process.stderr.find(passwordLine, timeout)
	if err != nil {
		return "", false
	}
	return strings.CutPrefix(line, passwordLine)
}

// PID is the process id of this run.
func (n *Node) PID() int { return n.process.cmd.Process.Pid }

// Signal sends one.
func (n *Node) Signal(s os.Signal) {
	n.t.Helper()
	if err := n.process.cmd.Process.Signal(s); err != nil {
		n.t.Fatalf("send %v: %v", s, err)
	}
}

// WaitExit waits until the node is gone and returns its exit code, -1 if a
// signal ended it.
func (n *Node) WaitExit() int {
	n.t.Helper()
	select {
	case <-n.process.exited:
	case <-time.After(stopTimeout):
		n.t.Fatalf("the node did not end within %v", stopTimeout)
	}
	return n.process.cmd.ProcessState.ExitCode()
}

// Stop ends the node by SIGTERM, checks that it was content, and returns how
// long that took.
func (n *Node) Stop() time.Duration {
	n.t.Helper()
	start := time.Now()
	n.Signal(syscall.SIGTERM)
	if code := n.WaitExit(); code != 0 {
		n.t.Errorf("the node ended with exit code %d, want 0", code)
	}
	return time.Since(start)
}

// Kill ends the node by SIGKILL: it gets no chance to do anything.
func (n *Node) Kill() {
	n.t.Helper()
	n.Signal(os.Kill)
	n.WaitExit()
}

// Exited is closed when this run has ended.
func (n *Node) Exited() <-chan struct{} { return n.process.exited }

// Running reports whether a run has begun and not ended.
func (n *Node) Running() bool {
	if n.process == nil {
		return false
	}
	select {
	case <-n.process.exited:
		return false
	default:
		return true
	}
}

// KillIfAlive ends the node by SIGKILL unless it has ended by itself.
func (n *Node) KillIfAlive() {
	n.t.Helper()
	if err := n.process.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		n.t.Fatalf("kill node: %v", err)
	}
	n.WaitExit()
}

// Start runs the ended node again, in the same directory.
func (n *Node) Start() {
	n.t.Helper()
	n.start()
}

// WaitReady waits until the node has caught up with its cluster and answers
// everything: at once where it knows of no other node.
func (n *Node) WaitReady() {
	n.t.Helper()
	n.WaitProbe("/readyz", "ok")
}

// WaitProbe waits until a probe, asked as nobody, answers with this word.
func (n *Node) WaitProbe(path, word string) {
	n.t.Helper()
	stranger := n.As("", "")
	EventuallyWithin(n.t, startTimeout, path+" answers "+word, func() bool {
		got := stranger.Request("GET", path, nil)
		return string(got.Body) == word+"\n" && (got.Status == 200) == (word == "ok")
	})
}

// Restart stops and starts.
func (n *Node) Restart() {
	n.t.Helper()
	n.Stop()
	n.Start()
}

// cleanup ends what runs, checks what was printed, and shows it on failure.
func (n *Node) cleanup() {
	for _, p := range n.runs {
		select {
		case <-p.exited:
		default:
			_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended just now
			select {
			case <-p.exited:
			case <-time.After(stopTimeout):
				n.t.Errorf("the node ignores SIGTERM")
				_ = p.cmd.Process.Kill()
				<-p.exited
			}
		}
	}
	for i, p := range n.runs {
		for _, o := range []*output{p.stdout, p.stderr} {
			if err := o.failure(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				n.t.Errorf("run %d: read what the node prints: %v", i, err)
			}
		}
		if n.t.Failed() && i >= len(n.runs)-shownRuns {
			n.t.Logf("run %d (%v) printed:\n%s", i, p.cmd.ProcessState, p.text())
		}
	}
}

// text is all that was printed, stderr last.
func (p *process) text() string {
	stdout, _, _ := p.stdout.snapshot()
	stderr, _, _ := p.stderr.snapshot()
	stdout, stderr = stdout[max(0, len(stdout)-shownLines):], stderr[max(0, len(stderr)-shownLines):]
	return strings.Join(slices.Concat(stdout, []string{"-- stderr:"}, stderr), "\n")
}

// Result is what a finished run of the binary left.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Run runs the binary in the directory until it ends by itself.
func Run(t testing.TB, dir string, args ...string) Result {
	t.Helper()
	p, err := spawn(command{dir: dir, args: args})
	if err != nil {
		t.Fatalf("run the binary: %v", err)
	}
	select {
	case <-p.exited:
	case <-time.After(startTimeout):
		_ = p.cmd.Process.Kill()
		<-p.exited
		t.Errorf("%v did not end within %v and printed:\n%s", args, startTimeout, p.text())
	}
	stdout, _, _ := p.stdout.snapshot()
	stderr, _, _ := p.stderr.snapshot()
	return Result{p.cmd.ProcessState.ExitCode(), strings.Join(stdout, "\n"), strings.Join(stderr, "\n")}
}

// noCloud keeps a node from AWS, whatever its config or this machine says: no
// test asks anybody outside of this machine.
func noCloud() []string {
	return []string{
		"AWS_ENDPOINT_URL=http://127.0.0.1:9", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	}
}
