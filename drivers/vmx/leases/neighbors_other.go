//go:build !linux

package leases

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

// neighborsWait bounds the tool: without -n it would ask name servers.
const neighborsWait = 5 * time.Second

// Neighbors is the neighbour table of this machine, from the arp tool.
func Neighbors(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, neighborsWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, "arp", "-an")
	cmd.WaitDelay = time.Second
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run arp -an: %w", err)
	}
	return string(text), nil
}
