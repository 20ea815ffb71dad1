package fakeec2

import (
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// userDataLimit is how long user data may be before it is encoded.
const userDataLimit = 16 << 10

// checkLaunch refuses what is wrong with a launch wherever it is tried.
func (a *account) checkLaunch(l cloud.Launch, net subnet) (t cloud.InstanceType, err error) {
	t, known := a.types.get(l.Type)
	if !known {
		return t, cloud.NewError("InvalidParameterValue", "Invalid value '%s' for InstanceType.", l.Type)
	}
	image, err := a.launchable(l.ImageID)
	if err != nil {
		return t, err
	}
	if !slices.Contains(t.Architectures, image.Architecture) {
		return t, cloud.NewError("InvalidParameterValue", "The architecture '%s' of the specified instance type does not match the architecture "+
			"'%s' of the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again. You can use "+
			"'describe-instance-types' or 'describe-images' to discover the architecture of the instance type or AMI.",
			strings.Join(t.Architectures, ","), image.Architecture)
	}
	if len(l.UserData) > userDataLimit {
		return t, cloud.NewError("InvalidParameterValue", "User data is limited to 16384 bytes")
	}
	if err := checkTags(l.Tags); err != nil {
		return t, err
	}
	if err := a.checkGroups(l.SecurityGroupIDs, net); err != nil {
		return t, err
	}
	if err := checkMarket(l, t); err != nil {
		return t, err
	}
	return t, a.checkHibernation(l, t, image)
}

// launchable is an image that can be started.
func (a *account) launchable(id string) (image, error) {
	if !strings.HasPrefix(id, "ami-") {
		return image{}, cloud.NewError("InvalidAMIID.Malformed", "Invalid id: \"%s\" (expecting \"ami-...\")", id)
	}
	i, _ := a.images.get(id)
	if !a.images.known(a, id) || !i.visible(a.opts.Account) {
		return i, cloud.NewError("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
	}
	if i.State != cloud.ImageAvailable {
		return i, cloud.NewError("InvalidAMIID.Unavailable", "The image ID '[%s]' is not available", id)
	}
	return i, nil
}

// checkTags refuses tags that EC2 does not take.
func checkTags(tags cloud.Tags) error {
	if len(tags) > 50 {
		return cloud.NewError("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
	}
	for key, value := range tags {
		switch {
		case key == "" || len([]rune(key)) > 127:
			return cloud.NewError("InvalidParameterValue", "Tag key exceeds the maximum length of 127 characters, or is empty")
		case len([]rune(value)) > 255:
			return cloud.NewError("InvalidParameterValue", "Tag value exceeds the maximum length of 255 characters")
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return cloud.NewError("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		}
	}
	return nil
}

func checkMarket(l cloud.Launch, t cloud.InstanceType) error {
	switch {
	case t.Mac() && l.HostID == "":
		return cloud.NewError("Unsupported", "The requested configuration is currently not supported. Please check the documentation for "+
			"supported configurations.")
	case l.Spot && l.HostID != "":
		return cloud.NewError("InvalidParameterCombination", "Spot Instances do not support host tenancy.")
	case l.Spot && !t.SpotUsable:
		return cloud.NewError("Unsupported", "The requested configuration is currently not supported. Please check the documentation for "+
			"supported configurations.")
	}
	return nil
}

// checkHibernation refuses the ability to hibernate where there is none. That
// the root disk has room for the memory shows only when it is needed.
func (a *account) checkHibernation(l cloud.Launch, t cloud.InstanceType, image image) error {
	const code = "UnsupportedHibernationConfiguration"
	switch {
	case !l.Hibernate:
		return nil
	case t.BareMetal || !t.Hibernation || t.MemoryMB >= 150<<10:
		return cloud.NewError(code, "Hibernation is not supported for instance type '%s'.", t.Name)
	case l.HostID != "":
		return cloud.NewError(code, "Hibernation is not supported on Dedicated Hosts.")
	case l.Spot: // a request that is one-time ends with the interruption, which hibernation forbids
		return cloud.NewError(code, "Hibernation of a Spot Instance needs a persistent request with the interruption behavior 'hibernate'.")
	}
	encrypted := false
	for _, d := range image.Disks {
		encrypted = encrypted || d.Device == image.RootDevice && d.Encrypted
	}
	for _, d := range l.Disks {
		encrypted = encrypted || d.Device == image.RootDevice && d.Encrypted
	}
	if !encrypted {
		return cloud.NewError(code, "Hibernation requires the root device volume to be encrypted.")
	}
	return nil
}

// checkRoom refuses what would be right somewhere else, or at another time.
func (a *account) checkRoom(l cloud.Launch, t cloud.InstanceType, net subnet) error {
	if !a.offered[cloud.Offering{Type: t.Name, Zone: net.Zone}] {
		return cloud.NewError("Unsupported", "Your requested instance type (%s) is not supported in your requested Availability Zone (%s). Please "+
			"retry your request by not specifying an Availability Zone or choosing another one.", t.Name, net.Zone)
	}
	if l.HostID != "" {
		if err := a.checkHost(l.HostID, t, net.Zone); err != nil {
			return err
		}
	}
	market := OnDemand
	switch {
	case l.HostID != "":
		market = Dedicated
	case l.Spot:
		market = Spot
		if price, set := a.spotPrice[slot{net.Zone, t.Name, Spot}]; set && price > a.prices[t.Name] {
			return cloud.NewError("SpotMaxPriceTooLow", "Your Spot request price of %v is lower than the minimum required Spot request "+
				"fulfillment price of %v.", a.prices[t.Name], price)
		}
	}
	if net.free() < 1 {
		return cloud.NewError("InsufficientFreeAddressesInSubnet", "The specified subnet '%s' does not have enough free addresses to satisfy "+
			"the request.", net.ID)
	}
	if err := a.checkQuota(t, market); err != nil {
		return err
	}
	return a.checkCapacity(t.Name, net.Zone, market)
}
