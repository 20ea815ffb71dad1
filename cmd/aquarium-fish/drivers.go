package main

import (
	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/docker"
	"github.com/aquarium-fish/aquarium-fish/drivers/native"
	"github.com/aquarium-fish/aquarium-fish/drivers/test"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx"
)

// factories are the drivers of this binary. This is the only place that knows
// them all. Those of v0.7 that it has not are known by name: a config that lists
// them starts, and what they made is kept until they are there.
func factories() []drivers.Factory {
	return []drivers.Factory{
		native.Factory(), docker.Factory(), vmx.Factory(), test.Factory(),
		{Name: "aws", Absent: "this build has no aws driver yet"},
	}
}
