package app

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/fit"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/link"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/repl"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/hostfacts"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/overlay"
	sshproxy "github.com/aquarium-fish/aquarium-fish/lib/proxy/ssh"
	"github.com/aquarium-fish/aquarium-fish/lib/recall"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// links are what carries this process to its neighbours.
type links struct {
	*link.Transport

	boot uint64 // random: tells this process from any other of the same key
}

// newLinks makes the transport that the API's listener hands links to.
func newLinks(cfg *config.Config, id *crypt.Identity, log *slog.Logger) (links, error) {
	boot, err := newBoot()
	if err != nil {
		return links{}, err
	}
	proxy, err := link.Proxies(cfg.ClusterProxy)
	if err != nil {
		return links{}, fmt.Errorf("use cluster_proxy: %w", err)
	}
	transport, err := link.New(link.Options{
		Certificate: id.Certificate, Roots: id.CAPool, Boot: boot, Proxy: proxy, Log: log.With("component", "link"),
	})
	if err != nil {
		return links{}, fmt.Errorf("make links: %w", err)
	}
	return links{transport, boot}, nil
}

// newBoot is never 0.
func newBoot() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("choose the number of this process: %w", err)
	}
	return max(binary.BigEndian.Uint64(b[:]), 1), nil
}

// memberOptions is what a node needs to be a member of its cluster.
type memberOptions struct {
	config   *config.Config
	version  string
	node     model.Node
	store    *store.Store
	identity *crypt.Identity
	links    links
	shares   []drivers.Share
	log      *slog.Logger
}

// member is this node in its cluster. A node alone is one too: others may dial it at any time.
type member struct {
	*cluster.Cluster

	memberOptions

	rewinds chan rewind // capacity 1
	survey  *recall.Survey
	votes   *election.Wired
	engine  *repl.Engine
	client  *overlay.Client
	tunnels *tunnels
	started time.Time
	// What is made after it is filled in before anything runs.
	state  memberState
	server *overlay.Server
	asks   *asks
	ssh    *sshproxy.Service
}

// memberState is what the node tells the others of itself, from the parts that know it. None may block.
type memberState struct {
	maintenance func() bool
	running     func() int   // applications
	load        func() uint8 // percent of the node that is promised
	sound       func() error // the database takes writes, the loops go round
	machine     func() hostfacts.Load
}

// newMember makes the member; it does nothing before its parts run.
func newMember(o memberOptions) (*member, error) {
	m := &member{memberOptions: o, started: time.Now(), rewinds: make(chan rewind, 1)}
	engine, err := repl.New(repl.Options{
		Store: o.store, Log: o.log.With("component", "replication"),
		LinkBytes: int(o.config.ClusterLinkBytes), //nolint:gosec // checked to fit
		Rewound:   m.rewound,
	})
	if err != nil {
		return nil, fmt.Errorf("make replication: %w", err)
	}
	m.engine = engine
	transport, uid := fit.NewTransport(o.links.Transport), o.identity.ClusterUID()
	m.Cluster, err = cluster.New(cluster.Options{
		Self: cluster.Self{
			Node: o.node.UID, Name: o.node.Name, Address: o.node.Address, Location: o.node.LocationName,
			Program: o.version, Cluster: uid[:], Boot: o.links.boot,
		},
		Join: o.config.ClusterJoin, MaxLinks: int(o.config.ClusterMaxLinks),
		Transport: transport, Replication: fit.NewReplication(engine, o.store), Secure: transport.Secure,
		Healthy: m.healthy, Lapsed: m.lapsed,
		Report: m.report, Known: m.known, Serve: m.serve, Log: o.log,
	})
	if err != nil {
		return nil, fmt.Errorf("make member of the cluster: %w", err)
	}
	if m.survey, err = m.newSurvey(); err != nil {
		return nil, fmt.Errorf("make member of the cluster: %w", err)
	}
	m.votes = election.NewWired(m.Cluster, m.survey)
	m.tunnels = newTunnels(m.Cluster, func(node model.UID) bool { _, retired := o.store.Retirement(node); return retired })
	m.client = overlay.NewClient(m)
	return m, nil
}

// addMember makes the member and lets it run. Its links are added at the end: see joinCluster.
func (a *App) addMember(o memberOptions) (*member, error) {
	m, err := newMember(o)
	if err != nil {
		return nil, err
	}
	a.cleanups.add("members' own connections", func(context.Context) error { m.client.Close(); return nil })
	a.addPart("replication", m.engine.Run)
	a.addPart("incarnation", m.reincarnate)
	a.addPart("votes", m.votes.Run)
	a.addPart("survey", m.survey.Run)
	return m, a.addRestamp(m)
}

// joinCluster begins the membership: what it needs is there, and it is the first that stops. So the others hear that the
// node stops before the API closes, whose listener would wait for the links.
func (a *App) joinCluster(m *member) {
	a.addPart("cluster", func(ctx context.Context) error {
		defer m.Watch(func(cluster.Event) { m.votes.Changed() })()
		return m.Run(ctx)
	})
	a.addPart("known members", m.watchKnown)
}

// watchKnown tells the cluster that other nodes are known now: one that was retired is cut off at once.
func (m *member) watchKnown(ctx context.Context) error {
	sub := m.store.Subscribe(store.KindNode, store.KindRetirement)
	defer sub.Close()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-sub.C():
			sub.Take()
			m.Touch()
			m.tunnels.endRetired()
		}
	}
}

// report is what the others should know and what changes.
func (m *member) report() cluster.Report {
	origin := m.store.Origin()
	return cluster.Report{
		Incarnation: origin.Incarnation, RowSeq: m.store.Vector()[origin],
		Maintenance: m.state.maintenance(), Signer: m.identity.CanSign() == nil,
		Available: election.Safety(m.config.Election.Safety) == election.Available,
		Load:      loadOfMachine(m.state.machine(), m.state.running()),
		VoteLoad:  m.state.load(), NotAfter: m.identity.NotAfter(), Shares: told(m.shares),
		Succession: model.SumOfRetirements(m.store.Retirements()),
	}
}

func loadOfMachine(l hostfacts.Load, running int) wire.Load {
	return wire.Load{CPU: l.CPU, Memory: l.Memory, Disk: l.Disk, Used: uint16(min(running, 1<<16-1))} //nolint:gosec // bounded
}

// known are the other nodes that the database knows, and those that were retired before it heard of them.
func (m *member) known() []cluster.Known {
	retired := map[model.UID]bool{}
	for _, r := range m.store.Retirements() {
		retired[r.NodeUID] = true
	}
	var known []cluster.Known
	for _, n := range m.store.Nodes() {
		if n.UID != m.node.UID {
			known = append(known, cluster.Known{
				Node: n.UID, Name: n.Name, Address: n.Address, Location: n.LocationName, Retired: retired[n.UID], Seen: seenAt(n),
			})
		}
		delete(retired, n.UID)
	}
	for uid := range retired {
		if uid != m.node.UID {
			known = append(known, cluster.Known{Node: uid, Retired: true})
		}
	}
	return known
}

// seenAt is when a node was there last, as far as its row tells; zero if it does not. Who is away for a year is refused for
// good, so a row that was written while the node's clock was dead (a start in 1970 or 2001, before NTP) must not look
// like that: its clock reading never falls, and at a node's first start, when there was none before, it tells nothing.
func seenAt(n model.Node) time.Time {
	seen := n.UpdatedAt
	if read := time.Unix(0, int64(n.HLC)); read.After(seen) {
		seen = read
	}
	if seen.Before(time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)) { // no node is older
		return time.Time{}
	}
	return seen
}

// nodeOf is what the database knows of a node.
func (m *member) nodeOf(uid model.UID) (model.Node, bool) {
	nodes := m.store.Nodes()
	i := slices.IndexFunc(nodes, func(n model.Node) bool { return n.UID == uid })
	if i < 0 {
		return model.Node{}, false
	}
	return nodes[i], true
}

// nameOf is for the election: name and location of a node, "" where they are not known.
func (m *member) nameOf(uid model.UID) (name, location string) {
	n, _ := m.nodeOf(uid)
	return n.Name, n.LocationName
}

// unfit is why nothing should be given to this node although it could run it; "" if it is well.
func (m *member) unfit() string {
	if err := m.healthy(context.Background()); err != nil { // it does not wait
		return err.Error()
	}
	if !m.Ready() {
		return "the node has not caught up with its cluster yet"
	}
	return ""
}

// settled says that the others can not have been granted what this node was, while it was away. In a strict cluster they
// never can.
func (m *member) settled() func() bool {
	if election.Safety(m.config.Election.Safety) != election.Available {
		return nil
	}
	return func() bool { return m.Covered(m.started) }
}

// coversReachable says that this node has all that the members which it can reach have told of their own rows, and all
// that the neighbours have.
func (m *member) coversReachable() bool {
	s := m.Status()
	for _, other := range s.Members {
		if other.Reachable() && other.Lag > 0 {
			return false
		}
	}
	return !slices.ContainsFunc(s.Links, func(l cluster.LinkStatus) bool { return l.Ahead > 0 })
}

// handOver gives what this node decides to another one, before it stops in maintenance.
func (m *member) handOver(ctx context.Context, elect *election.Election) {
	_, err := elect.HandOver(ctx, election.Handing{Store: m.store, Acknowledge: func(ctx context.Context, successor model.UID) error {
		return m.askCovers(ctx, successor, m.store.Vector(), true)
	}})
	if err != nil {
		m.log.Warn("what waits was not handed over, and is granted when this node is back", "error", err)
	}
}

// caughtUp says that this node knows what the others know, the admin among it: nobody could ask for anything before.
func (m *member) caughtUp() bool {
	_, ok := m.store.UserByName(model.AdminName)
	return ok && m.Ready()
}

// serve has a connection of another member until it is closed.
func (m *member) serve(ctx context.Context, conn net.Conn) {
	proved, ok := conn.(*link.Secured)
	if !ok {
		m.log.Error("connection of a member does not say whose it is, it is closed")
		return
	}
	watched := newWatchedConn(m.tunnels.keep(conn, proved.Peer()))
	if err := m.server.Take(watched, proved.Peer()); err != nil {
		m.log.Debug("connection of a member not taken", "node", proved.Peer(), "error", err)
		return
	}
	select {
	case <-watched.closed:
	case <-ctx.Done():
	}
}

// rewind is what others know of an origin of this node.
type rewind struct {
	origin replica.Origin
	seq    uint64
}

// rewound notes that others have rows of this node which its own database lacks: from now on it decides nothing of
// before, whatever comes of the rest. One note that waits is enough: the store looks for itself, and every advert that is
// still ahead brings another.
func (m *member) rewound(origin replica.Origin, seq uint64) {
	if !m.store.Suspect(origin, seq) {
		return
	}
	select {
	case m.rewinds <- rewind{origin, seq}:
	default:
	}
}

// reincarnateBound is how long taking a new incarnation may take: it writes again what the node wrote since it started.
const reincarnateBound = time.Minute

// reincarnate takes a new incarnation when others know more of this node than itself: its database was put back from a
// copy. Until it has caught up with them it is not ready, so that it decides nothing on what it has forgotten.
func (m *member) reincarnate(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-m.rewinds:
			bound, cancel := context.WithTimeout(ctx, reincarnateBound)
			err := m.store.Reincarnate(bound, r.origin, r.seq)
			cancel()
			if err != nil && ctx.Err() == nil { // the next advert brings the next try
				m.log.Error("others know more of this node than its database, and a new incarnation can not be taken yet", "error", err)
			}
			m.Touch()
		}
	}
}

// errNoNeighbour says that there is no second node.
var errNoNeighbour = errors.New("this node has no neighbour now")
