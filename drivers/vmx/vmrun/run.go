package vmrun

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	// maxOutput bounds what is read of a tool's output: a list of a thousand
	// machines is far smaller.
	maxOutput = 1 << 20
	// reapWait is how long a killed tool may take to be gone.
	reapWait = 5 * time.Second
)

// run runs a tool, within a process group of its own that is killed when the
// bound or ctx is over. Its output goes to a file and not to a pipe: the
// virtual machine that `start` leaves behind may hold it for ever.
func (t *Tool) run(ctx context.Context, bound time.Duration, what string, argv []string) (output string, err error) {
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	out, err := os.CreateTemp(t.o.Scratch, t.o.Prefix+"out-*")
	if err != nil {
		return "", fmt.Errorf("%s: make file for its output: %w", what, err)
	}
	defer func() { _ = out.Close(); _ = os.Remove(out.Name()) }()

	bounded, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	cmd := exec.CommandContext(bounded, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = reapWait
	ownGroup(cmd)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	t.o.Logger.Debug("tool began", "call", what, "pid", cmd.Process.Pid)
	err = cmd.Wait()
	t.o.Logger.Debug("tool ended", "call", what, "args", argv[1:], "took", time.Since(start), "error", err)
	text, readErr := readBack(out)
	switch {
	case ctx.Err() != nil && err != nil:
		return "", fmt.Errorf("%s: %w", what, ctx.Err())
	case bounded.Err() != nil && err != nil:
		return "", fmt.Errorf("%s: it was killed because it did not end within %v", what, bound)
	case err != nil:
		return "", fmt.Errorf("%s: %s (%w)", what, firstLine(text), err)
	}
	return text, readErr
}

func readBack(f *os.File) (string, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("read output: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxOutput+1))
	if err == nil && len(text) > maxOutput {
		err = fmt.Errorf("read output: more than %d bytes", maxOutput)
	}
	return string(text), err
}

// firstLine is what a tool says of its error: it prints it on its output, and
// sometimes hints behind it.
func firstLine(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "Error") || strings.HasPrefix(line, "Failed") {
			return fmt.Sprintf("%.300s", line)
		}
	}
	if line, _, _ := strings.Cut(strings.TrimSpace(text), "\n"); line != "" {
		return fmt.Sprintf("%.300s", line)
	}
	return "it said nothing"
}

// EndOrphans kills the calls about what is in a folder that a killed node left
// behind: they would go on and make again what is being removed. The caller
// makes sure that no call of its own is under way there.
func (t *Tool) EndOrphans(ctx context.Context, folder string) error {
	return killAll(ctx, "calls of a node that was killed", func(argv string) bool { return t.orphan(argv, folder) })
}

// orphan recognizes a call about a folder by its arguments.
func (t *Tool) orphan(argv, folder string) bool {
	call := strings.Contains(argv, t.o.Vmrun+" -T ") || t.o.DiskManager != "" && strings.Contains(argv, t.o.DiskManager+" -")
	return call && strings.Contains(argv, strings.TrimSuffix(folder, "/")+"/")
}

// EndMachine kills the process in which a virtual machine runs, for one that
// vmrun does not list though it is there: hung, or not yet or no longer told of.
func (t *Tool) EndMachine(ctx context.Context, vmx string) error {
	return killAll(ctx, "process of virtual machine", func(argv string) bool { return machine(argv, vmx) })
}

func machine(argv, vmx string) bool {
	program, _, _ := strings.Cut(argv, " ")
	if i := strings.Index(argv, "vmware-vmx"); i >= 0 { // its folder may have blanks in its name
		program = argv[:i+len("vmware-vmx")]
	}
	return strings.HasSuffix(program, "vmware-vmx") && strings.HasSuffix(argv, " "+vmx)
}

// killAll kills the processes that match, and waits until there are none.
func killAll(ctx context.Context, what string, match func(argv string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, reapWait)
	defer cancel()
	for {
		pids, err := processes(ctx, match)
		if err != nil || len(pids) == 0 {
			return err
		}
		var errs []error
		for _, pid := range pids {
			errs = append(errs, kill(pid))
		}
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("kill %s: %w", what, err)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("kill %s: %v still there: %w", what, pids, ctx.Err())
		}
	}
}
