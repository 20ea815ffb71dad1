package farm

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// Options says what farm to make. Topology must be set.
type Options struct {
	Topology Topology
	// Namespaces puts every node into a network of its own, where only what
	// the Topology links sees each other. Else all are on loopback.
	Namespaces bool
	// Apart tells no node of another one: each stays alone.
	Apart bool
	// Config is YAML for every node besides what the farm sets: names,
	// addresses, cluster_join, location and drivers.
	Config string
	// DriverCfg is one more YAML line for the test driver of every node, such
	// as "cpu_limit: 2".
	DriverCfg string
	// Each changes the settings of one node. It may be nil.
	Each func(node int, s *Settings)
}

// Settings are those of one node.
type Settings struct {
	Config    string // more YAML
	DriverCfg string // another line for the test driver
	Location  string // default: "farm"
	Binary    string // default: the one under test
	Env       []string
	Authority *Authority // default: the farm's
	DiskMB    int        // its folder is a disk of this size; 0 is that of the machine
	Kept      string     // it begins as the kept home of this name, as a whole with its CA; see Unpack
}

// unknown stands for the password of an admin that another node made.
const unknown = "unknown"

// Farm is a number of nodes of one CA.
type Farm struct {
	Members   []*Member
	Authority *Authority
	Evidence  string // the file of the Ledger

	t        testing.TB
	topology Topology
	network  network
	options  Options
	joined   bool // all have one database, and so one admin
}

// Member is one node of a farm.
type Member struct {
	*fish.Node
	Index   int
	Name    string
	Address string // of its API, host:port
	Disk    *Disk  // nil unless it has one of its own
	Kept    Kept   // what it began as, if anything

	t         testing.TB
	settings  Settings
	workspace string
}

// New prepares a farm of which no node runs yet.
func New(t testing.TB, options Options) *Farm {
	t.Helper()
	if err := options.Topology.validate(); err != nil {
		t.Fatal(err)
	}
	f := &Farm{
		t: t, topology: options.Topology, options: options, Authority: NewAuthority(t),
		Evidence: filepath.Join(t.TempDir(), "evidence"),
	}
	if options.Namespaces {
		f.network = newNamespaces(t, options.Topology)
	} else {
		f.network = newLoopback(t, options.Topology.Nodes)
	}
	for node := range options.Topology.Nodes {
		f.Members = append(f.Members, f.newMember(node))
	}
	return f
}

// Start makes a farm and starts all its nodes, one after the other from node
// 0. It returns when all serve; whether they have found each other is another
// question.
func Start(t testing.TB, options Options) *Farm {
	t.Helper()
	f := New(t, options)
	for _, m := range f.Members {
		m.Start()
	}
	return f
}

func (f *Farm) newMember(node int) *Member {
	f.t.Helper()
	s := Settings{Location: "farm", Authority: f.Authority}
	if f.options.Each != nil {
		f.options.Each(node, &s)
	}
	m := &Member{Index: node, Name: fmt.Sprintf("node%d", node), Address: f.network.address(node), t: f.t, settings: s}
	dir := f.t.TempDir()
	m.workspace = filepath.Join(dir, "workspace")
	password := ""
	if node > 0 { // what the first one prints is good for all once they have found each other
		password = unknown
	}
	f.furnish(m, dir)
	if m.Kept.NodeName != "" {
		m.Name, password = m.Kept.NodeName, m.Kept.Passwords["admin"]
	}
	m.Node = fish.New(f.t, fish.Options{
		Dir: dir, Config: f.config(m, s), Binary: s.Binary, Env: s.Env, AdminPassword: password,
		Wrap: f.network.wrap(node), Dial: f.dialer(node),
	})
	f.t.Cleanup(m.wake) // before the node is asked to end
	return m
}

// furnish lays out the folder in which a node starts for the first time.
func (f *Farm) furnish(m *Member, dir string) {
	f.t.Helper()
	s, data := m.settings, filepath.Join(dir, "fish_data")
	if s.Kept != "" {
		m.Kept = Unpack(f.t, s.Kept, dir)
		if m.Index == 0 {
			f.Authority = LoadAuthority(f.t, data)
		}
		return
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		f.t.Fatal(err)
	}
	if s.DiskMB > 0 {
		m.Disk = newDisk(f.t, data, s.DiskMB)
	}
	if err := s.Authority.write(data); err != nil {
		f.t.Fatal(err)
	}
}

// config is the whole of a node's file.
func (f *Farm) config(m *Member, s Settings) string {
	var b strings.Builder
	fmt.Fprintf(&b, "node_address: %s\napi_address: %s\n", m.Address, m.Address)
	if m.Kept.NodeName == "" {
		fmt.Fprintf(&b, "node_name: %s\nnode_location: %s\n", m.Name, s.Location)
	}
	if joins := f.topology.joins(m.Index); len(joins) > 0 && !f.options.Apart {
		b.WriteString("cluster_join:\n")
		for _, other := range joins {
			fmt.Fprintf(&b, "- %s\n", f.network.address(other))
		}
	}
	if m.Kept.NodeName != "" { // with its own drivers
		b.WriteString(m.Kept.Config)
		return b.String()
	}
	fmt.Fprintf(&b, "drivers:\n- name: test\n  cfg:\n    workspace_path: %q\n    evidence_file: %q\n", m.workspace, f.Evidence)
	for _, line := range []string{f.options.DriverCfg, s.DriverCfg} {
		if line != "" {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	for _, more := range []string{f.options.Config, s.Config} {
		if more != "" {
			fmt.Fprintln(&b, strings.TrimSuffix(more, "\n"))
		}
	}
	return b.String()
}

// Admin is a client of the node, as the admin whose password was printed last
// by the node itself or, where it made none or all have one database, by node
// 0. It outlives restarts of the node: its address stays.
func (f *Farm) Admin(node int) fish.Client {
	f.t.Helper()
	m := f.Members[node]
	password := m.AdminPassword
	if password == unknown || f.joined {
		password = f.Members[0].AdminPassword
	}
	return f.client(m).As("admin", password)
}

// client speaks to the node as nobody, checked against its CA.
func (f *Farm) client(m *Member) fish.Client {
	f.t.Helper()
	c, err := fish.NewClient("https://"+m.Address, filepath.Join(m.Dir, "fish_data", "ca.crt"))
	if err != nil {
		f.t.Fatal(err)
	}
	c.DialBy(f.dialer(m.Index))
	return c.For(f.t)
}

// dialer connects from where the node is.
func (f *Farm) dialer(node int) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		return f.network.dial(ctx, node, address)
	}
}

// Ledger reads what was executed so far.
func (f *Farm) Ledger() Ledger {
	f.t.Helper()
	l, err := ReadLedger(f.Evidence)
	if err != nil {
		f.t.Fatal(err)
	}
	return l
}

// Twin gives a node that never ran the key, certificate and name of another
// one, as a copied disk does. Both may run: that is what it is for.
func (f *Farm) Twin(of, at int) {
	f.t.Helper()
	from, to := f.Members[of], f.Members[at]
	to.Name = from.Name
	for _, ending := range []string{".key", ".crt"} {
		text, err := os.ReadFile(filepath.Join(from.Dir, "fish_data", from.Name+ending))
		if err != nil {
			f.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to.Dir, "fish_data", to.Name+ending), text, 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
	to.Reconfigure(f.config(to, to.settings), to.settings.Env...)
}
