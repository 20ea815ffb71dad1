package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// linkRate is what `tc` lets through each way. Its bucket is what a link of this
// rate carries in 2 ms, as kernels look at it a few hundred times a second.
const (
	linkRate   = "1gbit"
	linkBucket = "256kb"
)

// The two ends of the link, in a network that nobody else uses.
const (
	linkHere  = "10.78.0.1"
	linkThere = "10.78.0.2"
)

// link is a link to another machine: a name space of the network, behind a
// pair of interfaces that let only so much through.
type link struct{ name string }

// newLink makes one, or says what is missing for it.
func newLink() (l *link, missing string, err error) {
	if os.Geteuid() != 0 {
		return nil, "a link of 1 Gbit/s needs root", nil
	}
	for _, tool := range []string{"ip", "tc", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, err.Error(), nil //nolint:nilerr // that is what is missing
		}
	}
	l = &link{fmt.Sprintf("fb%d", os.Getpid())}
	here, there := l.name+"h", l.name+"t"
	for _, command := range []string{
		"ip netns add " + l.name,
		"ip link add " + here + " type veth peer name " + there + " netns " + l.name,
		"ip addr add " + linkHere + "/30 dev " + here,
		"ip link set " + here + " up",
		"ip -n " + l.name + " addr add " + linkThere + "/30 dev " + there,
		"ip -n " + l.name + " link set lo up",
		"ip -n " + l.name + " link set " + there + " up",
		"tc qdisc add dev " + here + " root tbf rate " + linkRate + " burst " + linkBucket + " latency 50ms",
		"tc -n " + l.name + " qdisc add dev " + there + " root tbf rate " + linkRate + " burst " + linkBucket + " latency 50ms",
	} {
		if err := ipCommand(command); err != nil {
			return nil, "", errors.Join(err, l.close())
		}
	}
	return l, "", nil
}

func ipCommand(line string) error {
	words := strings.Fields(line)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, out)
	}
	return nil
}

// close removes the name space, and with it both interfaces.
func (l *link) close() error { return ipCommand("ip netns del " + l.name) }

func (l *link) file() string { return filepath.Join("/run/netns", l.name) }

// there has a command run at the other end.
func (l *link) there(cmd *exec.Cmd) (*exec.Cmd, error) {
	enter, err := exec.LookPath("nsenter")
	if err != nil {
		return nil, err
	}
	cmd.Path, cmd.Args = enter, slices.Concat([]string{enter, "--net=" + l.file(), "--"}, cmd.Args)
	return cmd, nil
}

// listen listens at the other end.
func (l *link) listen() (net.Listener, error) {
	type result struct {
		listener net.Listener
		err      error
	}
	listening := make(chan result)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with its goroutine, as it stays there
		f, err := os.Open(l.file())
		if err == nil {
			defer func() { _ = f.Close() }() // only a handle
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			listening <- result{nil, fmt.Errorf("enter name space: %w", err)}
			return
		}
		listener, err := net.Listen("tcp", linkThere+":0")
		listening <- result{listener, err}
	}()
	r := <-listening
	return r.listener, r.err
}

// measureLink measures both proxies where the network is what limits them, turn
// by turn with who does without.
func (b *bench) measureLink(ctx context.Context) error {
	l, missing, err := newLink()
	if err != nil {
		return err
	}
	if missing != "" {
		b.table.note("link of 1 Gbit/s", "not measured", missing)
		return nil
	}
	return errors.Join(b.overLink(ctx, l), l.close())
}

func (b *bench) overLink(ctx context.Context, l *link) error {
	i, err := b.template.copyTo(filepath.Join(b.dir, "link"))
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(i.dir) }() // with the run's folder at the latest
	config := fmt.Sprintf(nodeConfig, nodeCores, nodeMemory, filepath.Join(i.workspaces, filepath.Base(i.dir)))
	config = strings.Replace(config, "proxy_ssh_address: 127.0.0.1:0", "proxy_ssh_address: "+linkHere+":0", 1)
	if err := i.write(config); err != nil {
		return err
	}
	n, err := i.start(ctx)
	if err != nil {
		return err
	}
	err = b.socksOverLink(ctx, n, l)
	if err == nil {
		err = b.sshOverLink(ctx, n, l)
	}
	_, stopErr := n.stop()
	return errors.Join(err, stopErr)
}

// sshOverLink has the client at the other end.
func (b *bench) sshOverLink(ctx context.Context, n *node, l *link) (err error) {
	dir := filepath.Join(b.dir, "link-ssh")
	listener, err := net.Listen("tcp", linkHere+":0")
	if err != nil {
		return fmt.Errorf("listen for SSH: %w", err)
	}
	far, err := startSSHServer(filepath.Join(dir, "far"), listener) // reached over the link
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, far.Close()) }()
	near, err := startSSHServer(filepath.Join(dir, "near"), nil) // reached by the node
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, near.Close()) }()
	r := &sshRun{target: far}
	if r.client, err = newSSHClient(filepath.Join(dir, "client")); err != nil {
		return err
	}
	login, err := loginOf(near)
	if err != nil {
		return err
	}
	if r.sshSite, err = b.newSSHSite(ctx, n, login); err != nil {
		return err
	}
	defer r.close()
	there := func(way sshWay) sshWay {
		return func(ctx context.Context, command string) (*exec.Cmd, error) {
			cmd, err := way(ctx, command)
			if err != nil {
				return nil, err
			}
			return l.there(cmd)
		}
	}
	for _, d := range sshDirections() {
		got, err := r.turns(ctx, d, there(r.proxied), there(r.direct), b.plan.linkBytes)
		if err != nil {
			return err
		}
		b.table.atLeast("SSH on a link of 1 Gbit/s: throughput "+d.name+", of direct", "%.0f %%", 100*got.ratio, 100*overDirect, got.String())
	}
	return nil
}

// socksOverLink has what the environment reaches at the other end.
func (b *bench) socksOverLink(ctx context.Context, n *node, l *link) error {
	api, err := n.dial(ctx)
	if err != nil {
		return err
	}
	defer api.close()
	admin := user{"admin", b.adminPassword}
	if _, err := (life{api, admin, b.label, eagerPause}).create(ctx); err != nil {
		return err
	}
	listener, err := l.listen()
	if err != nil {
		return err
	}
	depot := openDepot(listener)
	defer depot.close()
	address := listener.Addr().String()
	mapping := fmt.Sprintf(`{"service":%q,"redirect":%q}`, depotName, address)
	if _, err := api.create(admin, "/api/v1/servicemapping/", mapping); err != nil {
		return err
	}
	proxy := after(n.output.text(), "PROXYSOCKS listening on: ")
	through := func(ctx context.Context) (net.Conn, error) { return bySOCKS(ctx, proxy, depotName) }
	direct := func(ctx context.Context) (net.Conn, error) { return dialTCP(ctx, address) }
	for _, d := range depotDirections() {
		got, err := takeTurns(b.plan.reps,
			func() (float64, error) { return d.measure(through, ctx, b.plan.linkBytes) },
			func() (float64, error) { return d.measure(direct, ctx, b.plan.linkBytes) })
		if err != nil {
			return err
		}
		b.table.atLeast("SOCKS on a link of 1 Gbit/s: throughput "+d.name+", of direct", "%.0f %%", 100*got.ratio, 100*overDirect, got.String())
	}
	return nil
}
