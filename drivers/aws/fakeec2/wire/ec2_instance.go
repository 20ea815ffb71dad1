package wire

import (
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// reservation is what EC2 wraps instances in; here each has its own.
type reservation struct {
	ID        string            `xml:"reservationId"`
	Instances set[instanceItem] `xml:"instancesSet"`
}

func reserve(i cloud.Instance) reservation {
	return reservation{
		ID:        "r-" + strings.TrimPrefix(i.ID, "i-"),
		Instances: setOf([]cloud.Instance{i}, lookOfInstance),
	}
}

type instanceItem struct {
	ID            string              `xml:"instanceId"`
	ImageID       string              `xml:"imageId"`
	State         stateItem           `xml:"instanceState"`
	Type          string              `xml:"instanceType"`
	LaunchTime    string              `xml:"launchTime,omitempty"`
	ClientToken   string              `xml:"clientToken,omitempty"`
	Placement     placementItem       `xml:"placement"`
	SubnetID      string              `xml:"subnetId,omitempty"`
	VPCID         string              `xml:"vpcId,omitempty"`
	PrivateIP     string              `xml:"privateIpAddress,omitempty"`
	PublicIP      string              `xml:"ipAddress,omitempty"`
	StateReason   *reasonItem         `xml:"stateReason,omitempty"`
	RootDevice    string              `xml:"rootDeviceName,omitempty"`
	RootType      string              `xml:"rootDeviceType,omitempty"`
	Devices       set[deviceItem]     `xml:"blockDeviceMapping"`
	Lifecycle     string              `xml:"instanceLifecycle,omitempty"`
	SpotRequestID string              `xml:"spotInstanceRequestId,omitempty"`
	Interfaces    set[interfaceItem]  `xml:"networkInterfaceSet"`
	CPU           *cpuItem            `xml:"cpuOptions,omitempty"`
	Hibernation   hibernationSettings `xml:"hibernationOptions"`
	Tags          set[tagItem]        `xml:"tagSet"`
}

type stateItem struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

type reasonItem struct {
	Code    string `xml:"code,omitempty"`
	Message string `xml:"message,omitempty"`
}

type placementItem struct {
	Zone    string `xml:"availabilityZone"`
	Tenancy string `xml:"tenancy"`
	HostID  string `xml:"hostId,omitempty"`
}

type deviceItem struct {
	Name     string `xml:"deviceName"`
	VolumeID string `xml:"ebs>volumeId"`
}

type interfaceItem struct {
	MAC         string `xml:"macAddress"`
	DeviceIndex int    `xml:"attachment>deviceIndex"`
	PrivateIP   string `xml:"privateIpAddress,omitempty"`
	PublicIP    string `xml:"association>publicIp,omitempty"`
	SubnetID    string `xml:"subnetId,omitempty"`
	VPCID       string `xml:"vpcId,omitempty"`
}

type cpuItem struct {
	Cores   int `xml:"coreCount"`
	Threads int `xml:"threadsPerCore"`
}

type hibernationSettings struct {
	Configured bool `xml:"configured"`
}

func lookOfInstance(i cloud.Instance) instanceItem {
	item := instanceItem{
		ID: i.ID, ImageID: i.ImageID, State: stateItem{stateCode(i.State), i.State}, Type: i.Type,
		LaunchTime: stamp(i.LaunchTime), ClientToken: i.ClientToken,
		Placement: placementItem{Zone: i.Zone, Tenancy: "default", HostID: i.HostID},
		SubnetID:  i.SubnetID, VPCID: i.VPCID, PrivateIP: i.PrivateIP, PublicIP: i.PublicIP,
		RootDevice: i.RootDevice, SpotRequestID: i.SpotRequestID,
		Hibernation: hibernationSettings{i.Hibernates}, CPU: cpus(i.VCPUs), Tags: tagSet(i.Tags),
	}
	item.Devices = setOf(sortedKeys(i.Volumes), func(device string) deviceItem { return deviceItem{device, i.Volumes[device]} })
	if i.RootDevice != "" {
		item.RootType = "ebs"
	}
	if i.HostID != "" {
		item.Placement.Tenancy = "host"
	}
	if i.Spot {
		item.Lifecycle = "spot"
	}
	if i.Reason != (cloud.StateReason{}) {
		item.StateReason = &reasonItem{i.Reason.Code, i.Reason.Message}
	}
	if i.MAC != "" {
		item.Interfaces.Items = []interfaceItem{{i.MAC, 0, i.PrivateIP, i.PublicIP, i.SubnetID, i.VPCID}}
	}
	return item
}

// cpus splits vCPUs as most types have them: two threads to a core.
func cpus(n int) *cpuItem {
	switch {
	case n <= 0:
		return nil
	case n%2 == 0:
		return &cpuItem{n / 2, 2}
	}
	return &cpuItem{n, 1}
}

// stateCode is the number that EC2 gives a state, in its lower byte.
func stateCode(state string) int {
	codes := map[string]int{cloud.Pending: 0, cloud.Running: 16, cloud.ShuttingDown: 32, cloud.Terminated: 48, cloud.Stopping: 64, cloud.Stopped: 80}
	return codes[state]
}
