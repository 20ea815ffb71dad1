package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
)

func TestLimitRuntime(t *testing.T) {
	procs, memory := runtime.GOMAXPROCS(0), debug.SetMemoryLimit(-1)
	t.Cleanup(func() {
		runtime.GOMAXPROCS(procs)
		debug.SetMemoryLimit(memory)
	})
	limitRuntime(&config.Config{CPULimit: math.MaxUint16})
	if got := runtime.GOMAXPROCS(0); got != procs {
		t.Errorf("GOMAXPROCS = %d under a higher limit, want %d as before", got, procs)
	}
	limitRuntime(&config.Config{})
	if got := debug.SetMemoryLimit(-1); got != memory || runtime.GOMAXPROCS(0) != procs {
		t.Errorf("memory limit %d, GOMAXPROCS %d without limits, want them unchanged", got, runtime.GOMAXPROCS(0))
	}
	limitRuntime(&config.Config{CPULimit: 1, MemTarget: 512 << 20})
	if got := debug.SetMemoryLimit(-1); got != 512<<20 || runtime.GOMAXPROCS(0) != 1 {
		t.Errorf("memory limit %d, GOMAXPROCS %d, want 512 MB and 1", got, runtime.GOMAXPROCS(0))
	}
}
