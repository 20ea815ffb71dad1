package farm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// namespaceFolder is where `ip netns` keeps its name spaces.
const namespaceFolder = "/run/netns"

// Namespaces are one network name space for each node. A node has one address,
// on lo, and a veth pair, or a wire, to each node that it sees, with a route
// to that one's address. Whatever else it sends vanishes, as behind a firewall
// that answers nothing.
type Namespaces struct {
	t        testing.TB
	topology Topology
	name     string
	wires    map[Link]*wire
	broken   map[rule]bool // the rules of iptables that are in force
}

// newNamespaces makes the network of the topology, and removes it when the
// test ends.
func newNamespaces(t testing.TB, topology Topology) *Namespaces {
	t.Helper()
	needs.Machine(t, "to make network name spaces")
	for _, tool := range []string{"ip", "nsenter", "iptables"} {
		if _, err := exec.LookPath(tool); err != nil {
			needs.Lacking(t, "needs the tool", tool)
		}
	}
	if err := sweepNamespaces(); err != nil {
		t.Fatal(err)
	}
	n := &Namespaces{t: t, topology: topology, name: ownName(), wires: map[Link]*wire{}, broken: map[rule]bool{}}
	t.Cleanup(n.remove)
	for node := range topology.Nodes {
		n.check(n.makeNode(node))
	}
	for _, link := range topology.Links {
		n.check(n.makeLink(link))
	}
	return n
}

func (n *Namespaces) check(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *Namespaces) namespace(node int) string { return fmt.Sprintf("%s-%d", n.name, node) }

func (n *Namespaces) file(node int) string { return filepath.Join(namespaceFolder, n.namespace(node)) }

// host is the one address of a node, the same in every farm: name spaces do
// not know of each other.
func host(node int) string { return fmt.Sprintf("10.77.0.%d", node+1) }

func (n *Namespaces) address(node int) string {
	return net.JoinHostPort(host(node), strconv.Itoa(port))
}

func (n *Namespaces) wrap(node int) []string {
	return []string{"nsenter", "--net=" + n.file(node), "--"}
}

// makeNode makes a name space whose lo has the node's address, and a way out
// that leads nowhere.
func (n *Namespaces) makeNode(node int) error {
	ns := n.namespace(node)
	if err := run("ip", "netns", "add", ns); err != nil {
		return err
	}
	err := n.within(node, func() error { // what is the default here is that of the machine
		for path, value := range map[string]string{
			"ipv4/ip_forward": "0", "ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0",
			"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1",
		} {
			err := os.WriteFile("/proc/sys/net/"+path, []byte(value), 0)
			if errors.Is(err, os.ErrNotExist) && strings.HasPrefix(path, "ipv6") {
				continue // a kernel without it
			}
			if err != nil {
				return fmt.Errorf("set %s: %w", path, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return n.batch(node,
		"link set lo up", "addr add "+host(node)+"/32 dev lo",
		"link add void type veth peer name nowhere", "link set void arp off up", "link set nowhere arp off up",
		"route add default dev void src "+host(node),
	)
}

// makeLink lets two nodes see each other.
func (n *Namespaces) makeLink(l Link) error {
	a, b := fmt.Sprintf("to%d", l.B), fmt.Sprintf("to%d", l.A)
	if l.Delay > 0 {
		w, err := n.newWire(l, a, b)
		if err != nil {
			return err
		}
		n.wires[l] = w
	} else {
		err := run("ip", "link", "add", a, "netns", n.namespace(l.A), "type", "veth", "peer", "name", b, "netns", n.namespace(l.B))
		if err != nil {
			return err
		}
	}
	return errors.Join(
		n.batch(l.A, "link set "+a+" up", "route add "+host(l.B)+"/32 dev "+a+" src "+host(l.A)),
		n.batch(l.B, "link set "+b+" up", "route add "+host(l.A)+"/32 dev "+b+" src "+host(l.B)),
	)
}

// batch runs commands of `ip` in the node's name space.
func (n *Namespaces) batch(node int, commands ...string) error {
	cmd := exec.Command("ip", "-n", n.namespace(node), "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n"))
	return output(cmd)
}

func run(name string, args ...string) error { return output(exec.Command(name, args...)) }

// within calls f on a thread that is in the node's name space. Sockets made
// there stay there.
func (n *Namespaces) within(node int, f func() error) error { return within(n.file(node), f) }

func within(file string, f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open own name space: %w", err)
	}
	defer func() { _ = home.Close() }() // only a handle
	there, err := os.Open(file)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open name space: %w", err)
	}
	defer func() { _ = there.Close() }()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter name space: %w", err)
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("leave name space: %w", back)) // the thread stays locked and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

func (n *Namespaces) dial(ctx context.Context, node int, address string) (net.Conn, error) {
	var conn net.Conn
	err := n.within(node, func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", address)
		return err
	})
	return conn, err
}

func (n *Namespaces) listen(node int, address string) (net.Listener, error) {
	var l net.Listener
	err := n.within(node, func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	return l, err
}

// remove takes the network away; the nodes are stopped by then.
func (n *Namespaces) remove() {
	for _, w := range n.wires {
		w.close()
	}
	for node := range n.topology.Nodes {
		if err := removeNamespace(n.namespace(node)); err != nil {
			n.t.Error(err)
		}
	}
}

// sweepNamespaces removes what farms left whose process was killed.
func sweepNamespaces() error {
	entries, err := os.ReadDir(namespaceFolder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for name spaces: %w", err)
	}
	for _, e := range entries {
		if leftOver(e.Name()) {
			err = errors.Join(err, removeNamespace(e.Name()))
		}
	}
	return err
}

// removeNamespace ends what runs in a name space of ours, and removes it.
func removeNamespace(name string) error {
	gone := func() bool { // never made, or another one sweeps too
		_, err := os.Stat(filepath.Join(namespaceFolder, name))
		return errors.Is(err, os.ErrNotExist)
	}
	if gone() {
		return nil
	}
	out, err := exec.Command("ip", "netns", "pids", name).Output()
	if err != nil {
		if gone() {
			return nil
		}
		return fmt.Errorf("look into name space %s: %w", name, err)
	}
	for _, pid := range strangers(string(out)) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // gone already is good
	}
	if err := run("ip", "netns", "del", name); err != nil && !gone() {
		return err
	}
	return nil
}

// strangers are the processes of a list but this one: a connection that is
// still being made may have our first thread in a name space for a moment.
func strangers(list string) (pids []int) {
	for _, text := range strings.Fields(list) {
		if pid, err := strconv.Atoi(text); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}
