package aws

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// diskOptions is one disk of a definition.
type diskOptions struct {
	device           string
	kind             string // "gp3"; empty: EC2's default
	sizeGB           int    // 0: as large as the snapshot
	iops, throughput int    // 0: the defaults of the kind
	clone            named  // of what snapshot; zero: of none
	tags             cloud.Tags
}

// mostDiskGB is the largest disk that EC2 has: 64 TiB, of io2.
const mostDiskGB = 65536

// diskKinds are those that EC2 takes, by whether they may have IOPS of their
// own; gp3 alone takes a throughput too.
func diskKinds() map[string]bool {
	return map[string]bool{"gp2": false, "gp3": true, "io1": true, "io2": true, "st1": false, "sc1": false, "standard": false}
}

func (o *options) readResources(r model.Resources) (err error) {
	if r.Network != "" {
		if o.network, err = readNetwork(r.Network); err != nil {
			return fmt.Errorf("network: %w", err)
		}
	}
	for _, device := range slices.Sorted(maps.Keys(r.Disks)) {
		disk, err := readDisk(device, r.Disks[device])
		if err != nil {
			return fmt.Errorf("disk %q: %w", device, err)
		}
		o.disks = append(o.disks, disk)
	}
	return nil
}

// readNetwork reads the id of a VPC or of a subnet, or a tag of one of them.
func readNetwork(s string) (named, error) {
	prefix := "subnet-"
	if strings.HasPrefix(s, "vpc-") {
		prefix = "vpc-"
	}
	n, err := readNamed(s, prefix, false)
	if err != nil {
		return named{}, fmt.Errorf("got %q, want the id of a VPC or a subnet with its 8 or 17 hex digits, Tag:Value of one, or nothing for the default VPC", s)
	}
	return n, nil
}

// readDisk reads a disk; its name is the device.
func readDisk(device string, d model.Disk) (diskOptions, error) {
	out := diskOptions{device: device, sizeGB: int(min(d.Size, mostDiskGB+1))}
	switch {
	case device == "" || strings.ContainsAny(device, " \t\n") || len(device) > 32:
		return diskOptions{}, fmt.Errorf("its name is not that of a device, such as /dev/sdf or xvdf")
	case d.Reuse:
		return diskOptions{}, fmt.Errorf("reuse: want false: a disk goes with its machine; keep what it holds with the task snapshot, and clone it")
	case d.Size == 0 && d.Clone == "":
		return diskOptions{}, fmt.Errorf("size: got 0, want 1 to %d GB, or a snapshot in clone", mostDiskGB)
	case d.Size > mostDiskGB:
		return diskOptions{}, fmt.Errorf("size: got %d, want 1 to %d GB", d.Size, mostDiskGB)
	}
	if err := out.readType(d.Type); err != nil {
		return diskOptions{}, fmt.Errorf("type: %w", err)
	}
	var err error
	if out.tags, err = readLabelTags(d.Label); err != nil {
		return diskOptions{}, fmt.Errorf("label: %w", err)
	}
	if d.Clone != "" {
		if out.clone, err = readNamed(d.Clone, "snap-", false); err != nil {
			return diskOptions{}, fmt.Errorf("clone: %w", err)
		}
	}
	return out, nil
}

// readType reads `type[:iops[:throughput]]`.
func (d *diskOptions) readType(s string) error {
	const form = "want type[:iops[:throughput]], such as gp3:4000:250"
	if s == "" {
		return nil
	}
	parts := strings.Split(s, ":")
	if len(parts) > 3 {
		return fmt.Errorf("got %q, %s", s, form)
	}
	if err := checkKind(parts[0], len(parts)-1); err != nil {
		return fmt.Errorf("got %q: %w", s, err)
	}
	d.kind = parts[0]
	for i, to := range []*int{&d.iops, &d.throughput} {
		if len(parts) < i+2 {
			break
		}
		n, err := strconv.Atoi(parts[i+1])
		if err != nil || n < 1 || n > 1_000_000 {
			return fmt.Errorf("got %q, %s", s, form)
		}
		*to = n
	}
	return nil
}

// checkKind says whether a kind of disk takes so many numbers: IOPS, throughput.
func checkKind(kind string, numbers int) error {
	hasIOPS, known := diskKinds()[kind]
	switch {
	case !known:
		return fmt.Errorf("want one of %s", strings.Join(slices.Sorted(maps.Keys(diskKinds())), ", "))
	case numbers > 0 && !hasIOPS:
		return fmt.Errorf("disks of %s have no IOPS of their own", kind)
	case numbers > 1 && kind != "gp3":
		return errors.New("only gp3 has a throughput of its own")
	case numbers == 0 && (kind == "io1" || kind == "io2"):
		return fmt.Errorf("%s needs its IOPS, such as %s:4000", kind, kind)
	}
	return nil
}

// readLabelTags reads `Key:Value,Key:Value`.
func readLabelTags(label string) (cloud.Tags, error) {
	if label == "" {
		return nil, nil
	}
	tags := cloud.Tags{}
	for part := range strings.SplitSeq(label, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), ":")
		if !ok {
			return nil, fmt.Errorf("got %q, want tags as Key:Value,Key:Value", label)
		}
		if _, twice := tags[key]; twice {
			return nil, fmt.Errorf("tag %q is there twice", key)
		}
		if err := checkTag(key, value); err != nil {
			return nil, err
		}
		tags[key] = value
	}
	if len(tags) > mostTags {
		return nil, fmt.Errorf("got %d tags, want at most %d", len(tags), mostTags)
	}
	return tags, nil
}
