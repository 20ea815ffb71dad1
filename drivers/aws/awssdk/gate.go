package awssdk

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
)

// attemptTimeout bounds one request from its turn to the end of its answer. EC2
// answers within seconds; RunInstances and CreateSnapshots of large instances were
// seen to take half a minute.
const attemptTimeout = 60 * time.Second

// gate is what every attempt of a request passes, retries included: it waits
// for its turn, has a deadline of its own, and what came of it is judged.
type gate struct{ budget *budget }

func newGate(share float64) *gate { return &gate{newBudget(share)} }

// install puts the gate behind the SDK's retries (and before the signing, whose
// time should be that of the sending), the check of answers before anything
// reads them, and the look at what is written next to the connection.
func (g *gate) install(stack *middleware.Stack) error {
	return errors.Join(
		stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("Gate", g.attempt), "Retry", middleware.After),
		stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("CheckAnswer", checkAnswer), middleware.After),
		stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("WatchSending", watchSending), middleware.After),
	)
}

func (g *gate) attempt(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	action := awsmiddleware.GetOperationName(ctx)
	if err := g.budget.wait(ctx, action); err != nil {
		return middleware.FinalizeOutput{}, middleware.Metadata{}, &attemptError{action: action, unsent: true, over: true, err: err}
	}
	own, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	var written atomic.Bool // by the transport's goroutine
	out, metadata, err := next.HandleFinalize(context.WithValue(own, writtenKey{}, &written), in)
	if err == nil {
		return out, metadata, nil
	}
	failed := &attemptError{action: action, unsent: !written.Load(), over: ctx.Err() != nil, err: err}
	if r, ok := ctx.Value(recordKey{}).(*record); ok {
		r.maybe = r.maybe || !failed.undone()
	}
	return out, metadata, failed
}

type writtenKey struct{}

// watchSending notes whether anything of a request was written. It has to be
// here and not around the whole attempt, as that may ask for credentials first,
// which is another request.
func watchSending(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	if written, ok := ctx.Value(writtenKey{}).(*atomic.Bool); ok {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { written.Store(true) }})
	}
	return next.HandleDeserialize(ctx, in)
}

// record is what is to be remembered of a call's attempts: whether one that
// failed may have done it all the same. It belongs to the goroutine of the call.
type record struct{ maybe bool }

type recordKey struct{}

// The deadlines of calls, which include waits for turns and pauses between
// attempts. A list may have many pages.
const (
	callTimeout = 3 * time.Minute
	listTimeout = 10 * time.Minute
)

// call does one call of the SDK within a deadline, and makes its error one of
// ours. hidden is what the error must not say, besides the client's secrets.
func call[In, Out, Opt any](ctx context.Context, c *client, f func(context.Context, In, ...Opt) (Out, error), in In, hidden ...string) (Out, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r := &record{}
	out, err := f(context.WithValue(ctx, recordKey{}, r), in)
	if err != nil {
		return out, translate(err, r.maybe, append(hidden, c.secrets...))
	}
	return out, nil
}

// paginator is one of the SDK's.
type paginator[Page, Opt any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...Opt) (Page, error)
}

// pages turns the pages of a list.
func pages[Page, Opt any](ctx context.Context, c *client, p paginator[Page, Opt], each func(Page)) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return translate(err, false, c.secrets)
		}
		each(page)
	}
	return nil
}

// attemptError is what came of one attempt. The retryer and translate judge by it.
type attemptError struct {
	action string
	unsent bool // nothing of it left this machine
	over   bool // the time of the call is over, or its caller gave up
	err    error
}

func (e *attemptError) Error() string { return fmt.Sprintf("%s: %v", e.action, e.err) }
func (e *attemptError) Unwrap() error { return e.err }
