//go:build !linux && !darwin

package keeper

import (
	"context"
	"errors"
	"time"
)

// errSystem is the answer of all functions on a system without keepers.
var errSystem = errors.New("native environments are supported on linux and macOS only")

// Main answers that there are no keepers on this system.
func Main([]string) int { return 1 }

// Start answers that there are no keepers on this system.
func Start(context.Context, Spec) error { return errSystem }

// Look answers that there are no keepers on this system.
func Look(string, string) (State, error) { return State{}, errSystem }

// Wait answers that there are no keepers on this system.
func Wait(context.Context, string, string) (string, error) { return "", errSystem }

// Stop answers that there are no keepers on this system.
func Stop(context.Context, string, string, time.Duration) error { return errSystem }
