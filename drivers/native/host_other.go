//go:build !linux && !darwin

package native

import (
	"fmt"
	"runtime"
)

// hostRAM says that this system is not served.
func hostRAM() (uint64, error) {
	return 0, fmt.Errorf("native environments are not available on %s", runtime.GOOS)
}
