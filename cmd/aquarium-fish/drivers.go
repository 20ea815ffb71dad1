package main

import (
	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/docker"
	"github.com/aquarium-fish/aquarium-fish/drivers/native"
	"github.com/aquarium-fish/aquarium-fish/drivers/test"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx"
)

// factories are the drivers of this binary. This is the only place that knows
// them all.
func factories() []drivers.Factory {
	return []drivers.Factory{
		native.Factory(), docker.Factory(), vmx.Factory(), test.Factory(), awsFactory(),
	}
}
