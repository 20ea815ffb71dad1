package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// active reports whether an Application may still get or keep its environment (contract 11).
func active(status apiv1.ApplicationStatus) bool {
	switch status {
	case apiv1.ApplicationStatusNEW, apiv1.ApplicationStatusELECTED, apiv1.ApplicationStatusALLOCATED:
		return true
	}
	return false
}

// over reports whether nothing of the Application is left to wait for. After RECALLED a driver that had begun still
// cleans up and DEALLOCATED follows; where none had, nothing does. The API does not tell which, so the wait ends here.
func over(status apiv1.ApplicationStatus) bool {
	switch status {
	case apiv1.ApplicationStatusDEALLOCATED, apiv1.ApplicationStatusERROR, apiv1.ApplicationStatusRECALLED:
		return true
	}
	return false
}

// follow asks for the state of an Application until the condition holds, and tells of each change.
func follow(ctx context.Context, api client.ClientWithResponsesInterface, uid apiv1.UID,
	changed func(apiv1.ApplicationState), until func(apiv1.ApplicationStatus) bool,
) (apiv1.ApplicationState, error) {
	var state apiv1.ApplicationState
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		now, err := currentState(ctx, api, uid)
		if err != nil {
			return false, err
		}
		if now.UID != state.UID || now.Status != state.Status {
			state = now
			changed(state)
		}
		return until(state.Status), nil
	})
	return state, err
}

// showChange notes a state on stderr, where it does not mix with the output.
func (s *shell) showChange(state apiv1.ApplicationState) {
	s.note("%s: %s", state.Status, printable(state.Description))
}

// waitAllocated waits until the Application has its environment. The error says how it stands and what to do.
func (s *shell) waitAllocated(ctx context.Context, api client.ClientWithResponsesInterface, uid apiv1.UID, timeout time.Duration) error {
	bounded, cancel := withTimeout(ctx, timeout)
	defer cancel()
	state, err := follow(bounded, api, uid, s.showChange, func(status apiv1.ApplicationStatus) bool {
		return status == apiv1.ApplicationStatusALLOCATED || !active(status)
	})
	if err != nil {
		return unfinished(ctx, err, fmt.Sprintf("application %s is %s after %v", uid, state.Status, timeout),
			fmt.Sprintf("it goes on: 'aquarium-fish app watch %s' follows it, 'aquarium-fish app deallocate %s' gives it back", uid, uid))
	}
	if state.Status != apiv1.ApplicationStatusALLOCATED {
		return &Failure{CodeEnded, fmt.Errorf("application %s ended as %s: %s", uid, state.Status, printable(state.Description))}
	}
	return nil
}

// unfinished turns the error of a wait into what the user should know: how it stands and what goes on.
func unfinished(ctx context.Context, err error, stands, goesOn string) error {
	switch {
	case ctx.Err() != nil:
		return &Failure{CodeInterrupted, fmt.Errorf("interrupted; %s", goesOn)}
	case errors.Is(err, context.DeadlineExceeded):
		var unreached *unreachableError
		if errors.As(err, &unreached) {
			return &Failure{CodeTimeout, fmt.Errorf("not in time, and the node does not answer: %w", unreached)}
		}
		return &Failure{CodeTimeout, fmt.Errorf("not in time: %s; %s", stands, goesOn)}
	}
	return err
}
