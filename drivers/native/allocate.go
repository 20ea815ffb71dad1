package native

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/drivers/native/keeper"
	"github.com/aquarium-fish/aquarium-fish/drivers/native/limits"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Names in an environment's folder.
const (
	homeFolder = "home"
	tempFolder = "tmp"
	caFile     = "ca.crt"
)

// localhost is where a native environment is reached: it shares the network of
// this machine.
const localhost = "127.0.0.1"

// Allocate implements drivers.Driver: it claims a name, gets the images, and
// makes user, disks, home and keeper, in this order.
func (d *driver) Allocate(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
	o, err := d.options(req.Definition)
	if err != nil {
		return drivers.Environment{}, err
	}
	c, err := d.workspace.Claim(ctx, req)
	if err != nil {
		return drivers.Environment{}, fmt.Errorf("claim name: %w", err)
	}
	state, err := keeper.Look(d.workspace.Folder(c.Name), c.Token)
	if err != nil {
		return drivers.Environment{}, err
	}
	if state.Presence == keeper.None { // else it was made before, and only the answer was lost
		// No turn is held meanwhile: a download takes its time, and Deallocate
		// must not wait for it.
		laid, release, err := d.UseImages(ctx, o.images, images.Holder{})
		if err != nil {
			return drivers.Environment{}, err
		}
		defer release() // they are copied, and not needed any more
		if err := d.complete(ctx, c, req, o, laid); err != nil {
			return drivers.Environment{}, err
		}
	}
	return environment(c.Name, req.Definition), nil
}

func environment(identifier string, def model.LabelDefinition) drivers.Environment {
	env := drivers.Environment{Identifier: identifier, IPAddr: localhost}
	if def.Authentication != nil {
		copied := *def.Authentication
		env.Authentication = &copied
	}
	return env
}

// complete makes what is missing of a claimed environment, up to its keeper.
func (d *driver) complete(ctx context.Context, c claims.Claim, req drivers.Request, o options, laid []images.Laid) error {
	done, err := d.workspace.Turn(ctx, c)
	if err != nil {
		return err
	}
	defer done()
	b := build{
		driver: d, claim: c, folder: d.workspace.Folder(c.Name), req: req, options: o, laid: laid,
	}
	b.disks = volume.Plan(req.Definition.Resources.Disks, d.shelf, b.folder)
	state, err := keeper.Look(b.folder, c.Token)
	if err != nil || state.Presence == keeper.Running || state.Presence == keeper.Ended {
		return err // another call was quicker
	}
	steps := b.steps()
	if state.Presence == keeper.Starting { // by a node that was killed meanwhile: all but the start is done
		steps = steps[:1]
	}
	if err := claims.Do(ctx, d.log, steps); err != nil {
		return err
	}
	return b.start(ctx)
}

// build is one environment in the making.
type build struct {
	*driver
	claim   claims.Claim
	folder  string
	req     drivers.Request
	options options
	laid    []images.Laid
	disks   []volume.Disk

	who identity // set by the first step
}

func (b *build) steps() []claims.Step {
	return []claims.Step{
		{Name: "make user", Do: b.makeUser},
		{Name: "make home", Do: b.makeHome},
		{Name: "make disks", Do: func(ctx context.Context) error { return b.makeDisks(ctx, b.claim, b.disks, b.who) }},
		{Name: "lay out images", Do: b.layOutImages},
		{Name: "hand over files", Do: b.handOver},
	}
}

func (b *build) home() string { return filepath.Join(b.folder, homeFolder) }
func (b *build) temp() string { return filepath.Join(b.folder, tempFolder) }

func (b *build) makeUser(ctx context.Context) (err error) {
	if b.accounts == nil {
		b.who, err = b.selfIdentity()
		return err
	}
	u, err := b.accounts.Ensure(ctx, b.claim.Name, b.home(), b.options.groups)
	b.who = identity{uid: u.UID, gid: u.GID, groups: u.Groups}
	return err
}

// makeHome makes the home afresh: half of what an image holds is worse than
// nothing.
func (b *build) makeHome(ctx context.Context) error {
	for _, path := range []string{b.home(), b.temp()} {
		if err := b.hands.remove(ctx, path); err != nil {
			return err
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			return err
		}
	}
	ca, err := os.ReadFile(b.settings.CACrtPath)
	if err != nil {
		b.log.Warn("environments get no copy of the CA certificate; set ca_crt_path", "error", err)
		return nil
	}
	return durable.WriteFile(filepath.Join(b.folder, caFile), ca, 0o644)
}

func (b *build) layOutImages(ctx context.Context) error {
	for i, laid := range b.laid {
		target, opts := b.home(), images.ExtractOptions{
			UID: -1, GID: -1, // handed over when all is there
			LinksOutside: true, // what runs there may make such links as well
			Replace:      true, // an earlier image has laid out there, or a reused disk's user
		}
		if tag := b.options.images[i].Tag; tag != "" {
			k := b.disks[slices.IndexFunc(b.disks, func(k volume.Disk) bool { return k.Name == tag })]
			target = k.Path
			if k.HasFileSystem() {
				opts.MinFree = 1 // a disk of the environment's own, which it may fill
			}
		}
		if err := laid.LayOut(ctx, target, opts); err != nil {
			return fmt.Errorf("image %s-%s: %w", laid.Name, laid.Version, err)
		}
	}
	return nil
}

func (b *build) handOver(ctx context.Context) error {
	return errors.Join(
		b.giveDisks(ctx, b.disks, b.who), b.hands.give(ctx, b.temp(), b.who), b.hands.give(ctx, b.home(), b.who))
}

func (b *build) diskPaths() map[string]string {
	paths := make(map[string]string, len(b.disks))
	for _, k := range b.disks {
		paths[k.Name] = k.Path
	}
	return paths
}

// groupName names the environment's groups of limits. Workspaces of several
// nodes may share this machine, and identifiers are short: hence the token.
func groupName(c claims.Claim) string { return c.Name + "-" + strings.ToLower(c.Token[:12]) }

// start makes the limits and starts the keeper, after which the environment
// is the keeper's.
func (b *build) start(ctx context.Context) error {
	resources := b.req.Definition.Resources
	limit, err := b.limiter.Make(groupName(b.claim), limits.Limits{CPU: resources.CPU, RAM: uint64(resources.RAM) << 30})
	if err != nil {
		return fmt.Errorf("limit environment: %w", err)
	}
	line, err := b.options.entry.fill(b.diskPaths())
	if err != nil {
		return fmt.Errorf("option entry: %w", err)
	}
	vars, profilePath, err := b.variables()
	if err != nil {
		return err
	}
	spec := keeper.Spec{
		Folder: b.folder, Token: b.claim.Token, Argv: argv(b.settings.ShPath, line, profilePath),
		Env: environ(vars), Dir: b.home(), Join: limit.Join, LogMax: int64(b.settings.LogSize), //nolint:gosec // checked to be at most 2^40
	}
	for _, r := range limit.Rlimits {
		spec.Rlimits = append(spec.Rlimits, keeper.Rlimit{Resource: r.Resource, Value: r.Value})
	}
	if err := b.runAs(&spec); err != nil {
		return err
	}
	if err := keeper.Start(ctx, spec); err != nil && !errors.Is(err, keeper.ErrEnded) {
		return fmt.Errorf("start environment: %w", err)
	}
	return nil // one that has ended already was made: Inspect and Watch tell how it ended
}

// runAs makes the keeper run the entry as the environment's user.
func (b *build) runAs(spec *keeper.Spec) error {
	if b.accounts == nil {
		return nil
	}
	if b.who.uid == 0 {
		return errors.New("environment would run as root: its user has no uid")
	}
	if sudo := b.accounts.Sudo(b.claim.Name); len(sudo) > 0 {
		spec.Sudo = sudo
		spec.KillCommand = append(b.accounts.Privileged(), b.hands.kill)
		return nil
	}
	c := &keeper.Credential{UID: uint32(b.who.uid), GID: uint32(b.who.gid)} //nolint:gosec // ids of this machine
	for _, gid := range b.who.groups {
		c.Groups = append(c.Groups, uint32(gid)) //nolint:gosec // ids of this machine
	}
	spec.Credential = c
	return nil
}

// variables returns the environment variables, and the PATH that the label
// sets, if it sets one.
func (b *build) variables() (vars map[string]string, labelPath string, err error) {
	flat, err := metadata.Environment(b.req.Metadata, b.req.LabelMetadata)
	if err != nil {
		return nil, "", err
	}
	for _, drop := range flat.Dropped {
		b.log.Warn("metadata left out of the environment", "application", b.req.ApplicationUID, "key", drop.Key, "reason", drop.Reason)
	}
	p := person{name: b.claim.Name, home: b.home(), temp: b.temp(), shell: b.settings.ShPath, path: systemPath}
	if b.accounts == nil {
		p.name, p.path = b.self.Username, os.Getenv("PATH")
	}
	own := map[string]string{
		metadata.NameMetadataURL:    b.req.MetadataURL,
		metadata.NameApplicationUID: b.req.ApplicationUID.String(),
	}
	maps.Copy(own, b.req.Proxy.Here())
	if there, err := exists(filepath.Join(b.folder, caFile)); err == nil && there {
		own[metadata.NameCA] = filepath.Join(b.folder, caFile)
	}
	for _, pair := range flat.Pairs {
		if pair.Name == "PATH" {
			labelPath = pair.Value
		}
	}
	return variables(p, flat, b.diskPaths(), own), labelPath, nil
}
