package socksproxy

import (
	"context"
	"errors"
	"net/http"
	"os"
	"syscall"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
)

// refusal is why somebody is not connected. Its text is for the environment,
// and says what to do.
type refusal struct {
	status int          // of HTTP
	rule   bool         // SOCKS: not allowed by the rules, which all but a failed connection are
	result audit.Result // for the audit
	text   string
	// cause is for those who run the node.
	cause error
}

// Error implements error, in the words that go-socks5 tells its reply codes by.
func (r *refusal) Error() string {
	switch {
	case errors.Is(r.cause, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(r.cause, syscall.ENETUNREACH):
		return "network is unreachable"
	}
	return r.text
}

// Unwrap returns what is behind it.
func (r *refusal) Unwrap() error { return r.cause }

func notAllowed(text string, cause error) *refusal {
	return &refusal{status: http.StatusForbidden, rule: true, result: audit.ResultRefused, text: text, cause: cause}
}

func needCredential(text string) *refusal {
	return &refusal{status: http.StatusProxyAuthRequired, rule: true, result: audit.ResultRefused, text: text}
}

func tooMuch(text string) *refusal {
	return &refusal{status: http.StatusTooManyRequests, rule: true, result: audit.ResultLimited, text: text}
}

func notMapped(d Destination) *refusal {
	return notAllowed("nothing is mapped to "+d.String()+" for this environment: "+
		"the owner of its application, or an admin for more than that, can map it with POST /api/v1/servicemapping/ or `aquarium-fish mapping`", nil)
}

// unreachable says why a connection failed, which is the service's fault.
func unreachable(d Destination, err error) *refusal {
	r := &refusal{status: http.StatusBadGateway, result: audit.ResultFailed, cause: err}
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		r.status = http.StatusGatewayTimeout
		r.text = d.String() + " did not answer the node in time: see whether the service runs"
	case errors.Is(err, syscall.ECONNREFUSED):
		r.text = d.String() + " is not listening: see whether the service runs"
	default:
		r.text = d.String() + " can not be reached from the node: see whether the service runs, and where its mapping leads"
	}
	return r
}
