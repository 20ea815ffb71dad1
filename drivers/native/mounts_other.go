//go:build !linux && !darwin

package native

// mountsBelow: nothing is ever mounted here.
func mountsBelow(string) ([]string, error) { return nil, nil }
