package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// farmConfig is that of one of several nodes: like nodeConfig, with an address
// that the others know.
const farmConfig = `node_name: %s
node_address: %s
api_address: %s
proxy_socks_address: 127.0.0.1:0
proxy_ssh_address: 127.0.0.1:0
cpu_limit: %d
mem_target: %sB
drivers:
  - name: test
    cfg: {workspace_path: %q}
`

// farmSize is how many nodes there are on this machine.
const farmSize = 3

// member prepares the node of that number of a farm: the first is a copy of the
// seed, the others have its CA and nothing else, and join the nodes before
// them.
func (b *bench) member(number int, addresses []string) (installation, error) {
	i := b.place()
	if number > 0 {
		return i, b.newcomer(i, b.seed.dir, number, addresses)
	}
	err := b.firstMember(&i, addresses[0])
	if err == nil {
		err = i.writeMember(0, addresses)
	}
	return i, err
}

// place is where the next node of the run goes.
func (b *bench) place() installation {
	b.nodes++
	return installation{b.seed.binary, filepath.Join(b.dir, fmt.Sprintf("node-%d", b.nodes)), b.workspaces}
}

// writeMember writes the config of the node of that number.
func (i installation) writeMember(number int, addresses []string) error {
	name := "bench"
	if number > 0 {
		name = fmt.Sprintf("bench-%d", number)
	}
	text := fmt.Sprintf(farmConfig, name, addresses[number], addresses[number], nodeCores, nodeMemory,
		filepath.Join(i.workspaces, filepath.Base(i.dir)))
	for at, other := range addresses[:number] {
		if at == 0 {
			text += "cluster_join:\n"
		}
		text += "- " + other + "\n"
	}
	return i.write(text)
}

// firstMember moves the database to where the node's address says.
func (b *bench) firstMember(i *installation, address string) error {
	copied, err := b.seed.copyTo(i.dir)
	if err != nil {
		return err
	}
	*i = copied
	file, err := i.database()
	if err != nil {
		return err
	}
	if err := os.Rename(filepath.Dir(file), i.data(address)); err != nil {
		return fmt.Errorf("move database: %w", err)
	}
	return nil
}

// newcomer prepares a node that has the CA of another one, with which it signs
// its own certificate.
func (b *bench) newcomer(i installation, other string, number int, addresses []string) error {
	if err := os.MkdirAll(i.data(""), 0o700); err != nil {
		return fmt.Errorf("create node folder: %w", err)
	}
	for _, name := range []string{"ca.crt", "ca.key"} {
		text, err := os.ReadFile(installation{dir: other}.data(name))
		if err == nil {
			err = os.WriteFile(i.data(name), text, 0o600)
		}
		if err != nil {
			return fmt.Errorf("copy CA: %w", err)
		}
	}
	return i.writeMember(number, addresses)
}

// freeAddresses are some on which nobody listens. They are below the ports that a
// system gives to connections by itself: nodes come back to them later, and one of
// those might be taken meanwhile.
func freeAddresses(n int) (list []string, err error) {
	const first, last = 20_000, 30_000 // Linux gives from 32768, others from 49152
	for range last - first {
		address := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(last-first))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		_ = l.Close()
		if !slices.Contains(list, address) {
			list = append(list, address)
		}
		if len(list) == n {
			return list, nil
		}
	}
	return nil, fmt.Errorf("no %d ports from %d to %d are free", n, first, last)
}

// withFarm runs f with three nodes that know each other, and stops and removes
// them.
func (b *bench) withFarm(ctx context.Context, f func(nodes []*node) error) (err error) {
	addresses, err := freeAddresses(farmSize)
	if err != nil {
		return err
	}
	var nodes []*node
	defer func() {
		for _, n := range nodes {
			_, stopErr := n.stop()
			err = errors.Join(err, stopErr, os.RemoveAll(n.dir))
		}
	}()
	for number := range farmSize {
		i, err := b.member(number, addresses)
		if err != nil {
			return err
		}
		n, err := i.start(ctx)
		if err != nil {
			return err
		}
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		if err := b.joined(ctx, n); err != nil {
			return err
		}
	}
	return f(nodes)
}

// joined waits until a node has caught up and sees all others at work.
func (b *bench) joined(ctx context.Context, n *node) error {
	c, err := n.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	ready := func() (bool, error) {
		a, err := c.do(get(user{}, "/readyz"))
		return a.status == 200, err
	}
	if err := until(ctx, "the node is ready", crowdPause, ready); err != nil {
		return err
	}
	client, done := n.client()
	defer done()
	return until(ctx, "all see each other", crowdPause, func() (bool, error) {
		members, err := n.members(ctx, client, user{"admin", b.adminPassword})
		active := 0
		for _, m := range members {
			if m.State == "active" {
				active++
			}
		}
		return active == farmSize, err
	})
}

// clusterMember is one as a node shows it.
type clusterMember struct {
	Name, State string
	Lag         uint64
}

// members asks the node for them.
func (n *node) members(ctx context.Context, client *http.Client, u user) ([]clusterMember, error) {
	body, err := n.fetch(ctx, client, u, "/api/v1/cluster/")
	if err != nil {
		return nil, err
	}
	var list struct{ Members []clusterMember }
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("read members: %w", err)
	}
	return list.Members, nil
}

// joinPatience is more than any farm takes to become one.
const joinPatience = 2 * time.Minute

// until looks again and again.
func until(ctx context.Context, what string, every time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, joinPatience)
	defer cancel()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if err := pause(ctx, every); err != nil {
			return fmt.Errorf("not in time: %s: %w", what, err)
		}
	}
}

// patiently repeats a request while a node says that it does not know yet. It
// returns the body of the answer.
func (c *conn) patiently(ctx context.Context, request []byte) ([]byte, error) {
	for {
		a, err := c.do(request)
		if err != nil || a.status == 200 {
			return a.body, err
		}
		if a.status != 503 {
			first, _, _ := strings.Cut(string(request), " HTTP")
			return nil, fmt.Errorf("%s: got %d %.300s", first, a.status, a.body)
		}
		if err := pause(ctx, crowdPause); err != nil {
			return nil, err
		}
	}
}
