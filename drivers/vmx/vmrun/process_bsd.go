//go:build unix && !linux

package vmrun

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// diesWithUs has no counterpart here: a list that hangs when the node is killed
// stays until VMware answers it.
func diesWithUs(*exec.Cmd) {}

// processes are those whose arguments, joined by blanks, match.
func processes(ctx context.Context, match func(argv string) bool) ([]int, error) {
	cmd := exec.CommandContext(ctx, "ps", "-axww", "-o", "pid=,command=")
	cmd.WaitDelay = time.Second
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []int
	for line := range strings.Lines(string(text)) {
		first, argv, _ := strings.Cut(strings.TrimSpace(line), " ")
		pid, err := strconv.Atoi(first)
		if err == nil && pid != os.Getpid() && match(strings.TrimSpace(argv)) {
			found = append(found, pid)
		}
	}
	return found, nil
}
