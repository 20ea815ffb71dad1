//go:build !linux && !darwin

package store

// bootID names the present run of the system; "" as it can not be told here:
// each crash is taken for one of the system.
func bootID() string { return "" }
