package awssdk_test

import "github.com/aquarium-fish/aquarium-fish/drivers/aws/cloudtest"

// motoDiffers is how moto 5 is not like EC2, one by one: what a failure says of
// it, and why. All else is alike.
func motoDiffers() map[string]cloudtest.Difference {
	const broken = "HTTP status 500"
	as := func(shows, because string) cloudtest.Difference {
		return cloudtest.Difference{Shows: shows, Because: because}
	}
	return map[string]cloudtest.Difference{
		"launch: disks":                         as("the volumes are", "an instance with disks of its own has no root volume"),
		"launch: takes an address":              as("the address is free", "an address stays taken after the end of its instance"),
		"launch: repeated with its token":       as("one token gave", "tokens of launches mean nothing"),
		"launch: repeated with another request": as("was done", "tokens of launches mean nothing"),
		"launch: repeated after its end":        as("was done", "tokens of launches mean nothing"),
		"launch: unknown snapshot":              as("after it there are", "the instance is there although its launch is refused"),
		"instances: by zone":                    as("finds []", "the zone that is looked at is the one that was asked for, not that of the subnet"),
		"instances: by client token":            as(broken, "the filter is not written yet"),
		"spot: its request is told":             as("has no request", "a spot launch leaves no request"),
		"spot: requests and their end":          as("the requests are []", "a spot launch leaves no request"),
		"spot: unknown request":                 as(broken, "it fails where it should refuse"),
		"start: what is gone":                   as("was done", "what is gone starts again"),
		"hibernate: what can not":               as("was done", "hibernation is a stop, whatever the launch said"),
		"host: has room for one Mac":            as("room for -1", "hosts have no capacity"),
		"host: repeated with its token":         as("one token gave", "tokens of hosts mean nothing"),
		"host: unknown type":                    as("was done", "types of hosts are not looked at"),
		"host: over the quota":                  as("was done", "hosts have no quota"),
		"host: a Mac on it":                     as("Instances:[]", "hosts do not know what is on them"),
		"host: a second Mac on it":              as("was done", "hosts do not know what is on them"),
		"host: unknown host":                    as("was done", "the host of a launch is not looked at"),
		"host: a Mac without one":               as("was done", "Macs need no host"),
		"host: is scrubbed after a Mac":         as("is pending", "hosts are never scrubbed"),
		"host: release before 24 hours":         as("released [h-", "hosts have no age"),
		"host: release under a Mac":             as("released [h-", "hosts do not know what is on them"),
		"host: release of what is not there":    as(broken, "it fails where it should refuse"),
		"host: what macOS it starts":            as(broken, "DescribeMacHosts is not written yet"),
		"image: of an instance":                 as(broken, "tags of an image's snapshots are not written yet"),
		"image: without a disk":                 as("its disks are [/dev/sda1]", "an image has the root alone, whatever the instance has"),
		"image: a name that is taken":           as("was done", "names of images may be there twice"),
		"image: copy is encrypted, with tags":   as("its tags are map[]", "a copy has neither tags nor encryption"),
		"image: copy repeated with its token":   as("one token gave", "tokens of copies mean nothing"),
		"image: deregister takes its snapshots": as("want []", "snapshots of an image stay"),
		"tags: of what is not there":            as("was done", "tags are not looked at"),
		"quotas":                                as("NoSuchResourceException", "there are quotas of VPCs alone"),
	}
}
