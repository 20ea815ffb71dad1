package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

func TestKindOfCode(t *testing.T) {
	for kind, codes := range map[Kind][]string{
		NoCapacity: {"InsufficientInstanceCapacity", "Server.InsufficientInstanceCapacity", "InsufficientHostCapacity",
			"Unsupported", "InsufficientFreeAddressesInSubnet", "InsufficientVolumeCapacity",
			"VolumeTypeNotAvailableInZone", "UnfulfillableCapacity", "SpotMaxPriceTooLow"},
		NoHostCapacity: {"InsufficientCapacityOnHost", "IncompatibleHostRequirements", "UnavailableHostRequirements",
			"UnsupportedInstanceTypeOnHost", "InvalidHostState"},
		Quota: {"VcpuLimitExceeded", "InstanceLimitExceeded", "HostLimitExceeded", "MaxSpotInstanceCountExceeded",
			"VolumeLimitExceeded", "SnapshotLimitExceeded"},
		Refused: {"InvalidAMIID.Malformed", "InvalidSnapshotID.Malformed", "InvalidGroup.InUse", "InvalidParameter",
			"InvalidParameterValue", "InvalidParameterCombination", "InvalidAMIName.Duplicate", "ZonesMismatched",
			"UnsupportedHibernationConfiguration", "VPCIdNotSpecified", "UnsupportedOperation", "MissingParameter",
			"InvalidUserData.Malformed", "InvalidArnException", "AttachmentLimitExceeded", "VPCResourceNotSpecified"},
		NotFound: {"InvalidInstanceID.NotFound", "InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidHostID.NotFound",
			"InvalidSnapshot.NotFound", "InvalidVolume.NotFound", "InvalidGroup.NotFound", "InvalidSubnetID.NotFound",
			"InvalidSpotInstanceRequestID.NotFound", "NotFoundException", "NoSuchResourceException"},
		Throttled: {"RequestLimitExceeded", "Client.RequestLimitExceeded", "Throttling", "ThrottlingException",
			"TooManyRequestsException", "SnapshotCreationPerVolumeRateExceeded", "PendingSnapshotLimitExceeded"},
		Mismatch: {"IdempotentParameterMismatch", "IdempotentInstanceTerminated"},
		Denied: {"UnauthorizedOperation", "AuthFailure", "Client.AuthFailure.ServiceLinkedRoleCreationNotPermitted", "OptInRequired", "PendingVerification", "InvalidClientTokenId",
			"SignatureDoesNotMatch", "AccessDenied", "AccessDeniedException", "ExpiredToken", "RequestExpired", "Blocked"},
		Busy: {"IncorrectState", "IncorrectInstanceState", "InvalidSnapshot.InUse", "VolumeInUse", "DependencyViolation",
			"Client.InvalidHost.Occupied", "InvalidHost.Occupied"},
		TooYoung: {"Client.HostMinAllocationPeriodUnexpired", "HostMinAllocationPeriodUnexpired"},
		Other:    {"", "Client.", "InternalError", "NotFoundAtAll", "RequestLimitExceededButNot", "Unavailable", "DryRunOperation"},
	} {
		for _, code := range codes {
			if got := NewError(code, "x").Kind; got != kind {
				t.Errorf("NewError(%q).Kind = %v, want %v", code, got, kind)
			}
		}
	}
}

func TestNotBefore(t *testing.T) {
	at := time.Date(2023, 12, 3, 14, 33, 6, 89e6, time.UTC)
	const sentence = "Unable to release Dedicated Host h-0123. mac2-m2.metal hosts must be allocated to your AWS account for at least 24 hour(s). You can release this host any time after %s"
	for _, tt := range []struct {
		name, code, text string
		want             time.Time
	}{
		{"as it is sent", "Client.HostMinAllocationPeriodUnexpired", "2023-12-03T14:33:06.089Z.", at},
		{"without a full stop", "HostMinAllocationPeriodUnexpired", "2023-12-03T14:33:06.089Z", at},
		{"another zone", "HostMinAllocationPeriodUnexpired", "2023-12-03T15:33:06.089+01:00;", at},
		{"more words", "HostMinAllocationPeriodUnexpired", "2023-12-03T14:33:06.089Z, or 2024-01-01T00:00:00Z.", at},
		{"in quotes", "HostMinAllocationPeriodUnexpired", `"2023-12-03T14:33:06.089Z".`, at},
		{"none", "HostMinAllocationPeriodUnexpired", "tomorrow.", time.Time{}},
		{"no such day", "HostMinAllocationPeriodUnexpired", "2023-02-31T14:33:06Z.", time.Time{}},
		{"another error", "InvalidHost.Occupied", "2023-12-03T14:33:06.089Z.", time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := NewError(tt.code, sentence, tt.text).NotBefore; !got.Equal(tt.want) {
				t.Errorf("NotBefore = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestUndone(t *testing.T) {
	unsure := NewError("InsufficientInstanceCapacity", "none")
	unsure.Unsure = true
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"refused", NewError("InvalidParameterValue", "no"), true},
		{"wrapped", fmt.Errorf("launch: %w", NewError("InsufficientInstanceCapacity", "none")), true},
		{"an earlier try may have done it", unsure, false},
		{"inside of the service", NewError("Server.InternalError", "sorry"), false},
		{"unavailable", NewError("Unavailable", "sorry"), false},
		{"cut off", io.ErrUnexpectedEOF, false},
		{"cancelled on the way", context.Canceled, false},
		{"cancelled before", NotSent(context.Canceled), true},
		{"none", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Undone(tt.err); got != tt.want {
				t.Errorf("Undone(%v) = %v, want %v", tt.err, got, tt.want)
			}
		})
	}
}

func TestNotSentIsWhatKeptItBack(t *testing.T) {
	err := fmt.Errorf("stop it: %w", NotSent(fmt.Errorf("wait for a turn: %w", context.DeadlineExceeded)))
	if !errors.Is(err, context.DeadlineExceeded) || KindOf(err) != Other {
		t.Errorf("%v is no end of a context, or is of the kind %v", err, KindOf(err))
	}
}

func TestIsKind(t *testing.T) {
	err := fmt.Errorf("release: %w", NewError("InvalidHost.Occupied", "in use"))
	if !IsKind(err, TooYoung, Busy) || IsKind(err, TooYoung) || IsKind(io.EOF, Other) || IsKind(nil, Other) {
		t.Errorf("IsKind(%v) is wrong", err)
	}
	if got := NewError("InvalidHost.Occupied", "%s is in use", "h-1").Error(); got != "h-1 is in use (InvalidHost.Occupied)" {
		t.Errorf("Error() = %q", got)
	}
}
