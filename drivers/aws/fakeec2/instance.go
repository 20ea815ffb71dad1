package fakeec2

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// instance is an instance as it is; lists show some of it later.
type instance struct {
	cloud.Instance
	launch    cloud.Launch
	who       string
	addressed time.Time // when its address and volumes are shown
	since     time.Time // in this state
	ready     time.Time // it can hibernate
	gen       int       // counts states: what was planned in another is off
	boots     int       // how often it started without its memory
	resumes   int       // how often with it
	sleeps    bool      // it is stopped, or about to, with its memory
}

// show is an instance as the service shows it.
func (i instance) show(now time.Time) cloud.Instance {
	shown := i.Instance
	shown.Tags, shown.Volumes = copyTags(i.Tags), maps.Clone(i.Volumes)
	if i.State == cloud.Terminated {
		shown.VPCID, shown.SubnetID, shown.PrivateIP, shown.PublicIP, shown.MAC, shown.Volumes = "", "", "", "", "", nil
	}
	if now.Before(i.addressed) {
		shown.PrivateIP, shown.Volumes = "", nil
	}
	if i.State != cloud.Running {
		shown.PublicIP = ""
	}
	return shown
}

// Instances implements cloud.API.
func (c *Cloud) Instances(ctx context.Context, q cloud.Query) ([]cloud.Instance, error) {
	return ask(ctx, c, "DescribeInstances", func(now time.Time) ([]cloud.Instance, error) {
		return list(c.account, q, &c.instances, instanceFields(), func(i instance) (cloud.Instance, bool) {
			return i.show(now), true
		})
	})
}

func instanceFields() fields[instance] {
	return withTags(fields[instance]{
		"instance-id":                    func(i instance) []string { return one(i.ID) },
		"instance-state-name":            func(i instance) []string { return one(i.State) },
		"instance-state-code":            func(i instance) []string { return number(stateCode(i.State)) },
		"instance-type":                  func(i instance) []string { return one(i.Type) },
		"image-id":                       func(i instance) []string { return one(i.ImageID) },
		"client-token":                   func(i instance) []string { return one(i.ClientToken) },
		"availability-zone":              func(i instance) []string { return one(i.Zone) },
		"vpc-id":                         func(i instance) []string { return one(i.VPCID) },
		"subnet-id":                      func(i instance) []string { return one(i.SubnetID) },
		"private-ip-address":             func(i instance) []string { return one(i.PrivateIP) },
		"ip-address":                     func(i instance) []string { return one(i.PublicIP) },
		"host-id":                        func(i instance) []string { return one(i.HostID) },
		"spot-instance-request-id":       func(i instance) []string { return one(i.SpotRequestID) },
		"state-reason-code":              func(i instance) []string { return one(i.Reason.Code) },
		"launch-time":                    func(i instance) []string { return stamp(i.LaunchTime) },
		"root-device-name":               func(i instance) []string { return one(i.RootDevice) },
		"hibernation-options.configured": func(i instance) []string { return flag(i.Hibernates) },
		"iam-instance-profile.name":      func(i instance) []string { return one(i.launch.IAMProfile) },
		"instance.group-id":              func(i instance) []string { return i.launch.SecurityGroupIDs },
		"tenancy": func(i instance) []string {
			return one(either(i.HostID != "", "host", "default"))
		},
		"instance-lifecycle": func(i instance) []string {
			return one(either(i.Spot, "spot", ""))
		},
		"block-device-mapping.volume-id": func(i instance) []string {
			return slices.Collect(maps.Values(i.Volumes))
		},
		"block-device-mapping.device-name": func(i instance) []string {
			return slices.Collect(maps.Keys(i.Volumes))
		},
	}, func(i instance) cloud.Tags { return i.Tags })
}

func stateCode(state string) int {
	return map[string]int{
		cloud.Pending: 0, cloud.Running: 16, cloud.ShuttingDown: 32, cloud.Terminated: 48, cloud.Stopping: 64, cloud.Stopped: 80,
	}[state]
}

// Instance is an instance as it really is, whatever lists show.
func (c *Cloud) Instance(id string) (cloud.Instance, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.catchUp()
	i, found := c.instances.get(id)
	i.addressed = time.Time{}
	return i.show(now), found
}

// Guest is what is inside of an instance.
type Guest struct {
	Launch   cloud.Launch // what it was asked for with
	UserData []byte
	Boots    int // starts from nothing, the first included
	Resumes  int // starts with the memory of before
}

// Guest looks into an instance.
func (c *Cloud) Guest(id string) (Guest, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.catchUp()
	i, found := c.instances.get(id)
	return Guest{Launch: copyLaunch(i.launch), UserData: slices.Clone(i.launch.UserData), Boots: i.boots, Resumes: i.resumes}, found
}

// enter brings an instance into a state. What was planned for it is off.
func (a *account) enter(id string, now time.Time, state string, reason cloud.StateReason) {
	a.instances.change(id, now, func(i *instance) {
		i.State, i.Reason, i.since = state, reason, now
		i.gen++
	})
	i, _ := a.instances.get(id)
	a.pay(id, now, i.HostID == "" && (state == cloud.Running || state == cloud.Stopping && i.sleeps))
	a.happened(now, state, id)
}

// next plans a state that follows, unless another one comes before it.
func (a *account) next(id string, after time.Duration, do func(now time.Time, i instance)) {
	i, _ := a.instances.get(id)
	gen := i.gen
	a.plan(after, func(now time.Time) {
		if i, found := a.instances.get(id); found && i.gen == gen {
			do(now, i)
		}
	})
}

// known is an instance that a call names; to callers who come too early it is
// not there yet.
func (a *account) known(id string) (instance, error) {
	if !a.instances.known(a, id) {
		return instance{}, cloud.NewError("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
	}
	i, _ := a.instances.get(id)
	return i, nil
}

// mac reports whether it is a Mac.
func (a *account) mac(kind string) bool {
	t, _ := a.types.get(kind)
	return t.Mac()
}
