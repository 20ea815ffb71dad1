package wire_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// world is a backend with one of everything. It knows no rules: it notes what
// it is asked, and answers it with what it has.
type world struct {
	instances []cloud.Instance
	hosts     []cloud.Host
	macs      []cloud.MacHost
	images    []cloud.Image
	snapshots []cloud.Snapshot
	volumes   []cloud.Volume
	spots     []cloud.SpotRequest
	vpcs      []cloud.VPC
	subnets   []cloud.Subnet
	groups    []cloud.SecurityGroup
	types     []cloud.InstanceType
	offerings []cloud.Offering
	quotas    map[string]float64
	keys      map[string]string

	mu    sync.Mutex
	asked []any            // arguments of the calls that change something
	query cloud.Query      // the last one
	fail  map[string]error // what a method returns
}

var _ cloud.API = (*world)(nil)

var day = time.Date(2026, 2, 3, 4, 5, 6, 789_000_000, time.UTC)

const account = "123456789012"

func newWorld() *world {
	tags := cloud.Tags{"AquariumNode": "n1", "empty": "", "odd <&>\"": "ä "}
	return &world{
		instances: []cloud.Instance{{
			ID: "i-1", Type: "m7g.large", State: cloud.Running, ImageID: "ami-1", LaunchTime: day, ClientToken: "tok", Tags: tags,
			Zone: "eu-central-1a", VPCID: "vpc-1", SubnetID: "subnet-1", PrivateIP: "10.0.0.5", PublicIP: "198.51.100.7", MAC: "02:00:00:00:00:01",
			Spot: true, SpotRequestID: "sir-1", Hibernates: true, RootDevice: "/dev/xvda",
			Volumes: map[string]string{"/dev/xvda": "vol-1", "/dev/sdb": "vol-2"}, VCPUs: 2,
		}, {
			ID: "i-2", Type: "mac2.metal", State: cloud.Terminated, ImageID: "ami-2", HostID: "h-1", Zone: "eu-central-1b", LaunchTime: day,
			Reason: cloud.StateReason{Code: "Client.UserInitiatedShutdown", Message: "by user"},
		}},
		hosts: []cloud.Host{
			{ID: "h-1", Type: "mac2.metal", Zone: "eu-central-1b", State: cloud.HostPending, AllocationTime: day, Instances: []string{"i-2"}, ClientToken: "htok", Tags: tags},
			{ID: "h-2", Type: "mac2.metal", Zone: "eu-central-1b", State: cloud.HostReleased, AllocationTime: day, ReleaseTime: day.Add(25 * time.Hour), Free: -1},
		},
		macs: []cloud.MacHost{{HostID: "h-1", Latest: []string{"14.5", "15.1"}}},
		images: []cloud.Image{{
			ID: "ami-1", Name: "ubuntu", Owner: account, State: cloud.ImageFailed, Reason: "no key", Created: day, Architecture: "arm64",
			RootDevice: "/dev/xvda", Disks: []cloud.ImageDisk{{Device: "/dev/xvda", SnapshotID: "snap-1", SizeGB: 8, Encrypted: true}}, Tags: tags,
		}},
		snapshots: []cloud.Snapshot{{ID: "snap-1", VolumeID: "vol-1", Owner: account, State: cloud.SnapshotError, Reason: "lost", Started: day, SizeGB: 8, Encrypted: true, Progress: "42%", Tags: tags}},
		volumes:   []cloud.Volume{{ID: "vol-1", Zone: "eu-central-1a", State: "in-use", SizeGB: 8, Type: "gp3", Created: day, InstanceID: "i-1", Tags: tags}},
		spots:     []cloud.SpotRequest{{ID: "sir-1", InstanceID: "i-1", State: "active", Status: "fulfilled", Tags: tags}},
		vpcs:      []cloud.VPC{{ID: "vpc-1", Default: true, Tags: tags}},
		subnets:   []cloud.Subnet{{ID: "subnet-1", VPCID: "vpc-1", Zone: "eu-central-1a", Owner: account, FreeAddresses: 4091, Tags: tags}},
		groups:    []cloud.SecurityGroup{{ID: "sg-1", Name: "default", VPCID: "vpc-1", Owner: account, Tags: tags}},
		types: []cloud.InstanceType{
			{Name: "m7g.large", VCPUs: 2, MemoryMB: 8192, Architectures: []string{"arm64"}, Hibernation: true, SpotUsable: true, MaxDisks: 27},
			{Name: "mac2.metal", VCPUs: 8, MemoryMB: 16384, Architectures: []string{"arm64_mac"}, BareMetal: true},
		},
		offerings: []cloud.Offering{{Type: "m7g.large", Zone: "eu-central-1a"}, {Type: "m7g.large", Zone: "eu-central-1b"}, {Type: "mac2.metal", Zone: "eu-central-1b"}},
		quotas:    map[string]float64{"L-1216C47A": 5, "L-34B43A08": 64, "L-5D8DADF5": 2, "L-A8448DC5": 0},
		keys:      map[string]string{"alias/fish": "arn:aws:kms:eu-central-1:123456789012:key/0001"},
	}
}

// note remembers a call and returns what is to go wrong with it.
func (w *world) note(method string, args ...any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, args...)
	return w.fail[method]
}

// heard is all that was asked for so far.
func (w *world) heard() []any {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked)
}

// find narrows by the filter for ids alone.
func find[T any](w *world, method string, q cloud.Query, filter string, all []T, id func(T) string) ([]T, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.query = q
	found := slices.Clone(all)
	for _, f := range q.Filters {
		if f.Name == filter {
			found = slices.DeleteFunc(found, func(t T) bool { return !slices.Contains(f.Values, id(t)) })
		}
	}
	return found, w.fail[method]
}

func (w *world) Identity(context.Context) (cloud.Identity, error) {
	return cloud.Identity{Account: account, ARN: "arn:aws:iam::" + account + ":user/fish"}, w.note("Identity")
}

func (w *world) RunInstance(_ context.Context, l cloud.Launch) (cloud.Instance, error) {
	return w.instances[0], w.note("RunInstance", l)
}

func (w *world) Instances(_ context.Context, q cloud.Query) ([]cloud.Instance, error) {
	return find(w, "Instances", q, "instance-id", w.instances, func(i cloud.Instance) string { return i.ID })
}

type stopped struct {
	ID  string
	How cloud.Stop
}

func (w *world) StopInstance(_ context.Context, id string, how cloud.Stop) error {
	return w.note("StopInstance", stopped{id, how})
}

func (w *world) StartInstance(_ context.Context, id string) error { return w.note("StartInstance", id) }

func (w *world) TerminateInstances(_ context.Context, ids []string) error {
	return w.note("TerminateInstances", ids)
}

func (w *world) AllocateHost(_ context.Context, r cloud.HostRequest) (string, error) {
	return "h-9", w.note("AllocateHost", r)
}

func (w *world) Hosts(_ context.Context, q cloud.Query) ([]cloud.Host, error) {
	return find(w, "Hosts", q, "host-id", w.hosts, func(h cloud.Host) string { return h.ID })
}

func (w *world) ReleaseHosts(_ context.Context, ids []string) ([]string, map[string]*cloud.Error, error) {
	refused := map[string]*cloud.Error{}
	for _, id := range ids[1:] {
		refused[id] = cloud.NewError("Client.HostMinAllocationPeriodUnexpired", "%s: any time after 2026-02-04T04:05:06.789Z.", id)
	}
	return ids[:1], refused, w.note("ReleaseHosts", ids)
}

func (w *world) MacHosts(_ context.Context, q cloud.Query) ([]cloud.MacHost, error) {
	return find(w, "MacHosts", q, "host-id", w.macs, func(m cloud.MacHost) string { return m.HostID })
}

func (w *world) Images(_ context.Context, owners []string, q cloud.Query) ([]cloud.Image, error) {
	if err := w.note("Images", owners); err != nil {
		return nil, err
	}
	return find(w, "", q, "image-id", w.images, func(i cloud.Image) string { return i.ID })
}

func (w *world) CreateImage(_ context.Context, r cloud.ImageRequest) (string, error) {
	return "ami-9", w.note("CreateImage", r)
}

func (w *world) CopyImage(_ context.Context, r cloud.ImageCopy) (string, error) {
	return "ami-9", w.note("CopyImage", r)
}

func (w *world) DeregisterImage(_ context.Context, id string) error {
	return w.note("DeregisterImage", id)
}

func (w *world) Snapshots(_ context.Context, owners []string, q cloud.Query) ([]cloud.Snapshot, error) {
	if err := w.note("Snapshots", owners); err != nil {
		return nil, err
	}
	return find(w, "", q, "snapshot-id", w.snapshots, func(s cloud.Snapshot) string { return s.ID })
}

func (w *world) CreateSnapshots(_ context.Context, r cloud.SnapshotsRequest) ([]cloud.Snapshot, error) {
	return w.snapshots, w.note("CreateSnapshots", r)
}

func (w *world) DeleteSnapshot(_ context.Context, id string) error {
	return w.note("DeleteSnapshot", id)
}

func (w *world) Volumes(_ context.Context, q cloud.Query) ([]cloud.Volume, error) {
	return find(w, "Volumes", q, "volume-id", w.volumes, func(v cloud.Volume) string { return v.ID })
}

func (w *world) DeleteVolume(_ context.Context, id string) error { return w.note("DeleteVolume", id) }

type tagged struct {
	IDs  []string
	Tags cloud.Tags
}

func (w *world) CreateTags(_ context.Context, ids []string, tags cloud.Tags) error {
	return w.note("CreateTags", tagged{ids, tags})
}

func (w *world) SpotRequests(_ context.Context, q cloud.Query) ([]cloud.SpotRequest, error) {
	return find(w, "SpotRequests", q, "spot-instance-request-id", w.spots, func(s cloud.SpotRequest) string { return s.ID })
}

func (w *world) CancelSpotRequests(_ context.Context, ids []string) error {
	return w.note("CancelSpotRequests", ids)
}

func (w *world) VPCs(_ context.Context, q cloud.Query) ([]cloud.VPC, error) {
	return find(w, "VPCs", q, "vpc-id", w.vpcs, func(v cloud.VPC) string { return v.ID })
}

func (w *world) Subnets(_ context.Context, q cloud.Query) ([]cloud.Subnet, error) {
	return find(w, "Subnets", q, "subnet-id", w.subnets, func(s cloud.Subnet) string { return s.ID })
}

func (w *world) SecurityGroups(_ context.Context, q cloud.Query) ([]cloud.SecurityGroup, error) {
	return find(w, "SecurityGroups", q, "group-id", w.groups, func(g cloud.SecurityGroup) string { return g.ID })
}

func (w *world) InstanceTypes(_ context.Context, names []string) ([]cloud.InstanceType, error) {
	found := slices.Clone(w.types)
	if len(names) > 0 {
		found = slices.DeleteFunc(found, func(t cloud.InstanceType) bool { return !slices.Contains(names, t.Name) })
	}
	return found, w.note("InstanceTypes")
}

func (w *world) Offerings(context.Context, []string) ([]cloud.Offering, error) {
	return w.offerings, w.note("Offerings")
}

func (w *world) Quotas(context.Context) (map[string]float64, error) {
	return w.quotas, w.note("Quotas")
}

func (w *world) Key(_ context.Context, name string) (string, error) {
	arn, ok := w.keys[name]
	if !ok {
		return "", cloud.NewError("NotFoundException", "Alias %s is not found.", name)
	}
	return arn, w.note("Key")
}
