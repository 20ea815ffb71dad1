package main

import (
	"runtime"
	"runtime/debug"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
)

// limitRuntime applies the limits that concern the whole process (contract 1): cpu_limit only lowers how many threads
// run Go code, mem_target only sets the soft memory limit.
func limitRuntime(cfg *config.Config) {
	if n := int(cfg.CPULimit); n > 0 && n < runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(n)
	}
	if cfg.MemTarget > 0 {
		debug.SetMemoryLimit(int64(cfg.MemTarget))
	}
}
