package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// plan is the intent of a request: everything is looked up, nothing is made.
func (d *driver) plan(ctx context.Context, req drivers.Request) (*intent, error) {
	o, err := readOptions(req.Definition)
	if err != nil {
		return nil, labelError{err}
	}
	now := time.Now().UTC()
	in := &intent{
		Version: intentVersion, Token: req.Token, Node: d.node, Instance: d.instance, Account: d.account, Region: d.settings.Region,
		Application: req.ApplicationUID, Created: now, Pool: o.pool,
	}
	if o.types, err = d.typesOf(o); err != nil {
		return nil, err
	}
	image, err := d.resolver.image(ctx, o.image)
	if err != nil {
		return nil, err
	}
	types, err := d.checkTypes(ctx, o, image)
	if err != nil {
		return nil, err
	}
	in.Launch = cloud.Launch{
		ImageID: image.ID, Tags: d.tags(in, o), Hibernate: o.hibernate, IAMProfile: o.iamProfile,
		// A build that shuts its machine down is done with it; stopped, its disks would be paid for.
		ShutdownTerminates: true,
	}
	if in.Launch.UserData, err = renderUserdata(o, req.Metadata, req.LabelMetadata, d.log); err != nil {
		return nil, err
	}
	if in.Launch.Disks, in.DiskTags, err = d.disks(ctx, o, image); err != nil {
		return nil, err
	}
	in.Candidates, err = d.candidates(ctx, o, req.Definition.Resources.Network, types)
	return in, err
}

// typesOf are the types that the options mean: of a pool its hosts'.
func (d *driver) typesOf(o options) ([]string, error) {
	if o.pool == "" {
		return o.types, nil
	}
	hosts, err := d.hosts.Type(o.pool)
	if err != nil {
		return nil, labelError{err}
	}
	if len(o.types) > 0 && o.types[0] != hosts {
		return nil, labelError{fmt.Errorf("option instance_type: got %s, but pool %s is of %s", o.types[0], o.pool, hosts)}
	}
	return []string{hosts}, nil
}

// checkTypes looks the types up and says which of them can not be what the
// label asks for.
func (d *driver) checkTypes(ctx context.Context, o options, image cloud.Image) (map[string]cloud.InstanceType, error) {
	all, err := d.member.Types(ctx, o.types...)
	if err != nil {
		return nil, err
	}
	types := map[string]cloud.InstanceType{}
	for _, name := range o.types {
		t, known := all[name]
		if !known {
			continue // a label may be for several regions, of which not all have all types; Capacity passes it over, too
		}
		if err := checkType(t, o, image); err != nil {
			return nil, labelError{fmt.Errorf("option instance_type: %s %w", name, err)}
		}
		types[name] = t
	}
	if len(types) == 0 {
		return nil, labelError{fmt.Errorf("option instance_type: %s has no type %s", d.settings.Region, strings.Join(o.types, ", "))}
	}
	return types, nil
}

func checkType(t cloud.InstanceType, o options, image cloud.Image) error {
	switch disks := countDisks(o, image); {
	case t.Mac() && o.pool == "":
		return errors.New("is a Mac, which needs a dedicated host: name a pool")
	case image.Architecture != "" && len(t.Architectures) > 0 && !slices.Contains(t.Architectures, image.Architecture):
		return fmt.Errorf("is of %s, and image %s of %s", strings.Join(t.Architectures, ", "), image.ID, image.Architecture)
	case o.spot.attempts > 0 && !t.SpotUsable:
		return errors.New("is not to be had as spot instance")
	case t.MaxDisks > 0 && disks > t.MaxDisks:
		return fmt.Errorf("takes %d disks, and there are %d", t.MaxDisks, disks)
	case o.hibernate:
		return checkMemory(t, o, image)
	}
	return nil
}

// checkMemory says why a type can not hibernate with the image. EC2 would refuse
// the launch or, of a root disk that is too small, lose the memory later.
func checkMemory(t cloud.InstanceType, o options, image cloud.Image) error {
	switch root := rootGB(o, image); {
	case !t.Hibernation || t.BareMetal:
		return errors.New("can not hibernate")
	case t.MemoryMB >= mostMemoryMB:
		return fmt.Errorf("has %d GB of memory, and EC2 hibernates what has less than %d", t.MemoryMB>>10, mostMemoryMB>>10)
	case root > 0 && root<<10 < t.MemoryMB:
		return fmt.Errorf("has %d GB of memory to hibernate with, and the root disk %d GB: give the label a larger disk of the name %s",
			(t.MemoryMB+1023)>>10, root, image.RootDevice)
	}
	return nil
}

// mostMemoryMB is the memory of Linux that EC2 does not write to a disk any
// more. Of Windows it takes 16 GB: an image does not say what it is, so EC2 says that.
const mostMemoryMB = 150 << 10

// rootGB is the size of the root disk; 0 if it is not known.
func rootGB(o options, image cloud.Image) (size int) {
	for _, d := range image.Disks {
		if d.Device == image.RootDevice {
			size = d.SizeGB
		}
	}
	for _, d := range o.disks {
		if d.device == image.RootDevice && d.sizeGB > 0 {
			size = d.sizeGB
		}
	}
	return size
}

func countDisks(o options, image cloud.Image) int {
	n := len(image.Disks)
	for _, d := range o.disks {
		if !slices.ContainsFunc(image.Disks, func(i cloud.ImageDisk) bool { return i.Device == d.device }) {
			n++
		}
	}
	return n
}

// tags are those of everything that comes of an intent: the config's, the
// label's over them, and ours, which nobody else may set.
func (d *driver) tags(in *intent, o options) cloud.Tags {
	return d.maker().Tags(cloud.Mark{
		Purpose: cloud.PurposeWork, Token: in.Token, Application: in.Application.String(), Pool: in.Pool, Created: in.Created,
	}, d.settings.InstanceTags, o.tags)
}

// disks are those of the image and of the label, sorted by device. The image's
// own are named too: so they are encrypted as the label says, and go with the
// machine whatever the image says.
func (d *driver) disks(ctx context.Context, o options, image cloud.Image) ([]cloud.Disk, map[string]cloud.Tags, error) {
	encrypted, key := o.hibernate, "" // memory is written to an encrypted disk only
	if o.encryptKey != "" {
		var err error
		if key, err = d.resolver.key(ctx, o.encryptKey); err != nil {
			return nil, nil, err
		}
		encrypted = true
	}
	byDevice := map[string]cloud.Disk{}
	for _, i := range image.Disks {
		if i.SnapshotID != "" || i.SizeGB > 0 { // else it is one of the machine's own, which has no such settings
			byDevice[i.Device] = cloud.Disk{Device: i.Device, SizeGB: i.SizeGB, Encrypted: encrypted, KeyID: key}
		}
	}
	tags := map[string]cloud.Tags{}
	for _, want := range o.disks {
		disk := cloud.Disk{
			Device: want.device, Type: want.kind, SizeGB: want.sizeGB, IOPS: want.iops, Throughput: want.throughput, Encrypted: encrypted, KeyID: key,
		}
		if (want.clone != named{}) {
			from, err := d.resolver.snapshot(ctx, want.clone)
			if err != nil {
				return nil, nil, err
			}
			if disk.SizeGB > 0 && disk.SizeGB < from.SizeGB {
				return nil, nil, labelError{fmt.Errorf("disk %q: size: got %d, want at least the %d GB of snapshot %s", want.device, disk.SizeGB, from.SizeGB, from.ID)}
			}
			disk.SnapshotID = from.ID
		}
		byDevice[want.device] = disk
		if len(want.tags) > 0 {
			tags[want.device] = want.tags
		}
	}
	var disks []cloud.Disk
	for _, device := range slices.Sorted(maps.Keys(byDevice)) {
		disks = append(disks, byDevice[device])
	}
	return disks, tags, nil
}

// candidates are all ways to get a machine, best first.
func (d *driver) candidates(ctx context.Context, o options, network string, types map[string]cloud.InstanceType) ([]candidate, error) {
	if err := d.member.Networks(ctx, d.began); err != nil {
		return nil, err
	}
	known := d.member.Snapshot()
	subnets, err := known.Network(network, d.resolver.owners)
	if err != nil {
		return nil, labelError{err}
	}
	groups := map[string]string{}
	if o.securityGroup != "" {
		if groups, err = d.resolver.group(ctx, o.securityGroup); err != nil {
			return nil, err
		}
		subnets = slices.DeleteFunc(slices.Clone(subnets), func(s cloud.Subnet) bool { return groups[s.VPCID] == "" })
		if len(subnets) == 0 {
			return nil, labelError{fmt.Errorf("option security_group: %s is in no VPC of the network %q", o.securityGroup, network)}
		}
	}
	c := chooser{subnets: subnets, zones: known.Zones, taken: known.Taken, groups: groups, dry: func(p account.Place) bool {
		code, _ := account.QuotaCode(p.Type, p.Spot)
		return time.Now().Before(known.Dry[p]) || known.Exhausted[code]
	}}
	all := c.choose(o, types)
	if len(all) == 0 {
		return nil, labelError{fmt.Errorf("none of %s is to be had in the zones of network %q", strings.Join(o.types, ", "), network)}
	}
	return all, nil
}

// chooser orders the ways to get a machine. It is pure.
type chooser struct {
	subnets []cloud.Subnet
	zones   map[string][]string // by type, where it is offered
	taken   map[string]int      // addresses by subnet that no list shows yet
	groups  map[string]string   // by VPC
	dry     func(account.Place) bool
}

// choose returns spot candidates first, as many as may be tried, and then those
// on demand. Places that had no capacity lately come last among their like, as
// they may have some again when all others have none.
func (c chooser) choose(o options, types map[string]cloud.InstanceType) []candidate {
	var all []candidate
	if o.spot.attempts > 0 {
		spot := c.of(o, types, true)
		all = spot[:min(len(spot), o.spot.attempts)]
	}
	if o.spot.attempts == 0 || o.spot.onDemand {
		all = append(all, c.of(o, types, false)...)
	}
	return all
}

// of are the candidates of one kind: types in the label's order, and for each
// its zones, that with most free addresses first.
func (c chooser) of(o options, types map[string]cloud.InstanceType, spot bool) []candidate {
	var wet, dry []candidate
	for _, name := range o.types {
		if _, usable := types[name]; !usable {
			continue
		}
		for _, sub := range c.places(name, o) {
			one := candidate{Type: name, Zone: sub.Zone, Subnet: sub.ID, Spot: spot}
			if group := c.groups[sub.VPCID]; group != "" {
				one.Groups = []string{group}
			}
			if c.dry(account.Place{Zone: sub.Zone, Type: name, Spot: spot}) {
				dry = append(dry, one)
			} else {
				wet = append(wet, one)
			}
		}
	}
	return append(wet, dry...)
}

// places is the subnet with most free addresses of each zone that offers a
// type, best first. One of a pool goes where its host is, and is offered there.
func (c chooser) places(name string, o options) []cloud.Subnet {
	best := map[string]cloud.Subnet{}
	for _, sub := range c.subnets {
		if len(o.zones) > 0 && !slices.Contains(o.zones, sub.Zone) || o.pool == "" && !slices.Contains(c.zones[name], sub.Zone) {
			continue
		}
		if was, known := best[sub.Zone]; !known || c.better(sub, was) < 0 {
			best[sub.Zone] = sub
		}
	}
	return slices.SortedFunc(maps.Values(best), c.better)
}

// better orders subnets, best first. What is equal is ordered by its id, so
// that the same is asked for again after a crash.
func (c chooser) better(a, b cloud.Subnet) int {
	return cmp.Or(cmp.Compare(c.free(b), c.free(a)), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.ID, b.ID))
}

func (c chooser) free(s cloud.Subnet) int { return s.FreeAddresses - c.taken[s.ID] }
