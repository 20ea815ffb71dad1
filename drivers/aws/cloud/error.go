package cloud

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is what an error means for what is to be done next.
type Kind int

// The kinds of errors, by what is to be done. Nodes tell each other their
// numbers, so that a new one comes last.
const (
	// Other: nothing is known about it; try again later, with a pause.
	Other Kind = iota
	// NoCapacity: not in this zone now; try the next zone or type.
	NoCapacity
	// NoHostCapacity: not on this host now; try the next host.
	NoHostCapacity
	// Quota: the account's limit is reached; nothing is left until it is looked at again.
	Quota
	// Refused: the label or the configuration is wrong; trying again is of no use.
	Refused
	// NotFound: what was named is not there, or not there yet (Settled).
	NotFound
	// Throttled: too many requests; try again later.
	Throttled
	// Mismatch: the client token was used for another request.
	Mismatch
	// Denied: the credentials do not allow it, or are wrong; a person has to mend that.
	Denied
	// Busy: it can not be done in the thing's present state; try again later.
	Busy
	// TooYoung: a host can not be released yet; NotBefore says when.
	TooYoung
)

// Error is an answer of the service that is no success, or says that it was
// never asked (NotSent).
type Error struct {
	Kind    Kind
	Code    string // such as "InsufficientInstanceCapacity"
	Message string
	// NotBefore is when it may succeed, where the answer named a time.
	NotBefore time.Time
	// Unsure: it may have been done all the same.
	Unsure bool
	// Err is what kept a request from being sent (NotSent); nil where the
	// service answered.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Message + " (" + e.Code + ")"
}

// Unwrap is what kept the request from being sent, if that is what it says.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is what an error means; Other if it is none of the service.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Other
}

// IsKind reports whether the error is of one of the kinds.
func IsKind(err error, kinds ...Kind) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	for _, k := range kinds {
		if e.Kind == k {
			return true
		}
	}
	return false
}

// Undone reports whether an error says for certain that nothing was done. After
// any other, also after one of the network or of the context, it has to be looked.
func Undone(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && !e.Unsure
}

// NewError makes the error of a code, with the kind that belongs to it. Codes
// come as "InvalidHost.Occupied" and as "Client.InvalidHost.Occupied".
func NewError(code, format string, args ...any) *Error {
	e := &Error{Code: code, Message: fmt.Sprintf(format, args...), Kind: kindOfCode(code), Unsure: failedInside(code)}
	if e.Kind == TooYoung {
		e.NotBefore = timeIn(e.Message)
	}
	return e
}

// NotSent is the error of a request that never left: nothing was done. err is
// why, and is found by errors.Is (a context's end, a refused connection).
func NotSent(err error) *Error {
	return &Error{Code: "NotSent", Message: err.Error(), Err: err}
}

// kindOfCode is by EC2's documentation of its error codes, and those of STS,
// KMS and Service Quotas, as far as a decision hangs on them.
func kindOfCode(code string) Kind {
	switch code = plain(code); code {
	case "InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientCapacity", "Unsupported",
		"InsufficientFreeAddressesInSubnet", "InsufficientVolumeCapacity", "VolumeTypeNotAvailableInZone",
		"UnfulfillableCapacity", "SpotMaxPriceTooLow":
		return NoCapacity
	case "InsufficientCapacityOnHost", "IncompatibleHostRequirements", "UnavailableHostRequirements",
		"UnsupportedInstanceTypeOnHost", "InvalidHostState":
		return NoHostCapacity
	case "VcpuLimitExceeded", "InstanceLimitExceeded", "HostLimitExceeded", "MaxSpotInstanceCountExceeded",
		"VolumeLimitExceeded", "MaxIOPSLimitExceeded", "SnapshotLimitExceeded", "ResourceLimitExceeded":
		return Quota
	case "RequestLimitExceeded", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
		"RequestThrottledException", "EC2ThrottledException", "TooManyRequestsException", "SlowDown",
		"SnapshotCreationPerVolumeRateExceeded", "PendingSnapshotLimitExceeded", "ConcurrentSnapshotLimitExceeded":
		return Throttled
	case "IdempotentParameterMismatch", "IdempotentInstanceTerminated":
		return Mismatch
	case "UnauthorizedOperation", "AuthFailure", "Blocked", "OptInRequired", "PendingVerification",
		"InvalidClientTokenId", "InvalidSecurity", "SignatureDoesNotMatch", "IncompleteSignature",
		"InvalidSignatureException", "MissingAuthenticationToken", "UnrecognizedClientException", "AccessDenied",
		"AccessDeniedException", "ExpiredToken", "ExpiredTokenException", "RequestExpired", "OperationNotPermitted":
		return Denied
	case "IncorrectState", "IncorrectInstanceState", "IncorrectSpotRequestState", "InvalidSnapshot.InUse", "VolumeInUse",
		"DependencyViolation", "ConcurrentTagAccess", "InvalidHost.Occupied", "KMSInvalidStateException":
		return Busy
	case "HostMinAllocationPeriodUnexpired":
		return TooYoung
	case "NotFoundException", "NoSuchResourceException", "InvalidAMIID.Unavailable":
		return NotFound
	case "ZonesMismatched", "UnsupportedHibernationConfiguration", "UnsupportedHostConfiguration", "UnsupportedOperation",
		"VPCIdNotSpecified", "VPCResourceNotSpecified", "DefaultVpcDoesNotExist", "MissingParameter", "MissingInput", "UnknownParameter",
		"TagLimitExceeded", "AttachmentLimitExceeded", "ValidationError":
		return Refused
	}
	return kindOfShape(code)
}

// kindOfShape is for codes by the hundred that differ in the name of the thing.
func kindOfShape(code string) Kind {
	switch {
	case strings.HasSuffix(code, ".NotFound"):
		return NotFound
	case strings.HasPrefix(code, "AuthFailure."): // .ServiceLinkedRoleCreationNotPermitted: of an account's first spot instance
		return Denied
	case strings.HasPrefix(code, "Invalid"): // .Malformed, .Duplicate, InvalidParameterValue, ...
		return Refused
	}
	return Other
}

// plain is a code without the party at fault, which only some answers name.
func plain(code string) string {
	return strings.TrimPrefix(strings.TrimPrefix(code, "Client."), "Server.")
}

// failedInside reports whether a code says that the service itself failed, at
// a point that nobody knows.
func failedInside(code string) bool {
	switch plain(code) {
	case "InternalError", "InternalFailure", "InternalServiceError", "InternalServerError", "ServiceUnavailable",
		"ServiceUnavailableException", "Unavailable", "RequestTimeout", "RequestTimeoutException",
		"KMSInternalException", "DependencyTimeoutException", "ServiceException":
		return true
	}
	return false
}

// timeIn finds a time in a sentence, such as that of a refused release: "You
// can release this host any time after 2023-12-03T14:33:06.089Z."
func timeIn(text string) time.Time {
	for word := range strings.FieldsSeq(text) {
		if t, err := time.Parse(time.RFC3339Nano, strings.Trim(word, `"().,;`)); err == nil {
			return t
		}
	}
	return time.Time{}
}
