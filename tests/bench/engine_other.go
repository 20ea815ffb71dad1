//go:build !linux

package main

// runEngine starts an engine, or says what is missing for it.
func runEngine() (e engine, missing string, err error) {
	return nil, "an engine of the run's own needs Linux", nil
}
