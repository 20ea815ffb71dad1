package app

import (
	"encoding/json"
	"runtime"

	"github.com/aquarium-fish/aquarium-fish/lib/capacity"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// loadOf is how much of this machine is promised, in percent: what nodes that
// could run an application equally well are compared by.
func loadOf(ledger *capacity.Ledger, node model.Node) func() uint8 {
	cpu, ram := uint(runtime.NumCPU()), memoryOf(node) //nolint:gosec // a small number
	return func() uint8 { return ledger.Load(cpu, ram) }
}

// memoryOf is the memory of the machine in GB, a started one as whole, as the
// host facts tell it; 0 if they do not.
func memoryOf(node model.Node) uint {
	var facts struct {
		Memory struct {
			Total uint64 `json:"total"`
		} `json:"memory"`
	}
	if json.Unmarshal(node.Definition, &facts) != nil {
		return 0
	}
	const gb = 1 << 30
	return uint((facts.Memory.Total + gb - 1) / gb)
}
