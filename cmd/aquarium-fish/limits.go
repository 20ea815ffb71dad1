package main

import (
	"os"
	"runtime"
	"runtime/debug"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
)

// gcPercent lets the heap grow to three times of what is alive before garbage is collected, instead of two. Of a node only
// some MB are alive, so this costs no more than that again, and under load it is done half as often.
const gcPercent = 200

// limitRuntime applies the limits that concern the whole process (contract 1): cpu_limit only lowers how many threads
// run Go code, mem_target only sets the soft memory limit. The environment's GOGC stays what it is.
func limitRuntime(cfg *config.Config) {
	if n := int(cfg.CPULimit); n > 0 && n < runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(n)
	}
	if cfg.MemTarget > 0 {
		debug.SetMemoryLimit(int64(cfg.MemTarget))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
