package cloud

import "time"

// The states of an instance.
const (
	Pending      = "pending"
	Running      = "running"
	Stopping     = "stopping"
	Stopped      = "stopped"
	ShuttingDown = "shutting-down"
	Terminated   = "terminated"
)

// Gone reports whether an instance of the state will never run again, and is
// not paid for any more.
func Gone(state string) bool { return state == ShuttingDown || state == Terminated }

// Instance is a virtual machine, or a Mac.
type Instance struct {
	ID          string
	Type        string
	State       string
	Reason      StateReason // of the last change of State, if EC2 told one
	ImageID     string
	LaunchTime  time.Time
	ClientToken string
	Tags        Tags

	Zone, VPCID, SubnetID string
	PrivateIP, PublicIP   string // empty until assigned
	MAC                   string // of the first network interface
	HostID                string // of the dedicated host, if it is on one
	Spot                  bool
	SpotRequestID         string
	Hibernates            bool // it was started with the ability to
	RootDevice            string
	Volumes               map[string]string // device name -> volume id
	// VCPUs as the instance has them; 0 if EC2 did not say.
	VCPUs int
}

// StateReason is why an instance is in its state, such as
// "Server.SpotInstanceTermination".
type StateReason struct{ Code, Message string }

// Launch is what RunInstance starts. The request that is sent follows from it
// byte by byte: two equal values give equal requests.
type Launch struct {
	ClientToken      string // at most 64 ASCII characters
	ImageID          string
	Type             string
	SubnetID         string
	SecurityGroupIDs []string
	HostID           string // a dedicated host; empty: none
	UserData         []byte // as the machine reads it; at most 16 KiB
	Disks            []Disk
	Tags             Tags // of the instance and everything that comes with it: volumes, interfaces, spot request
	Spot             bool // one-time; its price is the on-demand price at most
	Hibernate        bool
	IAMProfile       string // name or ARN of the instance profile
	// ShutdownTerminates: a machine that shuts itself down is gone, and not stopped.
	ShutdownTerminates bool
}

// Disk is a block device of a launch. All are removed with the instance.
type Disk struct {
	Device     string // such as "/dev/sdb"; the root device's own name changes that
	Type       string // "gp3"; empty: EC2's default
	SizeGB     int    // 0: as large as the snapshot
	IOPS       int    // 0: the default of the type
	Throughput int    // MiB/s; 0: the default of the type
	SnapshotID string // empty: a new one
	Encrypted  bool
	KeyID      string // empty with Encrypted: the account's default key
}

// Stop is how to stop an instance.
type Stop struct {
	Hibernate bool // with its memory; EC2 stops it plainly where that fails
	Force     bool // as if its power was cut
}

// SpotRequest is what a spot instance came from.
type SpotRequest struct {
	ID, InstanceID string
	State          string // open, active, closed, cancelled, failed
	Status         string // code such as "instance-terminated-by-price"
	Tags           Tags
}
