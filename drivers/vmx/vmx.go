// Package vmx is the driver `vmx` (contract 30): its environments are virtual
// machines of VMware Fusion or Workstation on this machine, linked clones of
// images, which vmrun makes, starts and stops.
//
// They outlive the node, and what is known of them is in their folders and in
// what VMware says. DESIGN.md tells in which order things are made and removed,
// and what is found after a kill at any point of it.
package vmx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"runtime"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/drivers/machine"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/leases"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrun"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// Name is the driver's name in the config file and in labels.
const Name = "vmx"

// Factory makes instances of the driver.
func Factory() drivers.Factory { return drivers.Factory{Name: Name, New: New, Check: check} }

// check reads a cfg and makes nothing.
func check(cfg drivers.Config) ([]yamlconf.Problem, error) {
	_, unknown, err := readSettings(cfg.Cfg)
	return unknown, err
}

// driver is one instance. It remembers nothing about environments: the
// workspace and VMware are the memory.
type driver struct {
	*images.Manager // drivers.ImageManager
	*claims.Room    // drivers.DiskHolder

	log       *slog.Logger
	settings  settings
	limits    drivers.Limits
	workspace workspace
	images    *images.Cache
	tool      *vmrun.Tool
	roster    *roster
	finder    leases.Finder
	volumes   *volume.Tools
	rules     volume.Rules
	shelf     volume.Shelf
}

// New makes an instance, or says why it can not serve here: first of all where
// there is no VMware.
func New(ctx context.Context, cfg drivers.Config) (drivers.Driver, error) {
	s, warnings, err := readSettings(cfg.Cfg)
	if err != nil {
		return nil, fmt.Errorf("read cfg: %w", err)
	}
	for _, w := range warnings {
		cfg.Logger.Warn("unknown key in the driver's cfg", "key", w.Key, "line", w.Line, "hint", w.Text)
	}
	d := &driver{log: cfg.Logger, settings: s}
	host, err := machine.Here(ctx)
	if err != nil {
		return nil, err
	}
	if d.limits, err = host.Limits(s.Share); err != nil {
		return nil, err
	}
	paths, err := findTools(s) // before anything is made on a machine that has no VMware
	if err != nil {
		return nil, err
	}
	if d.workspace, err = openWorkspace(s.WorkspacePath, claims.Owner{Node: cfg.NodeUID, Instance: cfg.Instance}, d.log); err != nil {
		return nil, err
	}
	if err := d.openTools(ctx, paths); err != nil {
		return nil, err
	}
	d.finder = leases.Finder{Files: s.LeaseFiles, Neighbors: leases.Neighbors}
	if err := d.openImages(ctx); err != nil {
		return nil, err
	}
	d.Room, err = d.workspace.Join(claims.RoomOptions{
		Rooms: cfg.Rooms, Kept: func(ctx context.Context) (volume.Kept, error) { return keptDisks(ctx, d.shelf) },
		ImagesPath: s.ImagesPath, Reserved: d.images.Reserved,
	})
	if err != nil {
		return nil, errors.Join(err, d.images.Close())
	}
	return d, nil
}

// findTools finds VMware's tools. Without the one for disks, which is left
// empty then, fewer kinds of them can be used.
func findTools(s settings) (paths vmrun.Options, err error) {
	paths.Vmrun, err = findTool(s.VmrunPath, runtime.GOOS, "vmrun", exec.LookPath)
	if err != nil {
		return paths, fmt.Errorf("find vmrun (install VMware Fusion or Workstation, or set vmrun_path): %w", err)
	}
	paths.DiskManager, _ = findTool(s.VdiskmanagerPath, runtime.GOOS, "vmware-vdiskmanager", exec.LookPath)
	return paths, nil
}

// openTools makes sure that vmrun answers.
func (d *driver) openTools(ctx context.Context, paths vmrun.Options) error {
	d.tool = vmrun.New(vmrun.Options{
		Vmrun: paths.Vmrun, DiskManager: paths.DiskManager, Product: d.settings.Product, Scratch: d.workspace.Path(), Prefix: d.workspace.Prefix(),
		Bounds: d.settings.bounds(), Logger: d.log,
	})
	d.roster = newRoster(d.tool.List)
	if _, err := d.tool.List(ctx); err != nil {
		return fmt.Errorf("ask VMware what runs (product is %s): %w", d.settings.Product, err)
	}
	d.volumes = volume.Find(volume.Options{Hdiutil: d.settings.HdiutilPath})
	d.rules = rules(d.volumes.MissingImages(), paths.DiskManager != "")
	d.shelf = volume.ShelfIn(d.workspace.Path())
	return nil
}

// openImages opens the cache, and lets the images go of environments that went
// with a node that was killed. Where it can not be found out which went, all
// keep theirs, and the instance is none the worse.
func (d *driver) openImages(ctx context.Context) (err error) {
	opts := d.settings.ImageOptions(d.log)
	opts.Owner = d.workspace.Owner().String()
	if d.images, err = images.New(opts); err != nil {
		return err
	}
	d.Manager = images.NewManager(d.images, func(def model.LabelDefinition) ([]images.Image, error) {
		o, err := readOptions(def)
		return o.images, err
	})
	if err := d.images.SweepUses(ctx, d.tokens); err != nil {
		d.log.Warn("images may be kept for environments that are gone; the next start looks again", "error", err)
	}
	return nil
}

// holder is an environment to the images that it is linked to.
func (d *driver) holder(c claims.Claim) images.Holder {
	return images.Holder{Name: c.Token, Folder: d.workspace.Folder(c.Name)}
}

// tokens are those of all environments.
func (d *driver) tokens(ctx context.Context) ([]string, error) {
	all, err := d.workspace.List(ctx)
	tokens := make([]string, len(all))
	for i, c := range all {
		tokens[i] = c.Token
	}
	return tokens, err
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
	for i, image := range o.images {
		if err := d.images.Check(image); err != nil {
			return options{}, fmt.Errorf("option images: entry %d: %w", i, err)
		}
	}
	return o, d.checkDisks(def.Resources.Disks)
}

// Capacity implements drivers.Driver: cpu, memory and disk, which the node
// counts, are all that it is short of.
func (d *driver) Capacity(def model.LabelDefinition) (int, error) {
	if _, err := d.options(def); err != nil {
		return 0, err
	}
	return drivers.Unlimited, nil
}

// Close implements drivers.Driver: it ends downloads, which are resumed.
func (d *driver) Close() error {
	d.Room.Leave()
	return d.images.Close()
}
