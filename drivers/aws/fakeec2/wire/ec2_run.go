package wire

import (
	"context"
	"encoding/base64"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// runInstances starts one instance: cloud.API starts no more in one call.
func (h *Handler) runInstances(f form) run {
	f.only("MinCount", "1", true)
	f.only("MaxCount", "1", true)
	l := cloud.Launch{
		ClientToken:        f.text("ClientToken"),
		ImageID:            f.required("ImageId"),
		Type:               f.required("InstanceType"),
		UserData:           readUserData(f),
		Hibernate:          f.group("HibernationOptions").flag("Configured"),
		ShutdownTerminates: f.oneOf("InstanceInitiatedShutdownBehavior", "stop", "terminate") == "terminate",
		IAMProfile:         readProfile(f.group("IamInstanceProfile")),
		HostID:             readPlacement(f.group("Placement")),
	}
	l.SubnetID, l.SecurityGroupIDs = readNetwork(f)
	for _, g := range f.groups("BlockDeviceMapping") {
		l.Disks = append(l.Disks, readDisk(g))
	}
	l.Spot = readMarket(f)
	readMetadataOptions(f.group("MetadataOptions"))
	types := []string{"instance", "volume", "network-interface"}
	if l.Spot {
		types = append(types, "spot-instances-request")
	}
	l.Tags = f.tagsFor(types...)
	return func(ctx context.Context) (any, error) {
		i, err := h.backend.RunInstance(ctx, l)
		if err != nil {
			return nil, err
		}
		return &runReply{reservation: reserve(i)}, nil
	}
}

// runReply is a reservation that is the answer itself.
type runReply struct {
	head
	reservation
}

func readUserData(f form) []byte {
	text := f.text("UserData")
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		f.fail("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data")
	}
	if len(data) == 0 {
		return nil
	}
	return data
}

func readProfile(f form) string {
	name, arn := f.text("Name"), f.text("Arn")
	if name != "" && arn != "" {
		f.fail("InvalidParameterCombination", "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'")
	}
	return name + arn
}

// readPlacement returns the dedicated host.
func readPlacement(f form) string {
	host := f.text("HostId")
	tenancy := f.oneOf("Tenancy", "default", "dedicated", "host")
	f.only("Affinity", "default", false)
	switch {
	case host != "" && tenancy != "host":
		f.fail("InvalidParameterCombination", "a HostId needs the Tenancy host, and it is '%s'", tenancy)
	case host == "" && tenancy != "" && tenancy != "default":
		f.decline("the Tenancy %s without a HostId", tenancy)
	}
	return host
}

// readNetwork reads where the instance is connected, which EC2 takes as two
// parameters or in the first network interface.
func readNetwork(f form) (subnet string, groups []string) {
	interfaces := f.groups("NetworkInterface")
	if len(interfaces) == 0 {
		return f.required("SubnetId"), f.texts("SecurityGroupId")
	}
	if f.has("SubnetId") || f.has("SecurityGroupId") {
		f.fail("InvalidParameterCombination", "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request")
	}
	n := interfaces[0]
	n.only("DeviceIndex", "0", true)
	n.only("DeleteOnTermination", "true", false)
	return n.required("SubnetId"), n.texts("SecurityGroupId")
}

func readDisk(f form) cloud.Disk {
	e := f.group("Ebs")
	// EC2 keeps some volumes after the end of their instance if it is not told.
	e.only("DeleteOnTermination", "true", true)
	return cloud.Disk{
		Device:     f.required("DeviceName"),
		Type:       e.text("VolumeType"),
		SizeGB:     e.number("VolumeSize"),
		IOPS:       e.number("Iops"),
		Throughput: e.number("Throughput"),
		SnapshotID: e.text("SnapshotId"),
		Encrypted:  e.flag("Encrypted"),
		KeyID:      e.text("KmsKeyId"),
	}
}

// readMarket reports whether a spot instance is asked for. There is no MaxPrice,
// as cloud.Launch has none.
func readMarket(f form) bool {
	m := f.group("InstanceMarketOptions")
	if m.oneOf("MarketType", "spot", "on-demand") != "spot" {
		return false
	}
	s := m.group("SpotOptions")
	s.only("SpotInstanceType", "one-time", false) // which is EC2's default
	s.only("InstanceInterruptionBehavior", "terminate", false)
	return true
}

// readMetadataOptions reads what the backend does not know, and the journal
// shows for tests.
func readMetadataOptions(f form) {
	f.oneOf("HttpTokens", "optional", "required")
	f.oneOf("HttpEndpoint", "enabled", "disabled")
	f.oneOf("InstanceMetadataTags", "enabled", "disabled")
	if f.has("HttpPutResponseHopLimit") {
		if n := f.number("HttpPutResponseHopLimit"); n < 1 || n > 64 {
			f.fail("InvalidParameterValue", "HttpPutResponseHopLimit must be between 1 and 64")
		}
	}
}
