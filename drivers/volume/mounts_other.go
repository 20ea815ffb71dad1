//go:build !linux && !darwin

package volume

// MountsBelow: nothing is ever mounted here.
func MountsBelow(string) ([]string, error) { return nil, nil }
