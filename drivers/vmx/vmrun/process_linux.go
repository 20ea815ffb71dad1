package vmrun

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// diesWithUs lets the command, to which ownGroup was applied, be killed when the
// node is. It may also be when a thread of the node ends: only for calls that
// change nothing.
func diesWithUs(cmd *exec.Cmd) { cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL }

// processes are those whose arguments, joined by blanks, match. A process that
// is over but not waited for has none.
func processes(ctx context.Context, match func(argv string) bool) ([]int, error) {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []int
	for _, p := range all {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		argv, err := os.ReadFile("/proc/" + p.Name() + "/cmdline")
		if err != nil {
			continue // it just ended, or is not for us to see
		}
		if match(strings.ReplaceAll(strings.TrimRight(string(argv), "\x00"), "\x00", " ")) {
			found = append(found, pid)
		}
	}
	return found, nil
}
