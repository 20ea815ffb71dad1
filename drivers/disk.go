package drivers

import "github.com/aquarium-fish/aquarium-fish/lib/model"

// DiskHolder is a driver whose environments have disks on a file system of
// this machine. Both methods are asked at every vote: they answer from memory,
// or wait for the file system for a moment at most.
type DiskHolder interface {
	// DiskNeed is how many GB of disks would be made for an environment of the
	// definition, and on which file system: instances that name the same share
	// it.
	DiskNeed(def model.LabelDefinition) (gb uint, fileSystem string)

	// DiskRoom says what there is on that file system. An error says that it is
	// not known, as that of one that hangs.
	DiskRoom() (DiskRoom, error)
}

// DiskRoom is the room that one file system has, in GB.
type DiskRoom struct {
	Total uint // of the whole file system; 0: not counted
	// Free is what all disks together may take: what is free now, and what live
	// environments of this node have written to disks that were promised to
	// them. So it stays the same while they write. Package drivers/space finds
	// it out, one sum for all instances on the file system.
	Free uint
}

// mostDisk bounds what one disk counts, so that no sum of nonsense overflows.
const mostDisk = 1 << 40

// SizeOf is the sum of the disks' sizes in GB.
func SizeOf(disks map[string]model.Disk) (gb uint) {
	for _, d := range disks {
		gb += min(d.Size, mostDisk)
	}
	return gb
}
