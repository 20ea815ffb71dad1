//go:build !linux

package caller

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"time"
)

// systemNeighbors asks the arp tool, as macOS and the BSDs have it.
func systemNeighbors(ctx context.Context) (map[netip.Addr]string, error) {
	cmd := exec.CommandContext(ctx, "arp", "-an")
	cmd.WaitDelay = time.Second // do not wait for ever on its pipes
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run arp -an: %w", err)
	}
	return parseARP(string(out)), nil
}
