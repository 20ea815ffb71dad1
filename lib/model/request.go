package model

import "fmt"

// NotActiveError says that an Application can not be deallocated because it is
// not active any more (contract 11).
type NotActiveError struct {
	Status Status // the current one
}

// Error implements error in the contract's words.
func (e NotActiveError) Error() string {
	return fmt.Sprintf("Unable to deallocate the Application with status: %s", e.Status)
}

// RequestRelease asks for the end of an Application, for a user or for the
// executor itself: DEALLOCATE where it is ALLOCATED, RECALLED before that.
// Anything but an active Application is a NotActiveError.
func RequestRelease(e *Entry, description string) (Change, error) {
	status := e.Fold.Status()
	if !status.Active() {
		return Change{}, NotActiveError{Status: status}
	}
	request := ApplicationState{Status: StatusRecalled, Description: description}
	if status == StatusAllocated {
		request.Status = StatusDeallocate
	}
	return Change{States: []ApplicationState{request}}, nil
}
