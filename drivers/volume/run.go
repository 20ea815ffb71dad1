package volume

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// commandTimeout bounds one command of the system: formatting a large disk is
// the longest that any takes.
const commandTimeout = 5 * time.Minute

// Run runs a command of the system as the node itself, and returns what it
// says only where it fails. It has the variables that a command needs and no
// more.
func Run(ctx context.Context, argv ...string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return fmt.Errorf("run %s: %w", strings.Join(argv, " "), ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("run %s: %w: %.300s", strings.Join(argv, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
