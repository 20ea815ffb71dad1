package cloud

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is what an error means for what is to be done next.
type Kind int

// The kinds of errors, by what is to be done.
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

// Error is an answer of the service that is no success.
type Error struct {
	Kind    Kind
	Code    string // such as "InsufficientInstanceCapacity"
	Message string
	// NotBefore is when it may succeed, where the answer named a time.
	NotBefore time.Time
	// Unsure: it may have been done all the same.
	Unsure bool
}

// Error implements error.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Message + " (" + e.Code + ")"
}

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

// Done reports whether an error says for certain that nothing was done. After
// any other, also after one of the network or of the context, it has to be looked.
func Undone(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && !e.Unsure
}

// NewError makes the error of a code, with the kind that belongs to it.
func NewError(code, format string, args ...any) *Error {
	e := &Error{Code: code, Message: fmt.Sprintf(format, args...)}
	e.Kind = kindOfCode(code)
	if e.Kind == TooYoung {
		e.NotBefore = timeIn(e.Message)
	}
	return e
}

// kinds is by EC2's documentation of its error codes, as far as a decision
// hangs on them.
func kinds() map[string]Kind {
	return map[string]Kind{
		"InsufficientInstanceCapacity":            NoCapacity,
		"InsufficientHostCapacity":                NoCapacity,
		"Unsupported":                             NoCapacity,
		"InsufficientFreeAddressesInSubnet":       NoCapacity,
		"InsufficientVolumeCapacity":              NoCapacity,
		"VolumeTypeNotAvailableInZone":            NoCapacity,
		"UnfulfillableCapacity":                   NoCapacity,
		"SpotMaxPriceTooLow":                      NoCapacity,
		"InsufficientCapacity":                    NoCapacity,
		"InsufficientCapacityOnHost":              NoHostCapacity,
		"IncompatibleHostRequirements":            NoHostCapacity,
		"UnavailableHostRequirements":             NoHostCapacity,
		"UnsupportedInstanceTypeOnHost":           NoHostCapacity,
		"InvalidHostState":                        NoHostCapacity,
		"VcpuLimitExceeded":                       Quota,
		"InstanceLimitExceeded":                   Quota,
		"HostLimitExceeded":                       Quota,
		"MaxSpotInstanceCountExceeded":            Quota,
		"VolumeLimitExceeded":                     Quota,
		"MaxIOPSLimitExceeded":                    Quota,
		"ZonesMismatched":                         Refused,
		"UnsupportedHibernationConfiguration":     Refused,
		"VPCIdNotSpecified":                       Refused,
		"UnsupportedOperation":                    Refused,
		"MissingParameter":                        Refused,
		"UnknownParameter":                        Refused,
		"RequestLimitExceeded":                    Throttled,
		"Throttling":                              Throttled,
		"ThrottlingException":                     Throttled,
		"TooManyRequestsException":                Throttled,
		"SnapshotCreationPerVolumeRateExceeded":   Throttled,
		"PendingSnapshotLimitExceeded":            Throttled,
		"IdempotentParameterMismatch":             Mismatch,
		"IdempotentInstanceTerminated":            Mismatch,
		"UnauthorizedOperation":                   Denied,
		"AuthFailure":                             Denied,
		"OptInRequired":                           Denied,
		"PendingVerification":                     Denied,
		"InvalidClientTokenId":                    Denied,
		"SignatureDoesNotMatch":                   Denied,
		"AccessDenied":                            Denied,
		"AccessDeniedException":                   Denied,
		"ExpiredToken":                            Denied,
		"RequestExpired":                          Denied,
		"IncorrectState":                          Busy,
		"IncorrectInstanceState":                  Busy,
		"InvalidSnapshot.InUse":                   Busy,
		"VolumeInUse":                             Busy,
		"DependencyViolation":                     Busy,
		"Client.InvalidHost.Occupied":             Busy,
		"InvalidHost.Occupied":                    Busy,
		"Client.HostMinAllocationPeriodUnexpired": TooYoung,
		"HostMinAllocationPeriodUnexpired":        TooYoung,
	}
}

func kindOfCode(code string) Kind {
	if k, ok := kinds()[code]; ok {
		return k
	}
	switch {
	case strings.HasSuffix(code, ".NotFound"), strings.HasSuffix(code, ".Unavailable") && strings.HasPrefix(code, "InvalidAMIID"),
		code == "NotFoundException":
		return NotFound
	case strings.HasPrefix(code, "InvalidParameter"), strings.HasPrefix(code, "Invalid"):
		return Refused
	}
	return Other
}

// timeIn finds a time in a sentence, such as that of a refused release: "You
// can release this host any time after 2023-12-03T14:33:06.089Z."
func timeIn(text string) time.Time {
	for word := range strings.FieldsSeq(text) {
		if t, err := time.Parse(time.RFC3339Nano, strings.TrimRight(word, ".,;)")); err == nil {
			return t
		}
	}
	return time.Time{}
}
