//go:build linux

package dockerd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// network is a network name space that lives as long as somebody holds it: this
// handle, or a process in it. Its bridges and its iptables go with it.
type network struct {
	handle *os.File
}

const ownNetwork = "/proc/thread-self/ns/net"

// newNetwork makes one in which the loopback address works and which leads nowhere.
func newNetwork() (*network, error) {
	n := &network{}
	err := aside(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network name space: %w", err)
		}
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			return fmt.Errorf("set lo up: %w: %s", err, out)
		}
		var err error
		n.handle, err = os.Open(ownNetwork)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *network) close() error {
	if n.handle == nil {
		return nil
	}
	return n.handle.Close()
}

// within calls f on a thread that is in the name space. Sockets and processes
// made there stay there.
func (n *network) within(f func() error) error {
	return aside(func() error {
		if err := unix.Setns(int(n.handle.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network name space: %w", err)
		}
		return f()
	})
}

// aside calls f on a thread whose network name space it may change.
func aside(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open(ownNetwork)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open own network name space: %w", err)
	}
	defer func() { _ = home.Close() }() // only a handle
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("leave network name space: %w", back)) // the thread stays locked and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// NetworkFile is the engine's network name space, as `nsenter --net=FILE` takes it.
func (s *Server) NetworkFile() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), s.network.handle.Fd())
}

// Wrap begins the command line of a program that is to run in the engine's
// network name space. `ip netns exec` would hide the cgroups.
func (s *Server) Wrap() []string { return []string{"nsenter", "--net=" + s.NetworkFile(), "--"} }

// Dial connects to an address in the engine's network name space.
func (s *Server) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := s.network.within(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

func (s *Server) listen(address string) (net.Listener, error) {
	var l net.Listener
	err := s.network.within(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	return l, err
}

func (s *Server) dialEngine(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", s.Socket())
}
