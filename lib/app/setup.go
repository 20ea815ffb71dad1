package app

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/api"
	"github.com/aquarium-fish/aquarium-fish/lib/auth"
	"github.com/aquarium-fish/aquarium-fish/lib/caller"
	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/enrol"
	"github.com/aquarium-fish/aquarium-fish/lib/health"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/maintenance"
	"github.com/aquarium-fish/aquarium-fish/lib/meta"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/operate"
	"github.com/aquarium-fish/aquarium-fish/lib/overlay"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// startBy is how long after a node's vote a grant is taken up: far more than a
// write takes, far less than a user's patience and what an available cluster
// waits for a silent node.
const startBy = 30 * time.Second

// setup builds the parts of the node. It is one long straight function on purpose: what depends on what is then held by
// the scope of its variables, and reads from top to bottom. Each resource registers its cleanup where it is made; what
// runs is registered with addPart, and starts in this order.
func (a *App) setup(ctx context.Context, opts Options) error { //nolint:funlen,cyclop,gocognit // see above
	cfg, log := opts.Config, opts.Logger

	// Files: the folder, the keys and certificates in it (contract 3).
	if err := os.MkdirAll(cfg.Directory, 0o700); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	lock, err := lockNode(cfg.Directory, cfg.NodeName)
	if err != nil {
		return err
	}
	a.cleanups.add("lock", func(context.Context) error { return lock.Close() })
	trail, err := a.startAudit(cfg, log) //nolint:contextcheck // it outlives ctx: it stops last
	if err != nil {
		return err
	}
	if err := enrol.Unfinished(cfg.Directory, cfg.NodeName); err != nil {
		return err
	}
	identity, err := crypt.LoadOrCreate(crypt.Options{
		NodeName: cfg.NodeName, NodeAddress: cfg.NodeAddress, Names: cfg.TLSNames,
		TLSKey: cfg.TLSKey, TLSCert: cfg.TLSCrt, CACert: cfg.TLSCACrt, // joined with the directory already
		Joins: len(cfg.ClusterJoin) > 0,
		Log:   log.With("component", "crypt"),
	})
	if err != nil {
		return fmt.Errorf("load identity: %w", err)
	}
	sshKey, err := crypt.LoadOrCreateSSHKey(cfg.SSHKey)
	if err != nil {
		return fmt.Errorf("load ssh host key: %w", err)
	}

	// The listeners are bound first: a port that is taken is told before anything else is touched.
	limits := serverOptions{tls: identity.ServerTLS(), limits: cfg, drain: drainTimeout, log: log}
	if a.api, err = newServer(ctx, limits.named("api", cfg.APIAddress)); err != nil {
		return err
	}
	a.cleanups.add("api listener", a.api.close)
	if a.ssh, err = a.listenSSH(ctx, cfg, sshKey); err != nil {
		return err
	}
	links, err := newLinks(cfg, identity, log)
	if err != nil {
		return err
	}
	links.Attach(a.api.http)
	probes := health.New(log.With("component", "health"))
	a.api.serve(probes.Wrap) // a probe is told that the node starts, everybody else waits for the rest
	metaServer := a.api
	if cfg.MetaAddress != "" {
		if metaServer, err = newServer(ctx, limits.named("meta", cfg.MetaAddress)); err != nil {
			return err
		}
		a.cleanups.add("meta listener", metaServer.close)
	}

	socksListener := a.listenSOCKS(ctx, cfg, log)

	// The drivers, as far as the config tells: what is wrong there is told before a database is made, and the password of
	// its admin printed, which nobody gets to see again.
	owners := &owners{log: log.With("component", "ownership")}
	questions, wanted := newAsks(owners.Owner, log), &wanted{}
	registry, err := drivers.NewRegistry(drivers.Options{
		Factories: opts.Drivers, Entries: entries(cfg), Directory: cfg.Directory,
		NodeUID: identity.UID, Owner: owners.Owner, First: owners.First, Ask: questions.Ask, Wanted: wanted.of, Retired: owners.Retired,
		TaskTimeout: cfg.TaskTimeout, Logger: log,
	})
	if err != nil {
		return fmt.Errorf("check drivers: %w", err)
	}

	// The database, and who we are in it.
	folder, err := store.Locate(ctx, store.LocateOptions{
		Directory: cfg.Directory, NodeAddress: cfg.NodeAddress,
		NodeName: cfg.NodeName, NodeKeyDER: identity.PublicKey, Logger: log.With("component", "store"),
	})
	if err != nil {
		return fmt.Errorf("locate database: %w", err)
	}
	tightenFiles(cfg, folder, log)
	db, err := store.Open(ctx, store.Options{
		Folder: folder, Node: identity.UID, Logger: log.With("component", "store"),
		Retention: cfg.Retention, MaxSize: int64(cfg.MaxDBSize), //nolint:gosec // checked to fit
	})
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	a.cleanups.add("store", func(context.Context) error { return db.Close() })
	a.addPart("store maintenance", db.RunMaintenance)
	tellRestored(db, log)
	node, err := a.registerNode(ctx, opts, db, identity)
	if err != nil {
		return err
	}
	a.addPart("node row", keepRow(db, log))
	member, err := a.addMember(memberOptions{
		config: cfg, version: opts.Version, node: node, store: db, identity: identity, links: links, shares: registry.Shares(), log: log,
	})
	if err != nil {
		return err
	}
	err = a.found(ctx, founding{config: cfg, store: db, member: member, stderr: opts.Stderr, trail: trail, log: log})
	if err != nil {
		return err
	}

	owners.view, owners.store, owners.shares = member.ownershipView, db, member.shares
	owners.unread = !registry.SharesKnown()
	a.addPart("ownership", owners.run)
	memory, err := a.addRecall(member)
	if err != nil {
		return err
	}

	questions.self, questions.whose, questions.client = node.UID, registry.Answerer, member.client
	questions.known = func(uid model.UID) bool { _, ok := member.nodeOf(uid); return ok }
	member.asks = questions

	// The driver instances, looked for now that what they made is known.
	a.cleanups.add("driver instances", func(context.Context) error { return registry.Close() }) //nolint:contextcheck // it has a bound of its own
	registry.Start(ctx)
	a.addPart("drivers", registry.Run)
	a.addPart("questions to drivers", questions.run)
	a.addPart("audit of drivers", auditDrivers(registry, trail))

	// What the node has promised, restored before anything new is promised.
	ledger := capacity.NewLedger()
	promises := election.NewPromises(lifecycle.BootClock)
	var keeper *maintenance.Keeper // counts what runs
	var life *lifecycle.Manager
	executor := newSSHExecutor(cfg, node.UID, db, func(app model.UID) { life.LookAt(app) }, log) // life is there before anybody logs in
	life = lifecycle.New(lifecycle.Options{
		Node: node.UID, Store: db, Ledger: ledger,
		Driver: driverOf(registry), Instances: instances(registry),
		MetadataURL:     metadataURL(metaServer.listener.Addr(), cfg.NodeAddress, identity.Answers, log),
		Proxy:           boundTo(socksListener),
		DefaultLifetime: cfg.DefaultResourceLifetime, InstanceLifetime: registry.Lifetime, AllocateTimeout: cfg.AllocateTimeout, TaskTimeout: cfg.TaskTimeout,
		Promised: promises.Age, Voter: member.votes.Boot(), StartBy: startBy, Settled: member.settled(), Lapsed: db.Lapsed,
		LoggedIn: executor.LoggedIn, LeaveTime: executor.LeaveTime(),
		Draining: func() bool { return keeper.On() },
		Heir:     func(node model.UID) model.UID { return model.Heir(node, db.Retirements()) },
		Boot:     lifecycle.BootClock, Logger: log.With("component", "lifecycle"),
	})
	life.Restore()
	wanted.life.Store(life)
	a.addPart("lifecycle", life.Run)
	var elect *election.Election
	keeper, err = maintenance.New(maintenance.Options{
		Running: life.Running, Stop: a.RequestStop, HandOver: func(ctx context.Context) { member.handOver(ctx, elect) },
		File: filepath.Join(folder, drainFile), Logger: log.With("component", "maintenance"),
	})
	if err != nil {
		return fmt.Errorf("make maintenance: %w", err)
	}
	a.addPart("maintenance", keeper.Run)
	elect = election.New(election.Options{
		Node: node.UID, NodeName: node.Name, Location: node.LocationName, Store: db, Ledger: ledger, Driver: driverOf(registry),
		Configured:  registry.Configured,
		Maintenance: keeper.On, Cluster: member.votes, Promises: promises, Load: loadOf(ledger, node),
		Unfit: member.unfit, Member: member.nameOf, Succession: db.Succession, LabelDeleted: db.LabelDeleted,
		Cleared:     a.addBygone(member),
		Recall:      memory,
		Identifiers: cfg.NodeIdentifiers, VoteTimeout: cfg.VoteTimeout, StarvationAfter: cfg.StarvationAfter,
		Safety: election.Safety(cfg.Election.Safety), Logger: log.With("component", "election"),
	})
	a.addPart("election", elect.Run)
	fetching := imageFetching{config: cfg, registry: registry, store: db, log: log, held: func() bool { return keeper.On() || !member.caughtUp() }}
	puller, wakePrefetch, err := a.addImages(fetching)
	if err != nil {
		return err
	}
	commands, err := operate.New(operate.Options{
		Instances: instances(registry), Driver: driverOf(registry), Configured: registry.Configured, Logger: log,
	})
	if err != nil {
		return fmt.Errorf("make driver commands: %w", err)
	}
	a.addPart("driver commands", commands.Run)
	a.addPart("events", func(ctx context.Context) error {
		return forwardEvents(ctx, registry, keeper, life, func() { elect.Wake(); wakePrefetch() }, member)
	})
	pulse := newPulse(db.Writable)
	a.addPart("pulse", pulse.run)
	machine := &machineLoad{folder: cfg.Directory}
	a.addPart("machine load", machine.run)
	member.state = memberState{
		maintenance: keeper.On, running: life.Running, load: loadOf(ledger, node), sound: probes.Sound, machine: machine.last,
	}

	// Who may ask, and what is answered.
	authenticator, err := auth.New(auth.Options{
		Users: db, Rehash: rehash(db), Log: log.With("component", "auth"), HashMemory: int64(cfg.AuthHashMemory), //nolint:gosec // checked to fit
	})
	if err != nil {
		return fmt.Errorf("make authenticator: %w", err)
	}
	a.addPart("auth", authenticator.Run)
	networks := metadataNetworks(registry)
	callers, err := caller.New(caller.Options{
		Node: node.UID, Store: db, NextChange: a.changesOf(db), Networks: networks,
		Logger: log.With("component", "caller"),
	})
	if err != nil {
		return fmt.Errorf("make finder of callers: %w", err)
	}
	a.addPart("callers", callers.Run)
	metadata, err := meta.New(meta.Options{Callers: callers, Proxy: boundTo(socksListener), Logger: log.With("component", "meta")})
	if err != nil {
		return fmt.Errorf("make metadata api: %w", err)
	}
	err = a.addSOCKS(socksOptions{
		listener: socksListener, config: cfg, store: db, callers: callers, networks: func() []netip.Prefix { return networks("") }, trail: trail, log: log,
	})
	if err != nil {
		return fmt.Errorf("make socks proxy: %w", err)
	}
	enrolment, err := a.newEnrolment(cfg, db, identity, member, trail, log)
	if err != nil {
		return err
	}
	if err := a.addSSH(sshParts{config: cfg, door: a.ssh, executor: executor, member: member, auth: authenticator, trail: trail, log: log}); err != nil {
		return err
	}
	apiOptions := api.Options{
		SSH: a.ssh, AccessLifetime: cfg.ProxySSHAccessLifetime,
		Node: node.UID, LastSeen: pulse.last, Auth: authenticator, Store: db, Election: elect, Drivers: registry, Images: puller, Commands: commands,
		Lifecycle: life, Ledger: ledger, AllocateTimeout: cfg.AllocateTimeout,
		Cluster: view{member, pulse.last}, Maintenance: keeper, Audit: trail, Enrolment: enrolment, Logger: log,
		BodyTimeout: cfg.APIReadTimeout, ChunkTimeout: cfg.APIWriteTimeout,
	}
	if metaServer == a.api {
		apiOptions.Meta = metadata
	}
	rest, err := api.New(apiOptions)
	if err != nil {
		return fmt.Errorf("make api: %w", err)
	}
	a.cleanups.add("connections to members", func(context.Context) error { rest.Close(); return nil })

	member.server = overlay.NewServer(overlay.ServerOptions{
		Handler:     logged(opts, member.serveMembers(rest.Peer(), enrolment)),
		ReadTimeout: cfg.APIReadTimeout, WriteTimeout: cfg.APIWriteTimeout, Logger: log.With("component", "overlay"),
	})
	a.addPart("overlay", member.server.Run)

	// The API comes last, so that it answers only when everything behind it is there, and the links to other
	// members, which carry its requests: they stop first.
	if metaServer != a.api {
		metaServer.handle(logged(opts, metadata), metadata.Stop)
		a.addPart("meta server", metaServer.run)
	}
	if err := attachProbes(probes, db, keeper, elect, life, member.caughtUp); err != nil {
		return err
	}
	a.addPart("health", probes.Run)
	a.api.handle(logged(opts, enrolment.Wrap(rest)), metadata.Stop, probes.Stop)
	a.addPart("api", a.api.run)
	a.joinCluster(member)
	return nil
}
