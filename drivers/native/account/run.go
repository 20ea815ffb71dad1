package account

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Command is a tool to run, without any shell between.
type Command struct {
	Argv []string
	UID  int // the user and group to run it as; 0 is as this process
	GID  int
}

// Result is how a tool ended.
type Result struct {
	Code   int
	Output string // what it wrote to stdout and stderr
}

// Runner runs tools. Its error means that the tool did not run or did not end;
// a code other than 0 is no error.
type Runner interface {
	Run(ctx context.Context, command Command) (Result, error)
}

// execRunner runs tools for real: in a session of their own, so that an
// interrupt at the node's terminal does not cut them short, without input, and
// with messages in English.
type execRunner struct{}

func (execRunner) Run(ctx context.Context, command Command) (Result, error) {
	cmd := exec.CommandContext(ctx, command.Argv[0], command.Argv[1:]...)
	cmd.Env = []string{"PATH=" + searched, "LC_ALL=C", "HOME=/", "TERM=dumb"}
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	separate(cmd, command.UID, command.GID)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		err = nil
	}
	if err != nil {
		return Result{}, fmt.Errorf("run %s: %w", command.Argv[0], errors.Join(err, ctx.Err()))
	}
	return Result{Code: cmd.ProcessState.ExitCode(), Output: output.String()}, nil
}

// searched is where tools are looked for: the PATH of an ordinary user often
// lacks what only root uses.
const searched = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// locate finds a tool, at its configured place if it has one.
func locate(paths map[string]string, tool string) (string, error) {
	if path, ok := paths[tool]; ok {
		if !filepath.IsAbs(path) || !executable(path) {
			return "", fmt.Errorf("find %s: %s is no absolute path of an executable", tool, path)
		}
		return path, nil
	}
	for dir := range strings.SplitSeq(searched, ":") {
		if path := filepath.Join(dir, tool); executable(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("find %s: it is in none of %s", tool, searched)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// privileged runs a command as root, to its end even if ctx ends meanwhile: half
// a change of the user database helps nobody, and it takes but milliseconds.
func (a *Accounts) privileged(ctx context.Context, argv ...string) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTimeout)
	defer cancel()
	argv[0] = a.path(argv[0])
	return a.runner.Run(bounded, Command{Argv: append(a.Privileged(), argv...)})
}

// check finds out whether this process may make users and act as them.
func (a *Accounts) check(ctx context.Context) error {
	wanted := append([]string{"sh"}, a.system.tools.needs()...)
	if !a.root {
		wanted = append(wanted, "sudo")
	}
	for _, tool := range wanted {
		path, err := locate(a.paths, tool)
		if err != nil {
			return err
		}
		a.paths[tool] = path
	}
	if !a.root {
		if err := canSeeProcesses(); err != nil {
			return err
		}
	}
	return a.tryTools(ctx)
}

// tryTools runs every tool in a way that changes nothing. Asking by "sudo -l"
// would not tell whether sudo wants a password for it.
func (a *Accounts) tryTools(ctx context.Context) error {
	var tries [][]string
	if !a.root {
		tries = append(tries, append(a.Sudo("nobody"), a.path("sh"), "-c", ":"))
	}
	for _, argv := range a.system.tools.probes() {
		tries = append(tries, append(a.Privileged(), append([]string{a.path(argv[0])}, argv[1:]...)...))
	}
	for _, argv := range tries {
		result, err := a.runner.Run(ctx, Command{Argv: argv})
		if err == nil && result.Code != 0 {
			err = fmt.Errorf("exit code %d: %s", result.Code, brief(result.Output))
		}
		switch {
		case err != nil && a.root:
			return fmt.Errorf("%q does not work: %w", strings.Join(argv, " "), err)
		case err != nil:
			return fmt.Errorf("this process is not root and %q does not work "+
				"(run the node as root, or allow it by a sudoers rule with NOPASSWD): %w", strings.Join(argv, " "), err)
		}
	}
	return nil
}

// brief is the start of a tool's output as one line.
func brief(output string) string {
	line := strings.Join(strings.Fields(output), " ")
	if len(line) > 300 {
		line = line[:300] + "..."
	}
	return line
}
