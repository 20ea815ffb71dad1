package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/space"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// disks makes the disks of environments on this machine. Containers get them as
// bind mounts: the engine makes and removes nothing of them.
type disks struct {
	workspace *claims.Workspace
	shelf     volume.Shelf
	tools     *volume.Tools
	remote    bool // the engine's machine is another, and has no such folders
	room      *claims.Room
}

// openDisks opens the workspace. reserved is what downloads will still take.
func openDisks(s settings, o owner, rooms *space.Rooms, reserved func() int64, log *slog.Logger) (*disks, error) {
	d := &disks{shelf: volume.ShelfIn(s.WorkspacePath), remote: s.IsRemote}
	rights := ""
	if os.Geteuid() != 0 && runtime.GOOS == "linux" {
		rights = "only a node that runs as root can mount it"
	}
	d.tools = volume.Find(volume.Options{Rights: rights})
	if d.remote {
		return d, nil
	}
	node, err := uuid.Parse(o.Node)
	if err != nil {
		return nil, fmt.Errorf("read the node's UID: %w", err)
	}
	d.workspace, err = claims.Open(claims.Options{
		Path: s.WorkspacePath, Owner: claims.Owner{Node: node, Instance: o.Instance}, Mode: 0o700, File: claimFile,
		Names: folderNames, Pattern: regexp.MustCompile(`^[0-9a-f]{32}$`), Logger: log,
	})
	if err != nil {
		return nil, err
	}
	d.shelf = volume.ShelfIn(s.WorkspacePath) // now that it is there, by its true path
	d.room, err = d.workspace.Join(claims.RoomOptions{
		Rooms: rooms, Kept: func(context.Context) (volume.Kept, error) { return d.shelf.Kept() },
		ImagesPath: s.ImagesPath, Reserved: reserved,
	})
	return d, err
}

// claimFile in a folder says whose it is.
const claimFile = "claim.json"

// folderNames are those of a token's folder: all spellings of one have the same.
func folderNames(token string) []string { return []string{strings.ToLower(token)} }

// folder is that of a token's disks.
func (d *disks) folder(token string) string { return d.workspace.Folder(strings.ToLower(token)) }

// lives reports whether the environment that holds a reused disk, of whomever,
// has a folder.
func (d *disks) lives(h volume.Holder) bool {
	return d.workspace.Lives(volume.Holder{Identifier: strings.ToLower(h.Token), Token: h.Token})
}

func (d *disks) close() {
	if d.room != nil {
		d.room.Leave()
	}
}

// check says what is wrong with the disks of a definition, or can not be done here.
// clone checks what a disk may be a copy of.
func (d *disks) check(wanted map[string]model.Disk, clone func(string) error) error {
	if d.remote && len(wanted) > 0 {
		return errors.New("disks are folders and files of the node's machine, and this instance's engine is on another one (is_remote)")
	}
	missing := map[string]string{}
	for kind, reason := range d.tools.Missing() {
		missing[kind] = reason
	}
	if os.Geteuid() != 0 && runtime.GOOS == "linux" {
		missing[volume.Dir] = "only a node that runs as root can remove what the users of a container write"
	}
	if err := volume.Check(wanted, volume.Rules{Missing: missing, Label: checkLabel, Clone: checkClone(clone)}); err != nil {
		return err
	}
	seen := map[string]string{}
	for _, k := range volume.Plan(wanted, d.shelf, "") {
		at := target(k)
		if other, twice := seen[at]; twice {
			return fmt.Errorf("disks %q and %q would both be mounted at %s; give one another label", other, k.Name, at)
		}
		seen[at] = k.Name
	}
	return nil
}

// checkClone: a clone is laid out when its environment is made, into folders.
func checkClone(clone func(string) error) func(model.Disk) error {
	return func(k model.Disk) error {
		if k.Reuse || volume.TypeOf(k) == volume.Raw {
			return errors.New("clone: neither a reused disk nor a raw one can be a clone")
		}
		return clone(k.Clone)
	}
}

// checkLabel: a label is where the disk is mounted.
func checkLabel(k model.Disk) error {
	if !strings.HasPrefix(k.Label, "/") {
		if !regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`).MatchString(k.Label) {
			return fmt.Errorf("label %.64q: want a name of letters, digits and any of _ . -, or an absolute path", k.Label)
		}
		return nil
	}
	clean := path.Clean(k.Label)
	top, _, _ := strings.Cut(clean[1:], "/")
	switch {
	case len(clean) > 200 || strings.ContainsFunc(clean, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("label %.64q: want a path of at most 200 printable characters", k.Label)
	case clean == "/" || slices.Contains([]string{"proc", "sys", "dev"}, top) || slices.Contains(engineFiles(), clean):
		return fmt.Errorf("label %q: nothing can be mounted there; want a folder of its own, such as /mnt/data", k.Label)
	}
	return nil
}

// engineFiles are where the engine mounts files of its own into a container.
func engineFiles() []string {
	return []string{"/sbin", "/sbin/docker-init", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"}
}

// target is where a disk is in the container.
func target(k volume.Disk) string {
	if strings.HasPrefix(k.Label, "/") {
		return path.Clean(k.Label)
	}
	return "/mnt/" + k.Label
}

// make makes the disks of a request and says how they get into the container.
// What a killed process made of them is used.
func (d *disks) make(ctx context.Context, req drivers.Request) ([]mount.Mount, error) {
	wanted := req.Definition.Resources.Disks
	if len(wanted) == 0 {
		return nil, nil
	}
	if _, err := d.workspace.Claim(ctx, req); err != nil {
		return nil, fmt.Errorf("claim folder: %w", err)
	}
	var mounts []mount.Mount
	for _, k := range volume.Plan(wanted, d.shelf, d.folder(req.Token)) {
		if err := d.makeOne(ctx, k, req.Token); err != nil {
			return nil, fmt.Errorf("make disk %q: %w", k.Name, err)
		}
		mounts = append(mounts, mount.Mount{Type: mount.TypeBind, Source: k.Path, Target: target(k)})
	}
	return mounts, nil
}

// makeOne makes a disk that whoever runs in the container may write to: all
// users of it are the environment's. Others of the machine do not get there.
func (d *disks) makeOne(ctx context.Context, k volume.Disk, token string) error {
	if k.Reuse {
		if err := d.shelf.Take(k.Label, volume.Holder{Identifier: token, Token: token}, d.lives); err != nil {
			return err
		}
		if err := os.Chmod(d.shelf.Path(), 0o700); err != nil {
			return err
		}
	}
	if err := d.tools.Make(ctx, k, volume.Owner{Everyone: true}); err != nil {
		return err
	}
	if !k.KnowsOwners() {
		return nil // its mount says whose all is
	}
	mode := os.FileMode(0o777)
	if k.Type == volume.Raw {
		mode = 0o666
	}
	return os.Chmod(k.Path, mode)
}

// seen fails if the engine sees the folder where a disk is mounted, and not the
// disk: it and the node are then in mount name spaces that part them, and what the
// environment writes would be bounded by nothing, and kept nowhere. The folder
// below is closed to all, as volume makes it, and the disk open.
func (m *making) seen(ctx context.Context, id string) error {
	if len(m.plan.mounts) == 0 {
		return nil
	}
	for _, k := range volume.Plan(m.plan.req.Definition.Resources.Disks, m.disks.shelf, m.disks.folder(m.plan.req.Token)) {
		if !k.HasFileSystem() {
			continue
		}
		here, err := os.Stat(k.Path)
		if err != nil {
			return err
		}
		there, err := m.statPath(ctx, id, target(k))
		if err != nil {
			return fmt.Errorf("look at disk %q in the container: %w", k.Name, err)
		}
		if there.Mode.Perm() != here.Mode().Perm() {
			return fmt.Errorf("disk %q is mounted, but the engine does not see it: node and engine are in different mount name spaces; "+
				"run the node without PrivateMounts, PrivateTmp and the like", k.Name)
		}
	}
	return nil
}

func (d *driver) statPath(ctx context.Context, id, path string) (container.PathStat, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	answer, err := d.engine.ContainerStatPath(ctx, id, client.ContainerStatPathOptions{Path: path})
	return answer.Stat, err
}

// remove removes the disks of a token whose container is gone. Its folder goes
// last, so that what a killed process left undone is found again.
func (d *disks) remove(ctx context.Context, token string) error {
	c, there, err := d.find(token)
	if err != nil || !there {
		return err
	}
	folder := d.workspace.Folder(c.Name)
	for _, step := range []func() error{
		func() error { return d.tools.Unmount(ctx, folder) },
		func() error { return volume.Remove(ctx, volume.DisksOf(folder)) },
		func() error { return d.shelf.Release(token) },
		func() error { return d.workspace.Discard(c) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("remove disks: %w", err)
		}
	}
	return nil
}

// has reports whether a token has disks.
func (d *disks) has(token string) (bool, error) {
	_, there, err := d.find(token)
	return there, err
}

func (d *disks) find(token string) (claims.Claim, bool, error) {
	if d.remote {
		return claims.Claim{}, false, nil
	}
	return d.workspace.Find(drivers.Ref{Token: token})
}

// list returns whose disks there are.
func (d *disks) list(ctx context.Context) ([]claims.Claim, error) {
	if d.remote {
		return nil, nil
	}
	return d.workspace.List(ctx)
}

// DiskNeed implements drivers.DiskHolder.
func (d *driver) DiskNeed(def model.LabelDefinition) (gb uint, fileSystem string) {
	if d.disks.remote {
		return 0, "of a remote engine"
	}
	return d.disks.room.DiskNeed(def)
}

// DiskRoom implements drivers.DiskHolder.
func (d *driver) DiskRoom() (drivers.DiskRoom, error) {
	if d.disks.remote {
		return drivers.DiskRoom{}, nil
	}
	return d.disks.room.DiskRoom()
}

// Exclusive implements drivers.Excluder: the reused disks.
func (d *driver) Exclusive(def model.LabelDefinition) []string {
	return d.disks.shelf.Exclusive(def.Resources.Disks)
}

var (
	_ drivers.DiskHolder = (*driver)(nil)
	_ drivers.Excluder   = (*driver)(nil)
)
