package vmx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmxfile"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// snapshot is the one of an image that environments are cloned from
// (contract 30).
const snapshot = "original"

// Allocate implements drivers.Driver: it claims a hardware address, gets the
// images, clones, sets up and starts the virtual machine, and waits for its
// address.
func (d *driver) Allocate(ctx context.Context, req drivers.Request) (drivers.Environment, error) {
	o, err := d.options(req.Definition)
	if err != nil {
		return drivers.Environment{}, err
	}
	c, err := d.workspace.Claim(ctx, req)
	if err != nil {
		return drivers.Environment{}, fmt.Errorf("claim hardware address: %w", err)
	}
	made, err := d.workspace.Marked(c, startedFile)
	if err != nil {
		return drivers.Environment{}, err
	}
	if !made { // else only the answer was lost
		// No turn is held meanwhile: a download takes its time, and Deallocate
		// must not wait for it.
		if err := d.make(ctx, build{driver: d, claim: c, req: req, options: o}); err != nil {
			return drivers.Environment{}, err
		}
	}
	ip, err := d.waitAddress(ctx, c)
	if err != nil {
		return drivers.Environment{}, err
	}
	return d.environment(c, ip, req.Definition), nil
}

func (d *driver) environment(c claims.Claim, ip string, def model.LabelDefinition) drivers.Environment {
	env := drivers.Environment{Identifier: d.workspace.vmx(c.Name), IPAddr: ip, HWAddr: hwAddr(c.Name)}
	if def.Authentication != nil {
		copied := *def.Authentication
		env.Authentication = &copied
	}
	return env
}

// make gets the images, which stay until the environment is gone as it is
// linked to them, and makes it. One that was removed while they were got has
// let them go before it had them: so that is done again.
func (d *driver) make(ctx context.Context, b build) error {
	laid, release, err := d.UseImages(ctx, b.options.images, d.holder(b.claim))
	if err == nil {
		defer release()
		b.laid = laid
		err = d.complete(ctx, b)
	}
	if err == nil {
		return nil
	}
	if there, lookErr := d.workspace.There(b.claim); lookErr == nil && !there {
		err = errors.Join(claims.ErrVanished, err, d.releaseImages(b.claim))
	}
	return err
}

// complete makes a claimed environment, up to its start. What a killed process
// left of it is made afresh: half a clone is worse than none.
func (d *driver) complete(ctx context.Context, b build) error {
	done, err := d.workspace.Turn(ctx, b.claim)
	if err != nil {
		return err
	}
	defer done()
	if err := d.tool.EndOrphans(ctx, b.folder()); err != nil {
		return err
	}
	f, err := d.inspect(ctx, b.claim, 0)
	if err != nil || f.started {
		return err // another call was quicker
	}
	if f.running { // started by a node that was killed before it could note it
		return d.workspace.Mark(b.claim, startedFile)
	}
	return claims.Do(ctx, d.log, b.steps())
}

// build is one environment in the making.
type build struct {
	*driver
	claim   claims.Claim
	req     drivers.Request
	options options
	laid    []images.Laid
}

func (b build) steps() []claims.Step {
	return []claims.Step{
		{Name: "clear folder", Do: b.clear},
		{Name: "lay out image", Do: b.layOut},
		{Name: "clone image", Do: b.clone},
		{Name: "make disks", Do: b.makeDisks},
		{Name: "set up virtual machine", Do: b.setUp},
		{Name: "start virtual machine", Do: b.start},
	}
}

func (b build) folder() string { return b.workspace.Folder(b.claim.Name) }
func (b build) vmx() string    { return b.workspace.vmx(b.claim.Name) }

// clear removes everything but the claim and what goes with it, and a process that is about to
// become a virtual machine there, and is not listed yet.
func (b build) clear(ctx context.Context) error {
	if err := b.tool.EndMachine(ctx, b.vmx()); err != nil {
		return err
	}
	found, err := os.ReadDir(b.folder())
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range found {
		if !b.workspace.Keeps(f.Name()) {
			errs = append(errs, os.RemoveAll(filepath.Join(b.folder(), f.Name())))
		}
	}
	return errors.Join(errs...)
}

func (b build) clone(ctx context.Context) error {
	from, err := sourceVMX(b.imagePath(), b.laid)
	if err != nil {
		return err
	}
	if err := b.tool.Clone(ctx, from, b.vmx(), snapshot, b.claim.Name); err != nil {
		return err
	}
	if there, err := exists(b.vmx()); err != nil || !there {
		return errors.Join(err, fmt.Errorf("vmrun clone said that all was well, but made no %s", b.vmx()))
	}
	return nil
}

// setUp makes the clone what the definition asks for, before VMware reads it:
// what is changed while it runs is lost.
func (b build) setUp(context.Context) error {
	f, err := vmxfile.Read(b.vmx())
	if err != nil {
		return err
	}
	b.setCard(f)
	closePorts(f)
	keepIn(f)
	cpu := strconv.FormatUint(uint64(b.req.Definition.Resources.CPU), 10)
	for _, line := range [][2]string{
		{"numvcpus", cpu}, {"cpuid.corespersocket", cpu},
		{"memsize", strconv.FormatUint(uint64(b.req.Definition.Resources.RAM)<<10, 10)}, // in MB
		{vmState, ""},
		// Nobody is there to answer questions, such as whether it was moved or copied.
		{"msg.autoAnswer", "TRUE"}, {"uuid.action", "create"},
		// An image must not open the host's files or a port of the host.
		{"isolation.tools.hgfs.disable", "TRUE"}, {"RemoteDisplay.vnc.enabled", "FALSE"},
	} {
		f.Set(line[0], line[1])
	}
	if err := b.attachDisks(f); err != nil {
		return err
	}
	return f.Write(b.vmx())
}

// setCard sets the one network card that the definition speaks of. More of
// them, in the image, would lead out of the network that it names.
func (b build) setCard(f *vmxfile.File) {
	f.Remove(func(key string) bool {
		return strings.HasPrefix(key, "ethernet0.generated") || key == "ethernet0.vnet" || key == "ethernet0.checkmacaddress" ||
			key == "ethernet0.startconnected"
	})
	for _, key := range f.Keys() {
		if card, ok := strings.CutSuffix(key, ".present"); ok && strings.HasPrefix(card, "ethernet") && card != "ethernet0" {
			f.Set(key, "FALSE")
		}
	}
	f.Set("ethernet0.present", "TRUE")
	f.Set("ethernet0.addressType", "static")
	f.Set("ethernet0.address", hwAddr(b.claim.Name))
	f.Set("ethernet0.connectiontype", b.options.network.kind)
	if b.options.network.vnet != "" {
		f.Set("ethernet0.vnet", b.options.network.vnet)
	}
}

// closePorts switches the serial and parallel ports off that lead to a file, a
// pipe or a port of the host: an image could write there as the node may.
func closePorts(f *vmxfile.File) {
	for _, key := range f.Keys() {
		port, is := strings.CutSuffix(key, ".filetype")
		if !is || !strings.HasPrefix(port, "serial") && !strings.HasPrefix(port, "parallel") {
			continue
		}
		if to, _ := f.Get(key); slices.Contains([]string{"file", "pipe", "network"}, strings.ToLower(to)) {
			f.Set(port+".present", "FALSE")
		}
	}
}

// keepIn lets all that the machine writes be in its folder, with which it goes,
// and its log where it is looked for.
func keepIn(f *vmxfile.File) {
	elsewhere := []string{"workingdir", "log.filename", "vmx.log.filename", "logging"}
	f.Remove(func(key string) bool { return slices.Contains(elsewhere, key) })
}

// start starts the machine, and notes that it ran as soon as it is seen to run.
// An answer may be lost and an error be late: what counts is what is listed.
func (b build) start(ctx context.Context) error {
	failed := b.tool.Start(ctx, b.vmx())
	if ctx.Err() != nil {
		return failed
	}
	var up bool
	var err error
	if failed != nil {
		up, err = b.runs(ctx, b.vmx(), 0)
	} else {
		up, err = b.await(ctx, b.vmx(), true)
	}
	if err != nil {
		return errors.Join(failed, err)
	}
	if !up && failed == nil {
		log, _ := readLog(b.folder())
		failed = fmt.Errorf("vmrun start said that all was well, but the virtual machine does not run: %s", log.ending())
	}
	if !up {
		return failed
	}
	return b.workspace.Mark(b.claim, startedFile)
}
