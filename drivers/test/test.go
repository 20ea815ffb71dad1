// Package test is the driver `test` (contract 16): its environments are empty
// files. It costs nothing, behaves as badly as it is told to, and so is what
// the node itself is tested with: failures by chance, delays, hanging, and
// crashes of the whole process at chosen points.
//
// It keeps the contract of package drivers in full all the same: what it made
// is found again after kill -9 at any point. DESIGN.md tells how.
package test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/space"
	"github.com/aquarium-fish/aquarium-fish/drivers/turns"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// Name is the driver's name in the config file and in labels.
const Name = "test"

// Factory makes instances of the driver.
func Factory() drivers.Factory {
	return drivers.Factory{Name: Name, New: New, Check: check, Shares: shares}
}

// check reads a cfg and makes nothing.
func check(cfg drivers.Config) ([]yamlconf.Problem, error) {
	_, unknown, err := readSettings(cfg.Cfg)
	return unknown, err
}

// shares reads what is shared from a cfg.
func shares(cfg drivers.Config) ([]drivers.Share, error) {
	s, _, err := readSettings(cfg.Cfg)
	if err != nil || s.Shared == "" {
		return nil, err
	}
	return []drivers.Share{{Thing: s.Shared, Owner: s.Owner}}, nil
}

// New makes an instance: it reads the configuration and makes the workspace.
func New(_ context.Context, cfg drivers.Config) (drivers.Driver, error) {
	s, warnings, err := readSettings(cfg.Cfg)
	if err != nil {
		return nil, fmt.Errorf("read cfg: %w", err)
	}
	for _, w := range warnings {
		cfg.Logger.Warn("unknown key in the driver's cfg", "key", w.Key, "line", w.Line, "hint", w.Text)
	}
	dice := newDice()
	if dice.hit(s.FailConfigApply) {
		return nil, errors.New("fail_config_apply hit")
	}
	if dice.hit(s.FailConfigValidate) {
		return nil, errors.New("fail_config_validate hit")
	}
	ws, err := openWorkspace(s.WorkspacePath, owner{node: cfg.NodeUID, instance: cfg.Instance})
	if err != nil {
		return nil, err
	}
	ws.evidence = evidence{path: s.EvidenceFile, owner: ws.owner}
	room, err := cfg.Rooms.Join(space.Member{Dir: ws.path, Count: func(context.Context) (space.Count, error) {
		return space.Count{}, ws.makeFolders() // somebody may have cleaned up
	}})
	if err != nil {
		return nil, err
	}
	return &driver{
		settings: s, owns: func() bool { return s.Shared == "" || cfg.Owner(s.Shared) == cfg.NodeUID }, workspace: ws, dice: dice, crash: newCrasher(), turns: turns.New(),
		room: room, chances: newChances(s), ask: cfg.Ask,
	}, nil
}

// driver is one instance. It remembers nothing about environments: the
// workspace is the memory.
type driver struct {
	settings  settings
	owns      func() bool // what it shares, if it shares anything
	workspace *workspace
	dice      *dice
	crash     *crasher
	turns     *turns.Turns
	room      *space.Membership // of the workspace
	chances   *chances
	ask       drivers.Ask
}

var (
	errAllocate   = errors.New("fail_allocate hit")
	errDeallocate = errors.New("fail_deallocate hit")
)

// Limits implements drivers.Driver.
func (d *driver) Limits() drivers.Limits {
	return drivers.Limits{
		CPU: d.settings.CPULimit, RAM: d.settings.RAMLimit,
		CPUOverbook: d.settings.CPUOverbook, RAMOverbook: d.settings.RAMOverbook,
		Remote: d.settings.IsRemote,
	}
}

// Validate implements drivers.Driver. It rolls no dice: a label is right or wrong.
func (d *driver) Validate(def model.LabelDefinition) error {
	_, err := d.options(def)
	return err
}

// options reads a definition's options over what the configuration says.
func (d *driver) options(def model.LabelDefinition) (options, error) {
	o := options{
		delays:  d.settings.delays(),
		crashes: d.settings.crashes(),
	}
	err := o.read(def.Options, d.settings.AllowCrash)
	return o, err
}

// Capacity implements drivers.Driver: all or nothing, by chance.
func (d *driver) Capacity(def model.LabelDefinition) (int, error) {
	o, err := d.options(def)
	if err != nil {
		return 0, err
	}
	if d.dice.hit(o.failOptionsApply) || d.dice.hit(o.failOptionsValidate) || d.dice.hit(o.failAvailableCapacity) {
		return 0, nil
	}
	if !d.owns() {
		return 0, nil // the owner's are all
	}
	return drivers.Unlimited, nil
}

// DiskNeed implements drivers.DiskHolder: no disks are made, and all are
// counted.
func (d *driver) DiskNeed(def model.LabelDefinition) (gb uint, fileSystem string) {
	return drivers.SizeOf(def.Resources.Disks), d.room.FileSystem()
}

// DiskRoom implements drivers.DiskHolder.
func (d *driver) DiskRoom() (drivers.DiskRoom, error) {
	r, err := d.room.Read()
	return drivers.DiskRoom{Total: r.Total, Free: r.Free}, err
}

var _ drivers.DiskHolder = (*driver)(nil)

// Allocate implements drivers.Driver: it claims a name, waits as long as it is
// told to, and makes the file.
func (d *driver) Allocate(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
	o, err := d.options(req.Definition)
	if err != nil {
		return drivers.Environment{}, err
	}
	if !validToken(req.Token) {
		return drivers.Environment{}, fmt.Errorf("allocate: token %q is not 32 hex digits", req.Token)
	}
	if d.dice.hit(o.failOptionsApply) {
		return drivers.Environment{}, errors.New("fail_options_apply hit")
	}
	if d.dice.hit(o.failOptionsValidate) {
		return drivers.Environment{}, errors.New("fail_options_validate hit")
	}
	d.crash.at(o.crashes.allocate, "allocate", "before")
	claim, err := d.claim(ctx, req)
	if err != nil {
		return drivers.Environment{}, fmt.Errorf("claim name: %w", err)
	}
	d.crash.at(o.crashes.allocate, "allocate", "claimed")
	if !claim.made {
		if err := d.work(ctx, o); err != nil {
			return drivers.Environment{}, err
		}
		if err := d.complete(ctx, claim); err != nil {
			return drivers.Environment{}, fmt.Errorf("make file: %w", err)
		}
		d.crash.at(o.crashes.allocate, "allocate", "created")
	}
	d.crash.at(o.crashes.allocate, "allocate", "after")
	return environment(claim.identifier, req.Definition), nil
}

// work is what an allocation takes where the options make it take something.
// It holds no turn: others may inspect and deallocate meanwhile.
func (d *driver) work(ctx context.Context, o options) error {
	if d.dice.hit(o.failAllocate) {
		return errAllocate
	}
	if o.hangAllocate {
		return pause(ctx, math.MaxInt64)
	}
	return pause(ctx, o.delays.allocate)
}

func (d *driver) claim(ctx context.Context, req drivers.Request) (entry, error) {
	done, err := d.turns.Take(ctx, req.Token)
	if err != nil {
		return entry{}, err
	}
	defer done()
	return d.workspace.claim(req.Token, req.ApplicationUID)
}

func (d *driver) complete(ctx context.Context, e entry) error {
	done, err := d.turns.Take(ctx, e.token)
	if err != nil {
		return err
	}
	defer done()
	return d.workspace.complete(e)
}

func environment(identifier string, def model.LabelDefinition) drivers.Environment {
	env := drivers.Environment{Identifier: identifier, IPAddr: "127.0.0.1"}
	if def.Authentication != nil {
		copied := *def.Authentication
		env.Authentication = &copied
	}
	return env
}

// Inspect implements drivers.Driver. `fail_status` is never consulted: it was
// not in the original either, and tests written for it rely on that.
func (d *driver) Inspect(_ context.Context, ref drivers.Ref) (drivers.Report, error) {
	found, err := d.workspace.find(ref)
	switch {
	case err != nil:
		return drivers.Report{}, fmt.Errorf("look for environment: %w", err)
	case found.identifier == "":
		return drivers.Report{Presence: drivers.Absent}, nil
	case !found.made:
		return drivers.Report{Presence: drivers.Partial}, nil
	}
	return drivers.Report{Presence: drivers.Running, Environment: environment(found.identifier, ref.Definition)}, nil
}

// Deallocate implements drivers.Driver. Contract 16 calls a missing file an
// error; here it is what was wanted, because a release is repeated until
// nothing exists and its answer may have been lost the first time.
func (d *driver) Deallocate(ctx context.Context, ref drivers.Ref) error {
	o, err := d.options(ref.Definition)
	if err != nil {
		// A label from elsewhere: what is wrong with it must not keep an
		// environment alive, so only the configuration counts.
		o = options{delays: d.settings.delays(), crashes: d.settings.crashes()}
	}
	d.crash.at(o.crashes.deallocate, "deallocate", "before")
	if err := pause(ctx, o.delays.deallocate); err != nil {
		return err
	}
	if d.dice.hit(uint8(d.chances.deallocate.Load())) { //nolint:gosec // was one
		return errDeallocate
	}
	done, err := d.turnOf(ctx, ref)
	if err != nil {
		return err
	}
	defer done()
	found, err := d.workspace.find(ref)
	if err != nil {
		return fmt.Errorf("look for environment: %w", err)
	}
	if found.identifier != "" {
		err = d.workspace.release(found, func() { d.crash.at(o.crashes.deallocate, "deallocate", "removed") })
		if err != nil {
			return fmt.Errorf("remove environment: %w", err)
		}
	}
	d.crash.at(o.crashes.deallocate, "deallocate", "after")
	return nil
}

// turnOf waits until nobody else works on the environment.
func (d *driver) turnOf(ctx context.Context, ref drivers.Ref) (done func(), err error) {
	key := ref.Token
	if key == "" {
		found, err := d.workspace.find(ref)
		if err != nil {
			return nil, fmt.Errorf("look for environment: %w", err)
		}
		key = cmp.Or(found.token, ref.Identifier)
	}
	return d.turns.Take(ctx, key)
}

// List implements drivers.Driver.
func (d *driver) List(ctx context.Context) ([]drivers.Ref, error) {
	return d.workspace.list(ctx)
}

// RunTask implements drivers.Driver: the one task is `snapshot` (contract 15).
func (d *driver) RunTask(ctx context.Context, task drivers.TaskRequest) (json.RawMessage, error) {
	if task.Task != "snapshot" || !validSnapshot(task.Options) {
		return nil, drivers.ErrTaskUnknown
	}
	o, err := d.options(task.Ref.Definition)
	if err != nil {
		return nil, err
	}
	d.crash.at(o.crashes.task, "task", "before")
	if err := pause(ctx, o.delays.task); err != nil {
		return nil, err
	}
	if d.dice.hit(uint8(d.chances.snapshot.Load())) { //nolint:gosec // was one
		return json.RawMessage(`{}`), nil
	}
	found, err := d.workspace.find(task.Ref)
	if err != nil {
		return nil, fmt.Errorf("look for environment: %w", err)
	}
	if !found.made {
		return nil, errNotThere
	}
	result, err := json.Marshal(struct { // the order of keys is part of the contract
		Snapshots []string     `json:"snapshots"`
		When      model.Status `json:"when"`
	}{[]string{"test-snapshot"}, task.When})
	d.crash.at(o.crashes.task, "task", "after")
	return result, err
}

// validSnapshot reads the options of the task; `full` makes no difference.
func validSnapshot(raw json.RawMessage) bool {
	var o struct {
		Full bool `json:"full"`
	}
	return len(raw) == 0 || json.Unmarshal(raw, &o) == nil
}

// Close implements drivers.Driver.
func (d *driver) Close() error {
	d.room.Leave()
	return nil
}

// pause waits; an error says that ctx ended first.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
