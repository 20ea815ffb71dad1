// Package aws is the driver `aws`: its environments are machines of EC2, on
// demand, spot, or on dedicated hosts such as Macs need them.
//
// All of it costs money, so what may have been made is known before it is made,
// is ours by its tags from its first moment, and is looked for until it is
// certain that it is gone. DESIGN.md tells how, and what is found after a kill at
// any point. The driver speaks to EC2 through cloud.API alone.
package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/inventory"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pools"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
	"github.com/aquarium-fish/aquarium-fish/drivers/turns"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// Name is the driver's name in the config file and in labels.
const Name = "aws"

// Factory makes instances of the driver, which reach EC2 through what dial
// makes. Those of one process share what they know of an account.
func Factory(dial cloud.Dial) drivers.Factory {
	o := &opener{dial: dial, accounts: &account.Accounts{}, sweepEvery: sweepPeriod}
	return drivers.Factory{Name: Name, New: o.open, Check: check, Shares: shares, Lifetime: lifetime}
}

// check reads a cfg and makes nothing.
func check(cfg drivers.Config) ([]yamlconf.Problem, error) {
	_, unknown, err := readSettings(cfg.Cfg)
	return unknown, err
}

// shares are the pools: nodes that name the same one in the same region mean
// the same hosts, whatever their instances are called.
func shares(cfg drivers.Config) ([]drivers.Share, error) {
	s, _, err := readSettings(cfg.Cfg)
	if err != nil {
		return nil, err
	}
	var all []drivers.Share
	for _, pool := range slices.Sorted(maps.Keys(s.DedicatedPool)) {
		all = append(all, drivers.Share{Thing: poolThing(s.Region, pool), Owner: s.PoolOwner})
	}
	return all, nil
}

// poolThing is what a pool is called among nodes.
func poolThing(region, pool string) string { return Name + "/" + region + "/" + pool }

// lifetime is how long environments live whose definition says nothing.
func lifetime(cfg drivers.Config) (time.Duration, bool) {
	s, _, err := readSettings(cfg.Cfg)
	return max(s.DefaultLifetime, 0), err == nil // negative: for ever
}

// driver is one instance.
type driver struct {
	node     model.UID
	instance string // full name
	account  string // whose the credentials are
	settings settings
	log      *slog.Logger
	began    time.Time // what was listed after it shows what earlier processes made

	api      cloud.API
	member   *account.Member
	hosts    hosts
	pools    *pools.Pools
	resolver *resolver
	ledger   *ledger
	turns    *turns.Turns
	absences absences
	tasks    underWay
	sweeper  *sweeper // nil: what is left over stays
	// inventory is what an admin sees.
	inventory *inventory.Inventory
	wanted    drivers.Wanted
	former    drivers.Former
	risen     risen

	closePools func()
}

// opener makes instances.
type opener struct {
	dial     cloud.Dial
	accounts *account.Accounts
	runners  poolRunners
	// sweepEvery is how often what is left over is removed; 0: never.
	sweepEvery time.Duration
}

// open makes an instance, or says why it can not serve here.
func (o *opener) open(ctx context.Context, cfg drivers.Config) (drivers.Driver, error) {
	s, warnings, err := readSettings(cfg.Cfg)
	if err != nil {
		return nil, fmt.Errorf("read cfg: %w", err)
	}
	for _, w := range warnings {
		cfg.Logger.Warn("unknown key in the driver's cfg", "key", w.Key, "line", w.Line, "hint", w.Text)
	}
	prices, err := price.New(s.Prices)
	if err != nil {
		return nil, fmt.Errorf("read prices: %w", err)
	}
	d := &driver{
		node: cfg.NodeUID, instance: cfg.Instance, settings: s, log: cfg.Logger, began: time.Now(), turns: turns.New(), hosts: noPools{},
	}
	if d.ledger, err = openLedger(cfg.Directory, cfg.Instance, cfg.NodeUID, d.began); err != nil {
		return nil, err
	}
	d.member, err = o.accounts.Join(ctx, account.Options{
		Settings: s.cloud(), Dial: o.dial, NodeUID: cfg.NodeUID.String(), Instance: cfg.Instance,
		Brakes:   account.Brakes{MaxInstances: s.MaxInstances, MaxHourlyCost: s.MaxHourlyCost, Prices: prices},
		DryPause: s.DryZonePause, Pools: slices.Sorted(maps.Keys(s.DedicatedPool)), HasRoom: cfg.HasRoom, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	d.wanted, d.former = cfg.Wanted, cfg.Former
	d.inventory = inventory.New(inventory.Options{
		Account: d.member, Node: cfg.NodeUID.String(), Instance: cfg.Instance, Former: cfg.Former, Prices: prices,
	})
	if err = d.start(ctx); err == nil {
		err = d.openPools(ctx, cfg, prices, &o.runners)
	}
	if err != nil {
		d.member.Close()
		return nil, err
	}
	d.advise(cfg.TaskTimeout)
	if o.sweepEvery > 0 {
		d.sweeper = d.startSweeper(context.WithoutCancel(ctx), o.sweepEvery)
	}
	return d, nil
}

// start makes sure that the credentials are good, and counts what earlier
// processes may have sent.
func (d *driver) start(ctx context.Context) error {
	d.api = d.member.API()
	id, err := d.api.Identity(ctx)
	if err != nil {
		return whoAmI(d.settings, err)
	}
	d.account = id.Account
	owners := append([]string{id.Account}, d.settings.AccountIDs...)
	d.resolver = &resolver{api: d.api, owners: slices.Compact(owners)}
	d.member.Reached()
	d.log.Info("aws account reached", "account", id.Account, "identity", id.ARN, "region", d.settings.Region)
	return d.assume()
}

// whoAmI says what to do when the credentials are not taken.
func whoAmI(s settings, err error) error {
	const ask = "ask AWS whose the credentials are"
	if !cloud.IsKind(err, cloud.Denied) {
		if s.KeyID == "" {
			return fmt.Errorf("%s (there is no key_id, so they are those of the environment, of shared files or of this machine's role): %w", ask, err)
		}
		return fmt.Errorf("%s: %w", ask, err)
	}
	if s.KeyID != "" {
		return fmt.Errorf("%s (correct key_id and secret_key, or assume_role): %w", ask, err)
	}
	return fmt.Errorf("%s (set key_id and secret_key, or give this machine a role or a profile): %w", ask, err)
}

// assume counts what intents tell of, so that brakes and quotas know of it
// before lists do.
func (d *driver) assume() error {
	tokens, err := d.ledger.tokens()
	if err != nil {
		return err
	}
	for _, token := range tokens {
		in, ours, err := d.ledger.load(token)
		if err != nil {
			return err
		}
		if a := in.last(); ours && a != nil && a.open() {
			d.member.Assume(needOf(token, *a))
		}
	}
	return nil
}

// Limits implements drivers.Driver: machines of EC2 take nothing of this one.
func (d *driver) Limits() drivers.Limits { return drivers.Limits{Remote: true} }

// Validate implements drivers.Driver.
func (d *driver) Validate(def model.LabelDefinition) error {
	_, err := readOptions(def)
	return err
}

// Capacity implements drivers.Driver. It answers from memory.
func (d *driver) Capacity(def model.LabelDefinition) (int, error) {
	o, err := readOptions(def)
	if err != nil {
		return 0, err
	}
	q := account.Question{
		Spot: o.spot.attempts > 0, OnDemand: o.spot.attempts == 0 || o.spot.onDemand,
		Network: def.Resources.Network, Owners: d.resolver.owners, Zones: o.zones, Hosts: account.NoHosts,
		RunningOnly: d.settings.QuotaCounts == countRunning,
	}
	if q.Types, err = d.typesOf(o); err != nil {
		return 0, err
	}
	if o.pool != "" {
		zones, err := d.member.Snapshot().ZonesOf(q)
		if err == nil {
			q.Hosts, err = d.hosts.Free(o.pool, zones)
		}
		if away := d.member.Trouble(); away != nil {
			return 0, away // which is why the pool has none, or will have none
		}
		if err != nil {
			return 0, err
		}
	}
	return d.room(d.member.Capacity(q))
}

// room is what the node is told of an answer. While AWS is away nothing can be
// launched, so that other nodes, or other definitions, are the better choice.
func (d *driver) room(a account.Answer) (int, error) {
	if err := d.member.Trouble(); err != nil {
		return 0, fmt.Errorf("%w (%v ago there was room for %d)", err, a.Age.Round(time.Second), a.N)
	}
	if a.N < 1 {
		why := cmp.Or(a.Why, "nothing is known of the account yet")
		if a.Old != "" {
			why += " (" + a.Old + ")"
		}
		return 0, errors.New(why)
	}
	return a.N, nil
}

// Trouble implements drivers.Unwell.
func (d *driver) Trouble() error { return d.member.Trouble() }

// Close implements drivers.Driver.
func (d *driver) Close() error {
	d.closePools()
	d.sweeper.close()
	d.member.Close()
	return nil
}

var _ interface {
	drivers.OptionNamer
	drivers.Unwell
} = (*driver)(nil)
