package wire

import (
	"net/http"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// failure is the answer to a request that was refused.
func failure(r renderer, id string, e *cloud.Error) answer {
	status := statusOf(e.Code)
	if e.Unsure && status < http.StatusInternalServerError {
		// What the service began and could not end: a client's error would say
		// that nothing was done.
		status = http.StatusInternalServerError
	}
	return r.failure(id, status, e)
}

// statusOf is the HTTP status of an error, by EC2's documentation: its server
// errors, among which are those of capacity, have 500 or 503.
func statusOf(code string) int {
	switch code {
	case "RequestLimitExceeded", "ServiceUnavailable", "Unavailable", "BandwidthLimitExceeded":
		return http.StatusServiceUnavailable
	case "InternalError", "InternalFailure", "KMSInternalException", "ServiceException",
		"InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientVolumeCapacity",
		"InsufficientReservedInstanceCapacity", "InsufficientAddressCapacity", "InsufficientCapacity":
		return http.StatusInternalServerError
	case "NotImplemented":
		return http.StatusNotImplemented
	case "AuthFailure":
		return http.StatusUnauthorized
	case "UnauthorizedOperation", "AccessDenied", "InvalidClientTokenId", "SignatureDoesNotMatch",
		"MissingAuthenticationToken", "ExpiredToken", "OptInRequired":
		return http.StatusForbidden
	case "DryRunOperation":
		return http.StatusPreconditionFailed
	case "MethodNotAllowed":
		return http.StatusMethodNotAllowed
	}
	return http.StatusBadRequest
}
