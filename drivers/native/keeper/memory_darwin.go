package keeper

import "runtime/debug"

// shrink gives back the memory that only the beginning needed.
func shrink() { debug.FreeOSMemory() }
