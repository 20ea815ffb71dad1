//go:build linux

package proxy

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// bulk is how much goes through in each direction: 1 GiB where there is time.
func bulk() int64 {
	if needs.Long() {
		return 1 << 30
	}
	return 64 << 20
}

// drowsy is a reader that now and then takes a while.
type drowsy struct {
	from  io.Reader
	until int64 // bytes that are read slowly
	each  time.Duration
}

func (d *drowsy) Read(p []byte) (int, error) {
	if d.until > 0 {
		time.Sleep(d.each) // this is what it is for
		p = p[:min(len(p), 64<<10)]
	}
	n, err := d.from.Read(p)
	d.until -= int64(n)
	return n, err
}

// TestSSHBulk: all of it arrives, whoever reads how slowly, and nothing of it is held in memory meanwhile.
func TestSSHBulk(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	size := bulk()
	there := filepath.Join(open(t), "bulk")
	writeNoise(t, there, 11, size)
	if err := os.Chmod(there, 0o644); err != nil {
		t.Fatal(err)
	}
	want := sumOf(t, noise(11, size))
	before := memory(t, r.node.PID())

	got := run(t, command(t, r.login(t), nil, "ssh", "env", "sha256sum"), noise(11, size))
	if got != (result{Stdout: want}) {
		t.Errorf("there, with the end of input: %+v, want %s", got, want)
	}
	slowly := command(t, r.login(t), nil, "ssh", "env", "head -c 16777216 | sha256sum; sleep 1; cat | sha256sum")
	all := noise(11, size)
	wantSlowly := result{Stdout: sumOf(t, io.LimitReader(all, 16777216)) + sumOf(t, all)}
	if got := run(t, slowly, noise(11, size)); got != wantSlowly {
		t.Errorf("there, to a slow reader: %+v, want %+v", got, wantSlowly)
	}
	for name, until := range map[string]int64{"back": 0, "back, to a slow reader": 16 << 20} {
		cmd := command(t, r.login(t), nil, "ssh", "-n", "env", "cat "+there)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		got := sumOf(t, &drowsy{out, until, 2 * time.Millisecond})
		if err := cmd.Wait(); err != nil || got != want {
			t.Errorf("%s: %v, %s, want %s", name, err, got, want)
		}
	}
	if took := memory(t, r.node.PID()) - before; took > 64<<20 {
		t.Errorf("the node takes %d MB more than before", took>>20)
	}
}

// TestSSHBulkInParallel: 64 channels of one connection share it, and all arrives.
func TestSSHBulkInParallel(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	c := dial(t, r.login(t))
	const channels = 64
	failed := make(chan error, channels)
	for i := range channels {
		go func() { failed <- through(c, uint64(i), bulk()/channels) }()
	}
	for range channels {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// TestSSHTargetDies: what was not sent to its end is no success, others go on, and nothing is left of it.
func TestSSHTargetDies(t *testing.T) {
	t.Parallel()
	r, other := newRig(t, ""), newEnvironment(t, nil)
	otherApp := allocate(t, r.node.Client, other.byKey())
	before := goroutines(t, r.node.Client)
	neighbour := dial(t, accessTo(r.node.Client, otherApp).byKey(t))
	done := make(chan error, 1)
	go func() { done <- through(neighbour, 1, 16<<20) }()

	results := make(chan string, 4)
	for i := range cap(results) {
		cmd := command(t, r.login(t), nil, "ssh", "env", []string{"cat /dev/zero", "cat >/dev/null"}[i%2])
		cmd.Stdin = endless{}
		seen := &lines{}
		cmd.Stderr = seen
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			n, _ := io.Copy(io.Discard, out) // the exit code is what counts
			err := cmd.Wait()
			results <- fmt.Sprint(n > 0, " ", err)
		}()
	}
	r.flowing(t, 4)
	r.env.Kill()
	for range cap(results) {
		if got := <-results; !strings.HasSuffix(got, "exit status 255") {
			t.Errorf("a transfer whose environment died: %s, want exit status 255", got)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("a session with another environment: %v", err)
	}
	_ = neighbour.Close()
	backTo(t, r.node.Client, before)
}

// endless are zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// flowing waits until so many sessions are in the environment.
func (r *rig) flowing(t *testing.T, sessions int) {
	t.Helper()
	begun := time.Now()
	for r.env.Sessions() < sessions || time.Since(begun) < 500*time.Millisecond { // some of it is to be on its way
		time.Sleep(10 * time.Millisecond)
		if time.Since(begun) > sshTime {
			t.Fatalf("%d sessions are in the environment, want %d", r.env.Sessions(), sessions)
		}
	}
}
