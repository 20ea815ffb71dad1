// Package native is the driver `native` (contract 30): its environments are
// processes of this machine, each under a user of its own.
//
// What it makes outlives the node: every environment has a keeper (package
// keeper) that is nobody's child, and a folder in which everything about it is
// written. DESIGN.md tells in which order things are made and removed, and what
// is found after a kill at any point of it.
package native

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/drivers/machine"
	"github.com/aquarium-fish/aquarium-fish/drivers/native/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/native/limits"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// Name is the driver's name in the config file and in labels.
const Name = "native"

// Factory makes instances of the driver.
func Factory() drivers.Factory { return drivers.Factory{Name: Name, New: New, Check: check} }

// check reads a cfg and makes nothing.
func check(cfg drivers.Config) ([]yamlconf.Problem, error) {
	_, unknown, err := readSettings(cfg.Cfg, cfg.Directory)
	return unknown, err
}

// identity is who an environment runs as.
type identity struct {
	uid, gid int
	groups   []int
}

// accounts makes and removes the users of environments.
type accounts interface {
	List(ctx context.Context) ([]string, error)
	Lookup(ctx context.Context, name string) (account.User, bool, error)
	Ensure(ctx context.Context, name, home string, groups []string) (account.User, error)
	KillAll(ctx context.Context, name string) error
	Remove(ctx context.Context, name string) error
	Privileged() []string
	Sudo(name string) []string
}

// driver is one instance. It remembers nothing about environments: the
// workspace is the memory.
type driver struct {
	*images.Manager // drivers.ImageManager
	*claims.Room    // drivers.DiskHolder

	log       *slog.Logger
	settings  settings
	limits    drivers.Limits
	workspace *claims.Workspace
	images    *images.Cache
	limiter   *limits.Limiter
	accounts  accounts // nil with isolation process
	self      *user.User
	hands     hands
	tools     *volume.Tools
	shelf     volume.Shelf
}

// New makes an instance, or says why it can not serve here: first of all
// whether it may make users.
func New(ctx context.Context, cfg drivers.Config) (drivers.Driver, error) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		return nil, fmt.Errorf("native environments are not available on %s", runtime.GOOS)
	}
	s, warnings, err := readSettings(cfg.Cfg, cfg.Directory)
	if err != nil {
		return nil, fmt.Errorf("read cfg: %w", err)
	}
	for _, w := range warnings {
		cfg.Logger.Warn("unknown key in the driver's cfg", "key", w.Key, "line", w.Line, "hint", w.Text)
	}
	d := &driver{log: cfg.Logger, settings: s}
	if d.self, err = user.Current(); err != nil {
		return nil, fmt.Errorf("find out own user: %w", err)
	}
	here, err := machine.Here(ctx)
	if err != nil {
		return nil, err
	}
	if d.limits, err = here.Limits(s.Share); err != nil {
		return nil, err
	}
	if err := d.openAccounts(ctx, cfg.NodeUID); err != nil {
		return nil, err
	}
	if d.workspace, err = openWorkspace(s, claims.Owner{Node: cfg.NodeUID, Instance: cfg.Instance}, d.accounts, d.log); err != nil {
		return nil, err
	}
	d.shelf = volume.ShelfIn(s.WorkspacePath)
	if d.accounts != nil {
		if err := enterable(s.WorkspacePath); err != nil {
			return nil, err
		}
	}
	d.limiter = limits.Detect(limits.Options{Logger: cfg.Logger})
	if err := d.openImages(); err != nil {
		return nil, err
	}
	d.Room, err = d.workspace.Join(claims.RoomOptions{
		Rooms: cfg.Rooms, Kept: func(context.Context) (volume.Kept, error) { return d.shelf.Kept() },
		ImagesPath: s.ImagesPath, Reserved: d.images.Reserved,
	})
	if err != nil {
		return nil, errors.Join(err, d.images.Close())
	}
	return d, nil
}

// openAccounts finds out what the node may do about users, and with disks.
func (d *driver) openAccounts(ctx context.Context, node model.UID) error {
	d.hands.own = d.settings.Isolation == isolationProcess
	if !d.hands.own {
		a, err := account.New(ctx, account.Options{
			Owner: node.String(), Paths: d.settings.accountTools(), Logger: d.log,
		})
		if err != nil {
			return fmt.Errorf("isolation %s: %w", isolationUser, err)
		}
		d.accounts, d.hands.sudo = a, a.Privileged()
	}
	d.hands.find(d.settings, exec.LookPath)
	rights := ""
	if d.self.Uid != "0" && runtime.GOOS != "darwin" {
		rights = "only a node that runs as root can mount it"
	}
	d.tools = volume.Find(volume.Options{
		Mount: d.settings.MountPath, Umount: d.settings.UmountPath, Hdiutil: d.settings.HdiutilPath,
		Rights: rights, Run: d.hands.run,
	})
	return nil
}

func (d *driver) openImages() (err error) {
	if d.images, err = images.New(d.settings.ImageOptions(d.log)); err != nil {
		return err
	}
	d.Manager = images.NewManager(d.images, func(def model.LabelDefinition) ([]images.Image, error) {
		o, err := readOptions(def)
		return o.images, err
	})
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
	for i, image := range o.images {
		if err := d.images.Check(image); err != nil {
			return options{}, fmt.Errorf("option images: entry %d: %w", i, err)
		}
	}
	if len(o.groups) > 0 && d.accounts == nil {
		return options{}, errors.New("option groups: this instance runs environments as the node's own user (isolation: process), which has the groups it has")
	}
	return o, volume.Check(def.Resources.Disks, volume.Rules{Missing: d.tools.Missing()})
}

// Capacity implements drivers.Driver: cpu, memory and disk, which the node
// counts, are all that it is short of.
func (d *driver) Capacity(def model.LabelDefinition) (int, error) {
	if _, err := d.options(def); err != nil {
		return 0, err
	}
	return drivers.Unlimited, nil
}

// RunTask implements drivers.Driver: there is no task for a process.
func (d *driver) RunTask(context.Context, drivers.TaskRequest) (json.RawMessage, error) {
	return nil, drivers.ErrTaskUnknown
}

// Close implements drivers.Driver: it ends downloads, which are resumed.
func (d *driver) Close() error {
	d.Room.Leave()
	return d.images.Close()
}

// selfIdentity is the node's own user.
func (d *driver) selfIdentity() (identity, error) {
	uid, err1 := strconv.Atoi(d.self.Uid)
	gid, err2 := strconv.Atoi(d.self.Gid)
	return identity{uid: uid, gid: gid}, errors.Join(err1, err2)
}
