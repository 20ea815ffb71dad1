package pools

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
)

// scrubLease is how long a machine that has a host scrubbed may exist: it is
// ended as soon as it was started. Whoever finds an older one removes it.
const scrubLease = 30 * time.Minute

// scrubs are the launches that are under way: a repeated one is the same
// request, byte by byte, though images and subnets may be others by then.
type scrubs struct {
	mu       sync.Mutex
	launches map[string]scrubLaunch // by host
}

type scrubLaunch struct {
	token string
	cloud.Launch
}

func (s *scrubs) known(host, token string) (cloud.Launch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.launches[host]
	return l.Launch, ok && l.token == token
}

func (s *scrubs) keep(host, token string, l cloud.Launch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.launches[host] = scrubLaunch{token, l}
}

func (s *scrubs) forget(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.launches, host)
}

// startScrub starts a machine on the host, whose end has AWS scrub it.
func (k *keeper) startScrub(ctx context.Context, a pool.StartScrub) (id string, err error) {
	l, known := k.scrub.known(a.Host, a.ClientToken)
	if !known {
		if l, err = k.scrubLaunch(ctx, a); err != nil {
			return k.earlierScrub(ctx, a, err)
		}
		k.scrub.keep(a.Host, a.ClientToken, l)
	}
	inst, err := k.opts.API.RunInstance(ctx, l)
	if err == nil {
		return inst.ID, nil
	}
	if cloud.IsKind(err, cloud.Mismatch) { // an earlier process asked for it, with another image or subnet
		return k.earlierScrub(ctx, a, err)
	}
	return "", err
}

// earlierScrub finds the machine that an earlier request made, where this one
// was not to be sent, or refused because of that. cause is the error if there
// was none for certain.
func (k *keeper) earlierScrub(ctx context.Context, a pool.StartScrub, cause error) (string, error) {
	if !a.Again && !cloud.IsKind(cause, cloud.Mismatch) {
		return "", cause // it is the first one
	}
	found, err := k.opts.API.Instances(ctx, cloud.Where("client-token", a.ClientToken))
	switch {
	case err != nil:
		return "", fmt.Errorf("look for the machine of an earlier scrub: %s: %w", err.Error(), errEarlier)
	case len(found) > 0:
		return found[0].ID, nil
	case !a.Shown: // lists may be late
		return "", fmt.Errorf("%s: %w", cause.Error(), errEarlier)
	}
	return "", cause
}

// errEarlier leaves open what became of a request. It is no cloud.Error, as
// one of those may say for certain that nothing did.
var errEarlier = errors.New("whether an earlier request started a machine is not known yet")

// scrubLaunch is how a machine for a host is started. An error of what is looked
// up says that nothing was started.
func (k *keeper) scrubLaunch(ctx context.Context, a pool.StartScrub) (cloud.Launch, error) {
	subnet, err := k.scrubSubnet(ctx, a.Zone)
	if err != nil {
		return cloud.Launch{}, notStarted(err)
	}
	image, err := k.scrubImage(ctx, a)
	if err != nil {
		return cloud.Launch{}, notStarted(err)
	}
	groups, err := k.scrubGroups(ctx, subnet.VPCID)
	if err != nil {
		return cloud.Launch{}, notStarted(err)
	}
	tags := k.tags(cloud.Mark{Purpose: cloud.PurposeScrub, Created: a.Decided, Lease: a.Decided.Add(scrubLease)}, "aquarium-fish scrub of "+a.Host)
	return cloud.Launch{
		ClientToken: a.ClientToken, ImageID: image, Type: a.Type, SubnetID: subnet.ID, SecurityGroupIDs: groups, HostID: a.Host,
		Tags: tags, ShutdownTerminates: true,
	}, nil
}

// notStarted makes an error one that says so for certain.
func notStarted(err error) error {
	return &cloud.Error{Code: "NotStarted", Kind: cloud.KindOf(err), Message: "prepare the scrub: " + err.Error()}
}

func (k *keeper) scrubSubnet(ctx context.Context, zone string) (cloud.Subnet, error) {
	query := cloud.Where("availability-zone", zone).And("default-for-az", "true")
	if k.pool.Subnet != "" {
		named, err := k.opts.API.Subnets(ctx, cloud.Where("subnet-id", k.pool.Subnet))
		if err != nil {
			return cloud.Subnet{}, err
		}
		if len(named) == 0 {
			return cloud.Subnet{}, fmt.Errorf("dedicated_pool.%s.subnet: %s is not there, correct it", k.pool.Name, k.pool.Subnet)
		}
		if named[0].Zone == zone {
			return named[0], nil
		}
		query = cloud.Where("vpc-id", named[0].VPCID).And("availability-zone", zone)
	}
	found, err := k.opts.API.Subnets(ctx, query)
	if err != nil {
		return cloud.Subnet{}, err
	}
	if len(found) == 0 {
		return cloud.Subnet{}, fmt.Errorf("there is no subnet for it in %s: set dedicated_pool.%s.subnet", zone, k.pool.Name)
	}
	return slices.MinFunc(found, func(a, b cloud.Subnet) int {
		return cmp.Or(cmp.Compare(b.FreeAddresses, a.FreeAddresses), strings.Compare(a.ID, b.ID))
	}), nil
}

func (k *keeper) scrubGroups(ctx context.Context, vpc string) ([]string, error) {
	name := k.pool.SecurityGroup
	if name == "" || strings.HasPrefix(name, "sg-") {
		return slices.DeleteFunc([]string{name}, func(s string) bool { return s == "" }), nil
	}
	found, err := k.opts.API.SecurityGroups(ctx, cloud.Where("group-name", name).And("vpc-id", vpc))
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("dedicated_pool.%s.security_group: %d groups are named %q in %s, want one", k.pool.Name, len(found), name, vpc)
	}
	return []string{found[0].ID}, nil
}

// scrubImage is an image that the host can start without new firmware, which
// would have it scrubbed for hours: a small one, as it is never used.
func (k *keeper) scrubImage(ctx context.Context, a pool.StartScrub) (string, error) {
	if strings.HasPrefix(k.pool.ScrubImage, "ami-") {
		return k.pool.ScrubImage, nil
	}
	if k.pool.ScrubImage != "" {
		found, err := k.opts.API.Images(ctx, []string{"self", "amazon"},
			cloud.Where("name", k.pool.ScrubImage).And("state", cloud.ImageAvailable))
		if err != nil {
			return "", err
		}
		if len(found) == 0 {
			return "", fmt.Errorf("dedicated_pool.%s.scrub_image: no image %q, correct it", k.pool.Name, k.pool.ScrubImage)
		}
		return slices.MaxFunc(found, func(a, b cloud.Image) int { return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID)) }).ID, nil
	}
	return k.amazonImage(ctx, a)
}

// amazonImage is the smallest, and of those the newest, of Amazon's macOS images
// that the firmware of the host starts.
func (k *keeper) amazonImage(ctx context.Context, a pool.StartScrub) (string, error) {
	types, err := k.opts.API.InstanceTypes(ctx, []string{a.Type})
	if err != nil {
		return "", err
	}
	macs, err := k.opts.API.MacHosts(ctx, cloud.Query{})
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(macs, func(m cloud.MacHost) bool { return m.HostID == a.Host })
	if i < 0 || len(types) == 0 {
		return "", fmt.Errorf("AWS does not say what macOS %s can start: set dedicated_pool.%s.scrub_image", a.Host, k.pool.Name)
	}
	found, err := k.opts.API.Images(ctx, []string{"amazon"},
		cloud.Where("name", "amzn-ec2-macos-*").And("architecture", types[0].Architectures...).And("state", cloud.ImageAvailable))
	if err != nil {
		return "", err
	}
	mac := macs[i]
	found = slices.DeleteFunc(found, func(i cloud.Image) bool { return !starts(mac, macOS(i.Name)) })
	if len(found) == 0 {
		return "", fmt.Errorf("no image of Amazon's starts on %s: set dedicated_pool.%s.scrub_image", a.Host, k.pool.Name)
	}
	return slices.MinFunc(found, func(a, b cloud.Image) int {
		return cmp.Or(cmp.Compare(rootSize(a), rootSize(b)), slices.Compare(macOS(b.Name), macOS(a.Name)), strings.Compare(a.ID, b.ID))
	}).ID, nil
}

func rootSize(i cloud.Image) int {
	for _, d := range i.Disks {
		if d.Device == i.RootDevice {
			return d.SizeGB
		}
	}
	return 0
}

// macOS is the version in the name of one of Amazon's images, such as
// "amzn-ec2-macos-14.5-20240527-183131"; nil if there is none.
func macOS(name string) []int {
	rest, ok := strings.CutPrefix(name, "amzn-ec2-macos-")
	if !ok {
		return nil
	}
	text, _, _ := strings.Cut(rest, "-")
	return version(text)
}

func version(text string) []int {
	var v []int
	for part := range strings.SplitSeq(text, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil
		}
		v = append(v, n)
	}
	return v
}

// starts reports whether a Mac starts a version without new firmware: it is not
// newer than the latest of its major version.
func starts(m cloud.MacHost, v []int) bool {
	return len(v) > 0 && slices.ContainsFunc(m.Latest, func(text string) bool {
		latest := version(text)
		return len(latest) > 0 && latest[0] == v[0] && slices.Compare(v, latest) <= 0
	})
}
