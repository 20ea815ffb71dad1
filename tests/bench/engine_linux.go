package main

import (
	"errors"

	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
)

// runEngine starts an engine, or says what is missing for it.
func runEngine() (e engine, missing string, err error) {
	s, err := dockerd.Run(dockerd.Options{})
	if errors.Is(err, dockerd.ErrMissing) {
		return nil, err.Error(), nil
	}
	if err != nil {
		return nil, "", err
	}
	return s, "", nil
}
