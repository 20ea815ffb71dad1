package cloud

import "time"

// Image is an AMI.
type Image struct {
	ID, Name, Owner string
	State           string // "pending", "available", "failed", ...
	Reason          string // why it failed
	Created         time.Time
	Architecture    string
	RootDevice      string
	Disks           []ImageDisk
	Tags            Tags
}

// The states of images and snapshots.
const (
	ImageAvailable    = "available"
	ImagePending      = "pending"
	ImageFailed       = "failed"
	SnapshotPending   = "pending"
	SnapshotCompleted = "completed"
	SnapshotError     = "error"
)

// ImageDisk is a block device of an image.
type ImageDisk struct {
	Device, SnapshotID string
	SizeGB             int
	Encrypted          bool
}

// ImageRequest makes an image of an instance, with its tags on the image and
// on its snapshots.
type ImageRequest struct {
	InstanceID, Name, Description string
	// Omit are devices that the image has not.
	Omit   []string
	Reboot bool // EC2 restarts a running instance to get whole disks
	Tags   Tags
}

// ImageCopy copies an image within the region, to encrypt it anew: by the
// account's own key if none is named.
type ImageCopy struct {
	ClientToken    string
	SourceID, Name string
	Description    string
	KeyID          string
	Tags           Tags // of the image and its snapshots
}

// Snapshot is what a volume held.
type Snapshot struct {
	ID, VolumeID, Owner string
	State               string
	Reason              string
	Started             time.Time
	SizeGB              int
	Encrypted           bool
	Progress            string // "42%"
	Tags                Tags
}

// SnapshotsRequest takes snapshots of all volumes of an instance at one point in time.
type SnapshotsRequest struct {
	InstanceID  string
	Description string
	WithoutRoot bool
	Tags        Tags
}

// Volume is a disk.
type Volume struct {
	ID, Zone   string
	State      string // "available", "in-use", "deleting", ...
	SizeGB     int
	Type       string
	Created    time.Time
	InstanceID string // it is attached to
	Tags       Tags
}
