// Package docker is the driver `docker` (contract 29, 30): its environments are
// containers of a Docker engine, one for each.
//
// The engine is the memory: every container carries, from the call that makes
// it, the labels that say whose it is. DESIGN.md tells in which order things are
// made and removed, and what is found after a kill at any point of it.
package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/docker/engine"
	"github.com/aquarium-fish/aquarium-fish/drivers/machine"
	"github.com/aquarium-fish/aquarium-fish/drivers/space"
	"github.com/aquarium-fish/aquarium-fish/drivers/turns"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// Name is the driver's name in the config file and in labels.
const Name = "docker"

// Factory makes instances of the driver.
func Factory() drivers.Factory { return drivers.Factory{Name: Name, New: New, Check: check} }

// check reads a cfg and makes nothing.
func check(cfg drivers.Config) ([]yamlconf.Problem, error) {
	_, unknown, err := readSettings(cfg.Cfg)
	return unknown, err
}

// How long a call of the engine may take. What it makes takes it a moment, but
// for a disk that is busy with twenty others.
const (
	lookTimeout = 20 * time.Second
	makeTimeout = time.Minute
)

// closePatience is how long Close waits for calls that can not be cut short.
const closePatience = 5 * time.Second

// driver is one instance. It remembers nothing about environments.
type driver struct {
	log      *slog.Logger
	settings settings
	limits   drivers.Limits
	engine   *client.Client
	facts    facts
	health   *health
	owner    owner
	images   *engine.Images
	disks    *disks
	networks *networks
	turns    *turns.Turns

	// Calls that must not be cut short, as the engine would go on without us,
	// outlive the method that began them, but not the instance.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	asking sync.WaitGroup // what the instance does by itself, which ends with ctx
}

// New makes an instance, or says why it can not serve here: first of all
// whether an engine answers.
func New(ctx context.Context, cfg drivers.Config) (drivers.Driver, error) {
	s, warnings, err := readSettings(cfg.Cfg)
	if err != nil {
		return nil, fmt.Errorf("read cfg: %w", err)
	}
	for _, w := range warnings {
		cfg.Logger.Warn("unknown key in the driver's cfg", "key", w.Key, "line", w.Line, "hint", w.Text)
	}
	if s.DockerPath != "" {
		cfg.Logger.Info("docker_path has no effect: the driver speaks to the engine itself", "docker_path", s.DockerPath)
	}
	unsure := make(doubts, 1)
	cli, facts, err := connect(ctx, s, unsure, cfg.Logger)
	if err != nil {
		return nil, err
	}
	d := &driver{
		log: cfg.Logger, settings: s, engine: cli, facts: facts, turns: turns.New(),
		owner: owner{Node: cfg.NodeUID.String(), Instance: cfg.Instance},
	}
	d.networks = newNetworks(cli, facts.id, d.owner, d.uncut, d.log)
	if err := d.open(ctx, cfg.Rooms); err != nil {
		_ = cli.Close() // it holds idle connections only
		return nil, err
	}
	d.ctx, d.cancel = context.WithCancel(context.WithoutCancel(ctx))
	d.health = newHealth(facts.host, func(ctx context.Context) error { return alive(ctx, cli) }, unsure, cfg.HasRoom, cfg.Logger)
	unsure.raise() // half of what is needed has answered
	d.asking.Go(func() { d.health.run(d.ctx) })
	d.asking.Go(func() { d.networks.sweep(d.ctx) })
	return d, nil
}

// open reads what the engine has, and opens the rest of the instance.
func (d *driver) open(ctx context.Context, rooms *space.Rooms) (err error) {
	host := machine.Host{Cores: d.facts.cores, RAM: d.facts.ram}
	if d.limits, err = host.Limits(d.settings.share()); err != nil {
		return err
	}
	if err := d.networks.prune(ctx); err != nil { // those that a killed node left
		return err
	}
	if err := d.openImages(); err != nil {
		return err
	}
	if d.disks, err = openDisks(d.settings, d.owner, rooms, d.images.Reserved, d.log); err != nil {
		return errors.Join(err, d.images.Close())
	}
	return nil
}

// Limits implements drivers.Driver.
func (d *driver) Limits() drivers.Limits { return d.limits }

// Validate implements drivers.Driver.
func (d *driver) Validate(def model.LabelDefinition) error {
	_, err := d.options(def)
	return err
}

// options reads what a definition asks for and checks that it can be done.
func (d *driver) options(def model.LabelDefinition) (options, error) {
	o, err := readOptions(def)
	if err != nil {
		return options{}, err
	}
	if err := d.images.Check(o.images); err != nil {
		return options{}, fmt.Errorf("option %w", err)
	}
	return o, d.disks.check(def.Resources.Disks, d.images.CheckClone)
}

// Capacity implements drivers.Driver: cpu, memory and disk, which the node
// counts, are all that it is short of. An engine that does not answer has no
// known room, so that other nodes take what it would only keep waiting.
func (d *driver) Capacity(def model.LabelDefinition) (int, error) {
	if _, err := d.options(def); err != nil {
		return 0, err
	}
	if err := d.health.err(); err != nil {
		return 0, err
	}
	return drivers.Unlimited, nil
}

// Trouble implements drivers.Unwell.
func (d *driver) Trouble() error { return d.health.err() }

// MetadataNetworks implements drivers.MetadataNetworks. Containers of an engine
// elsewhere do not reach this node by their bridge.
func (d *driver) MetadataNetworks() []netip.Prefix {
	if d.settings.IsRemote {
		return nil
	}
	return d.networks.prefixes()
}

// Close implements drivers.Driver: it waits for what it has asked the engine to
// make, so that nothing appears behind the back of the next process.
func (d *driver) Close() error {
	cut := time.AfterFunc(closePatience, d.cancel)
	defer cut.Stop()
	d.wg.Wait()
	d.cancel()
	d.asking.Wait()
	d.disks.close()
	return errors.Join(d.images.Close(), d.engine.Close())
}

var (
	_ drivers.Watcher          = (*driver)(nil)
	_ drivers.Suspender        = (*driver)(nil)
	_ drivers.MetadataNetworks = (*driver)(nil)
)
