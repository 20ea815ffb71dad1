package farm

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

	"golang.org/x/sys/unix"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// checkReach compares who can connect to whose API with what is wanted.
func checkReach(t *testing.T, f *Farm, want func(from, to int) bool) {
	t.Helper()
	var asking sync.WaitGroup
	for from := range f.Members {
		for to := range f.Members {
			asking.Go(func() {
				wanted, err := want(from, to), f.Reach(from, to)
				for try := 0; wanted && err != nil && try < 9; try++ { // a busy machine may take longer than one
					err = f.Reach(from, to)
				}
				if (err == nil) != wanted {
					t.Errorf("node %d reaches node %d: %v, want %v", from, to, err, wanted)
				}
			})
		}
	}
	asking.Wait()
}

// TestNamespaces starts real nodes in each topology: A sees B, B sees C, and A
// does not see C, not even through B.
func TestNamespaces(t *testing.T) {
	for _, topology := range []Topology{Chain(3), Ring(4), Islands(2, 2), Hub(3), Full(3)} {
		t.Run(topology.Name, func(t *testing.T) {
			f := Start(t, Options{Topology: topology, Namespaces: true})
			checkReach(t, f, topology.Sees)
			for node := range f.Members {
				if err := f.Reach(node, node); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// heard sends so many datagrams from one node to another, and counts those
// that come; first is what the first one took.
func heard(t *testing.T, f *Farm, from, to, datagrams int) (came int, first time.Duration) {
	t.Helper()
	n := f.breakable()
	var ear net.PacketConn
	var mouth net.Conn
	err := errors.Join(
		n.within(to, func() (err error) {
			ear, err = net.ListenPacket("udp", host(to)+":9")
			return err
		}),
		n.within(from, func() (err error) {
			mouth, err = net.Dial("udp", host(to)+":9")
			return err
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(ear.Close(), mouth.Close()) }()
	raw, err := ear.(*net.UDPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20) })
	}
	if err != nil {
		t.Fatal(err)
	}
	sent := time.Now()
	go func() {
		for range datagrams {
			_, _ = mouth.Write([]byte("x"))   // what is refused does not come, and is missed
			time.Sleep(50 * time.Microsecond) // the ear has a small buffer
		}
	}()
	for came < datagrams {
		_ = ear.SetReadDeadline(time.Now().Add(time.Second))
		if _, _, err := ear.ReadFrom(make([]byte, 8)); err != nil {
			break
		}
		if came++; came == 1 {
			first = time.Since(sent)
		}
	}
	return came, first
}

// listening is a farm whose nodes do not run: what listens on the ports of
// their APIs is the test.
func listening(t *testing.T, topology Topology) *Farm {
	t.Helper()
	f := New(t, Options{Topology: topology, Namespaces: true})
	for node, m := range f.Members {
		err := f.breakable().within(node, func() error {
			l, err := net.Listen("tcp", m.Address)
			if err == nil {
				t.Cleanup(func() { _ = l.Close() })
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func TestCuts(t *testing.T) {
	f := listening(t, Full(3))
	all := func(int, int) bool { return true }
	checkReach(t, f, all)
	f.Cut(0, 1)
	checkReach(t, f, func(from, to int) bool { return from == to || from+to != 1 })
	f.Heal()
	checkReach(t, f, all)

	f.CutOneWay(0, 1)
	f.CutOneWay(0, 1) // is one fault, and healed at once
	if got, _ := heard(t, f, 0, 1, 3); got != 0 {
		t.Errorf("%d datagrams get through where all are dropped", got)
	}
	if got, _ := heard(t, f, 1, 0, 3); got != 3 {
		t.Errorf("%d of 3 datagrams get through against a one-way cut", got)
	}
	f.Heal()
	checkReach(t, f, all)

	f.Isolate(2)
	checkReach(t, f, func(from, to int) bool { return from == to || from != 2 && to != 2 })
	f.Heal()

	f.Lose(0, 2, 0.5)
	const sent = 400
	if got, _ := heard(t, f, 2, 0, sent); got < sent/4 || got > sent*3/4 {
		t.Errorf("%d of %d datagrams get through where half are lost", got, sent)
	}
	if got, _ := heard(t, f, 2, 1, sent); got != sent {
		t.Errorf("%d of %d datagrams get through on another link", got, sent)
	}
	f.Heal()
	if got, _ := heard(t, f, 2, 0, sent); got != sent {
		t.Errorf("%d of %d datagrams get through after the loss", got, sent)
	}
}

func TestDelay(t *testing.T) {
	const delay = 50 * time.Millisecond
	f := listening(t, Chain(3).Slow(delay))
	checkReach(t, f, Chain(3).Sees)
	for range 2 { // the first one asks for the other's hardware address
		if got, took := heard(t, f, 0, 1, 10); got != 10 || took < delay {
			t.Errorf("%d of 10 datagrams come, the first after %v, want %v and more", got, took, delay)
		}
	}
	f.Delay(0, 1, 0)
	fish.Eventually(t, "datagrams come without delay", func() bool {
		got, took := heard(t, f, 0, 1, 10)
		return got == 10 && took < delay
	})
	f.Delay(1, 2, 4*delay)
	if err := f.Reach(1, 2); err != nil {
		t.Error(err)
	}
}

// TestNetworkIsSwept: what a killed run left is removed by the next one, and
// what another one uses is not.
func TestNetworkIsSwept(t *testing.T) {
	f := listening(t, Full(2))
	left := prefix + "-1-1-dead-0" // process 1 did not start in the machine's first tick
	if err := run("ip", "netns", "add", left); err != nil {
		t.Fatal(err)
	}
	sleeper := exec.Command("nsenter", "--net="+filepath.Join(namespaceFolder, left), "sleep", "1000")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- sleeper.Wait() }()
	out := []byte{}
	for !strings.Contains(string(out), "\n") { // until it is inside
		out, _ = exec.Command("ip", "netns", "pids", left).Output()
	}
	if err := sweepNamespaces(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("a process in a name space that was left over lives on")
		_ = sleeper.Process.Signal(syscall.SIGKILL)
	}
	if _, err := os.Stat(filepath.Join(namespaceFolder, left)); !os.IsNotExist(err) {
		t.Errorf("a name space is left over: %v", err)
	}
	if err := f.Reach(0, 1); err != nil {
		t.Errorf("the name spaces in use are swept: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var timeout net.Error
	if _, err := f.network.dial(ctx, 0, "10.77.0.99:1"); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("an address of nobody answers with %v, want nothing", err)
	}
}

func TestDisk(t *testing.T) {
	needs.Machine(t, "to mount a small disk")
	path := t.TempDir()
	t.Run("full and free", func(t *testing.T) {
		d := newDisk(t, path, 4)
		d.Fill()
		if err := os.WriteFile(filepath.Join(path, "more"), []byte("x"), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("writing to a full disk: %v", err)
		}
		d.Free()
		if err := os.WriteFile(filepath.Join(path, "more"), make([]byte, 1<<20), 0o600); err != nil {
			t.Errorf("writing to a freed disk: %v", err)
		}
	})
	if _, err := os.Stat(filepath.Join(path, "more")); !os.IsNotExist(err) {
		t.Errorf("the disk is still there: %v", err)
	}
	if err := syscall.Mount(prefix+"-1-1-dead", path, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	if err := sweepDisks(); err != nil {
		t.Error(err)
	}
	if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Contains(string(mounts), path) {
		t.Errorf("a disk is left over (%v)", err)
	}
}

// TestFullDiskUnderANode: it says so, keeps what it acknowledged, and goes on
// when there is room again.
func TestFullDiskUnderANode(t *testing.T) {
	needs.Machine(t, "to mount a small disk")
	f := Start(t, Options{Topology: Full(1), Each: func(_ int, s *Settings) { s.DiskMB = 24 }})
	admin := f.Admin(0)
	kept := admin.CreateLabel(fish.TestLabel("kept", `{}`))
	f.Members[0].Disk.Fill()
	refused := false
	for version := 2; version < 3000 && !refused; version++ { // until the room in its own files is used up
		got := admin.Request("POST", "/api/v1/label/", []byte(strings.Replace(fish.TestLabel("kept", `{}`), `"version":1`, fmt.Sprintf(`"version":%d`, version), 1)))
		refused = got.Status >= 500
	}
	if !refused {
		t.Error("a full disk refuses nothing")
	}
	f.Members[0].Disk.Free()
	fish.Eventually(t, "the node writes again", func() bool {
		return admin.Request("POST", "/api/v1/label/", []byte(fish.TestLabel("again", `{}`))).Status == 200
	})
	if got := admin.Request("GET", "/api/v1/label/"+kept, nil); got.Status != 200 {
		t.Errorf("what was acknowledged before: %d", got.Status)
	}
}

// TestStrangers: a sweep never ends the test itself.
func TestStrangers(t *testing.T) {
	if got := strangers(fmt.Sprintf("7\n%d\n8\n", os.Getpid())); !slices.Equal(got, []int{7, 8}) {
		t.Errorf("strangers() = %v, want 7 and 8", got)
	}
}
