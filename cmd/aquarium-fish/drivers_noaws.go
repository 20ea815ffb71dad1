//go:build noaws

package main

import "github.com/aquarium-fish/aquarium-fish/drivers"

// awsFactory keeps the driver's name: a config that lists it starts, and what it
// made is kept until a binary that has it is there.
func awsFactory() drivers.Factory {
	return drivers.Factory{Name: "aws", Absent: "this build has no aws driver: it was made with the tag noaws"}
}
