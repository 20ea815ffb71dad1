package drivers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The bounds of a question about a shared thing.
const (
	// AskTimeout is how long it takes at most, the way there and back included;
	// the context of who asks may end it earlier.
	AskTimeout = 20 * time.Second
	// AnswerTimeout is how much of it Answer has.
	AnswerTimeout = 12 * time.Second
	// MaxAsk is the size of a question and of an answer in bytes.
	MaxAsk = 256 << 10
)

// Ask asks the owner of a shared thing, wherever in the cluster it is, and
// returns what its Answerer answers; where this node is the owner, the call goes
// straight there. It is for the things of Factory.Shares alone. thing is
// asked for as it is owned now, so it is called without a lock that Answer takes.
//
// Body and answer are JSON objects of at most MaxAsk bytes, and what they mean is
// the driver's; it keeps in mind that the other node may run an older version.
// Questions are idempotent by their own content: a name that the asking node
// chose says which one it is, and asked twice, by a node that was restarted or
// that never got the answer, it is done once. There is nothing else to tell a
// repetition by.
//
// Its error is an *AskError, or an *AskRefusedError where the owner's driver
// refuses.
type Ask func(ctx context.Context, thing string, body json.RawMessage) (json.RawMessage, error)

// Answerer is a driver that owns a shared thing for others too, and is asked
// by their instances.
type Answerer interface {
	// Answer answers a question about a thing that this node owns, as far as it
	// knows. from is the member that asks, which may be this one; the
	// cluster has made sure that it is. Many ask at once. ctx has a bound, and ends
	// early when nobody waits for the answer any more. Where several instances of the
	// node are configured for the thing, the first by name is asked.
	//
	// The thing may pass to another owner while Answer runs: before it does
	// anything to the thing it looks at Config.Owner, as always.
	//
	// An error made by RefuseAsk says that nothing was done, and why; after any
	// other the asking node has to assume that it may have been.
	Answer(ctx context.Context, from model.UID, thing string, body json.RawMessage) (json.RawMessage, error)
}

// AskFailure is why there was no answer.
type AskFailure string

// Why there was no answer. Only after AskUnsure may anything have been done.
const (
	// AskNoOwner: nobody owns the thing now, or nobody here knows who does.
	AskNoOwner AskFailure = "no-owner"
	// AskUnreachable: its owner can not be reached, and was not asked.
	AskUnreachable AskFailure = "unreachable"
	// AskNotOwner: who was asked does not own it, or not any more.
	AskNotOwner AskFailure = "not-owner"
	// AskNotReady: the owner has no ready instance for it, has too much to do, or
	// runs a version that is not asked such things.
	AskNotReady AskFailure = "not-ready"
	// AskInvalid: the question is no JSON object, or too large.
	AskInvalid AskFailure = "invalid"
	// AskUnsure: it was asked, and may have done it: the answer was lost or came
	// too late, or the owner's driver failed.
	AskUnsure AskFailure = "unsure"
)

// AskError says that a question got no answer.
type AskError struct {
	Why   AskFailure
	Thing string
	Owner model.UID // who was to be asked; NilUID with AskNoOwner
	Err   error     // what is known beyond Why
}

// Error implements error.
func (e *AskError) Error() string {
	text := "ask the owner of " + e.Thing + ": "
	switch e.Why {
	case AskNoOwner:
		return text + "nobody owns it now"
	case AskUnreachable:
		text += "it can not be reached"
	case AskNotOwner:
		text += "it does not own it any more"
	case AskNotReady:
		text += "it is not ready"
	case AskInvalid:
		text += "not a question to ask"
	case AskUnsure:
		text += "it did not answer, and may have done it"
	default:
		text += string(e.Why)
	}
	if e.Err == nil {
		return text
	}
	return text + ": " + e.Err.Error()
}

// Unwrap returns what is known beyond Why.
func (e *AskError) Unwrap() error { return e.Err }

// AskUndone reports whether it is certain after an error of Ask that nothing was
// done.
func AskUndone(err error) bool {
	if _, refused := errors.AsType[*AskRefusedError](err); refused {
		return true
	}
	failed, ok := errors.AsType[*AskError](err)
	return ok && failed.Why != AskUnsure
}

// AskRefusedError is the refusal of an owner's driver, as the asking driver
// gets it.
type AskRefusedError struct {
	// Code is for the asking driver, such as "full": it decides by nothing else.
	Code string
	Text string // for people; no secrets
}

// Error implements error.
func (e *AskRefusedError) Error() string { return e.Text }

// RefuseAsk makes the error by which Answer refuses a question.
func RefuseAsk(code, format string, args ...any) error {
	return &AskRefusedError{Code: code, Text: fmt.Sprintf(format, args...)}
}
