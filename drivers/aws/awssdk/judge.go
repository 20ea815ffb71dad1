package awssdk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// The retries of a request: with what the budget holds back, RequestLimitExceeded
// is met only where others use the account too, and then gives way within seconds.
const (
	maxAttempts = 4
	maxBackoff  = 5 * time.Second
)

// newRetryer is the SDK's standard one, which also stops to retry when most
// requests fail, with a judgement of our own of what may be tried again.
func newRetryer(backoff time.Duration) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = maxAttempts, backoff
		o.Retryables = []retry.IsErrorRetryable{
			retry.RetryableError{}, // a wrong clock, which the SDK corrects
			retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				a, ok := errors.AsType[*attemptError](err)
				return aws.BoolTernary(ok && a.again())
			}),
		}
	})
}

// again decides whether an attempt may be followed by another at once. A lack
// of capacity is an answer, although EC2 sends it as an error of the server's:
// the next zone has to be asked, not the same again.
func (e *attemptError) again() bool {
	if e.over {
		return false
	}
	if code, _, ok := answer(e.err); ok {
		if _, throttled := retry.DefaultThrottleErrorCodes[code]; throttled {
			return true
		}
		return !e.undone() && repeatable(e.action)
	}
	if e.unsent {
		return connecting(e.err)
	}
	return repeatable(e.action)
}

// undone decides whether an attempt that failed certainly changed nothing.
func (e *attemptError) undone() bool {
	if e.unsent {
		return true
	}
	code, status, ok := answer(e.err)
	if !ok {
		return false // cut off, timed out, or an answer that nobody can read
	}
	known := cloud.NewError(code, "")
	return !known.Unsure && (known.Kind != cloud.Other || status/100 == 4)
}

// repeatable reports whether to do it twice is as good as to do it once: what
// only looks, what has a token, and what leads to a state.
func repeatable(action string) bool {
	switch action {
	case "RunInstances", "AllocateHosts", "CopyImage", "TerminateInstances", "CreateTags", "CancelSpotInstanceRequests":
		return true
	}
	return strings.HasPrefix(action, "Describe") || strings.HasPrefix(action, "List") || strings.HasPrefix(action, "Get")
}

// answer is the code and HTTP status of what the service answered, if it did.
func answer(err error) (code string, status int, ok bool) {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return "", 0, false
	}
	if h, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok {
		status = h.HTTPStatusCode()
	}
	return api.ErrorCode(), status, true
}

// connecting reports whether a request that was not sent failed for a
// connection. What lacks credentials has been tried enough by who looks for them.
func connecting(err error) bool {
	c, ok := errors.AsType[interface {
		error
		ConnectionError() bool
	}](err)
	return ok && c.ConnectionError()
}

// maxMessage is how much of the service's message an error keeps. An encoded
// authorization failure is over a thousand characters, and of use as a whole only.
const maxMessage = 4096

// translate makes an error of the SDK one of ours. maybe says that an attempt
// may have done it; hidden is what the text must not say.
func translate(err error, maybe bool, hidden []string) error {
	a, ok := errors.AsType[*attemptError](err)
	if !ok { // it was refused before any attempt: a parameter is missing, the time is over
		if maybe {
			return fmt.Errorf("ask AWS: %w", clean(err, hidden))
		}
		return cloud.NotSent(clean(err, hidden))
	}
	if a.unsent && !maybe {
		e := cloud.NotSent(fmt.Errorf("%s: %w", a.action, clean(a.err, hidden)))
		if code, _, ok := answer(a.err); ok { // of who gives out credentials
			e.Kind = cloud.NewError(code, "").Kind
		}
		return e
	}
	code, _, answered := answer(a.err)
	if !answered || a.unsent {
		return fmt.Errorf("%s: %w", a.action, clean(a.err, hidden))
	}
	api, _ := errors.AsType[smithy.APIError](a.err)
	e := cloud.NewError(code, "%s: %s", a.action, redact(api.ErrorMessage(), hidden))
	e.Unsure = maybe || !a.undone()
	return e
}

// clean is an error whose text lacks what is hidden, and whose cause is still
// to be found.
func clean(err error, hidden []string) error {
	return &cleaned{text: redact(plain(err), hidden), err: err}
}

// plain is what an error says to who runs a node: without the layers that the
// SDK puts around each cause, of whose words only a status and AWS's name of the
// request are of use.
func plain(err error) string {
	switch e := err.(type) { //nolint:errorlint // layer by layer: what is under another one is not the whole cause
	case *awshttp.ResponseError:
		status, cause := e.HTTPStatusCode(), plain(e.Err)
		switch {
		case status == 0: // there was no answer
			return cause
		case e.RequestID == "":
			return fmt.Sprintf("HTTP status %d: %s", status, cause)
		}
		return fmt.Sprintf("HTTP status %d, request %s: %s", status, e.RequestID, cause)
	case *smithyhttp.RequestSendError:
		return plain(e.Err)
	case *smithy.CanceledError:
		return plain(e.Err)
	}
	return err.Error()
}

type cleaned struct {
	text string
	err  error
}

func (c *cleaned) Error() string { return c.text }

// Is finds the end of a context, and nothing else: whatever else is in there
// may say too much.
func (c *cleaned) Is(target error) bool {
	return (target == context.Canceled || target == context.DeadlineExceeded) && errors.Is(c.err, target)
}

func redact(text string, hidden []string) string {
	for _, h := range hidden {
		if h != "" {
			text = strings.ReplaceAll(text, h, "***")
		}
	}
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "..."
	}
	return text
}
