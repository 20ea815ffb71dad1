package cloud

import (
	"strings"
	"time"
)

// The states of a dedicated host. There are more, and EC2 adds some: of a host
// in another state nothing is known but that it is neither usable nor free.
const (
	HostAvailable        = "available"
	HostPending          = "pending" // is being scrubbed, and not paid for
	HostUnderAssessment  = "under-assessment"
	HostPermanentFailure = "permanent-failure"
	HostReleased         = "released"
	HostReleasedFailure  = "released-permanent-failure"
)

// Host is a dedicated host.
type Host struct {
	ID    string
	Type  string // of the instances that fit, such as "mac2.metal"
	Zone  string
	State string
	// AllocationTime is when it began to be paid for: the minimum of 24 hours
	// of Macs counts from there.
	AllocationTime time.Time
	ReleaseTime    time.Time // zero until it was released
	// Instances are those on it; one of a Mac stays listed for a while after its end.
	Instances []string
	// Free is how many more instances of Type fit, -1 if EC2 did not say.
	Free        int
	ClientToken string
	Tags        Tags
}

// Released reports whether the host is not ours any more.
func (h Host) Released() bool {
	return h.State == HostReleased || h.State == HostReleasedFailure
}

// HostRequest is what AllocateHost allocates: one host, without auto placement.
type HostRequest struct {
	ClientToken string
	Type        string
	Zone        string
	Tags        Tags
}

// MacHost is what firmware a Mac has.
type MacHost struct {
	HostID string
	// Latest are the macOS versions, such as "14.5", newest of each major, that
	// start without new firmware.
	Latest []string
}

// InstanceType is what EC2 tells of a type.
type InstanceType struct {
	Name          string
	VCPUs         int
	MemoryMB      int
	Architectures []string // "x86_64", "arm64", "arm64_mac", ...
	Hibernation   bool
	BareMetal     bool
	SpotUsable    bool
	MaxDisks      int // 0 if not told
}

// Mac reports whether the type runs macOS, and so needs a dedicated host and
// obeys the rules of Mac hosts. A name says nothing: there is "mac-m4.metal",
// and may be more.
func (t InstanceType) Mac() bool {
	for _, a := range t.Architectures {
		if strings.HasSuffix(a, "_mac") {
			return true
		}
	}
	return false
}

// Offering says that a type can be had in a zone.
type Offering struct{ Type, Zone string }
