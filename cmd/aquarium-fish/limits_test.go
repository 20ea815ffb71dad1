package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
)

func TestLimitRuntime(t *testing.T) {
	t.Setenv("GOGC", "")
	procs, memory, percent := runtime.GOMAXPROCS(0), debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
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
	if got := debug.SetGCPercent(50); got != gcPercent {
		t.Errorf("GC percent %d, want %d", got, gcPercent)
	}
	t.Setenv("GOGC", "50")
	limitRuntime(&config.Config{CPULimit: 1, MemTarget: 512 << 20})
	if got := debug.SetMemoryLimit(-1); got != 512<<20 || runtime.GOMAXPROCS(0) != 1 {
		t.Errorf("memory limit %d, GOMAXPROCS %d, want 512 MB and 1", got, runtime.GOMAXPROCS(0))
	}
	if got := debug.SetGCPercent(percent); got != 50 {
		t.Errorf("GC percent %d under GOGC=50, want that", got)
	}
}
