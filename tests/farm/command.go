package farm

import (
	"fmt"
	"os/exec"
	"strings"
)

// output runs the command; what it printed is in the error.
func output(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
