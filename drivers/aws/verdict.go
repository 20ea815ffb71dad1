package aws

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
)

// labelError is an error that trying again does not mend: the label or the
// configuration has to be changed. It is shown to the user.
type labelError struct{ error }

// Unwrap returns what is wrong.
func (e labelError) Unwrap() error { return e.error }

// transient reports whether what failed may work in a while, as it is.
func transient(err error) bool {
	if _, ok := errors.AsType[labelError](err); ok || err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		return e.Unsure || e.Kind == cloud.Other || e.Kind == cloud.Throttled || e.Kind == cloud.Busy
	}
	return true // of the network
}

// verdict is what the answer to a launch means for what is done next.
type verdict int

const (
	isMade    verdict = iota
	nextPlace         // this zone has none of the type now
	nextHost          // this host takes none now
	noQuota           // the account may not have more of this kind
	hopeless          // nobody but a person can help
	again             // the same once more, in a while
	lookItUp          // the token was used for another request: something is there, or was
	isGone            // it was made, and is gone since
	notKnown          // something that it names is not there, or is too new to be known everywhere
)

// judge reads the answer to a launch.
func judge(err error, onHost bool) verdict {
	if err == nil {
		return isMade
	}
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok || e.Unsure {
		return again
	}
	switch e.Kind {
	case cloud.NoCapacity:
		return nextPlace
	case cloud.NoHostCapacity:
		return nextHost
	case cloud.Quota:
		return noQuota
	case cloud.Mismatch:
		if strings.HasSuffix(e.Code, "IdempotentInstanceTerminated") {
			return isGone
		}
		return lookItUp
	case cloud.NotFound:
		if onHost && strings.Contains(e.Code, "Host") {
			return nextHost // it was released, or is too new for EC2 to know everywhere
		}
		return notKnown
	case cloud.Refused, cloud.Denied:
		return hopeless
	}
	return again
}

// diedOf is what it means that a machine ended before it was of any use: EC2
// finds out some things only after it said yes. Reasons of the server are its
// own troubles in that place; all others will be the same everywhere.
func diedOf(r cloud.StateReason) verdict {
	if strings.HasPrefix(r.Code, "Server.") {
		return nextPlace
	}
	return hopeless
}

// endingOf says how a machine ended, for the user.
func endingOf(inst cloud.Instance) string {
	r := inst.Reason
	said := r.Message
	if said == "" {
		said = r.Code
	}
	switch {
	case strings.Contains(r.Code, "SpotInstance"):
		return "EC2 took the spot instance back: " + said
	case strings.HasSuffix(r.Code, "InstanceInitiatedShutdown"):
		return "the machine shut itself down"
	case inst.State == cloud.Stopped || inst.State == cloud.Stopping:
		return "the machine was stopped: " + said
	case strings.HasSuffix(r.Code, "UserInitiatedShutdown"):
		return "the machine was terminated through AWS by somebody else: " + said
	case said == "":
		return "the machine is terminated, and EC2 does not say why"
	}
	return "EC2 ended the machine: " + said
}

// notThere is how a machine ended that is not even listed any more.
const notThere = "the machine does not exist any more, and EC2 does not say since when"

// backoff is a pause that doubles up to a bound.
type backoff struct{ next, most time.Duration }

// wait makes one pause.
func (b *backoff) wait(ctx context.Context) error {
	d := b.next
	b.next = min(2*d, b.most)
	return loop.Sleep(ctx, d)
}
