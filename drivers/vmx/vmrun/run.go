package vmrun

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
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

// run runs a tool of which only the error's words are of interest. They go to a
// file and not to a pipe: the virtual machine that `start` leaves behind may
// hold it for ever. On a full disk there are no words, and the tool runs.
func (t *Tool) run(ctx context.Context, bound time.Duration, what string, argv []string) error {
	out, discard, err := scratch(t.o.Scratch, t.o.Prefix+"out-*")
	if err != nil {
		return t.call(ctx, bound, call{what: what, argv: argv, said: func() string { return "" }})
	}
	defer discard()
	return t.call(ctx, bound, call{what: what, argv: argv, out: out, said: func() string { return readBack(out) }})
}

// ask runs a tool that answers and leaves nothing behind that could hold its
// output. It dies with the node where the system can do that: its arguments
// name no folder by which the next node would find it.
func (t *Tool) ask(ctx context.Context, bound time.Duration, what string, argv []string) (string, error) {
	out := &limited{}
	err := t.call(ctx, bound, call{what: what, argv: argv, out: out, said: out.String, dies: true})
	if err == nil && out.over {
		err = fmt.Errorf("%s: it said more than %d bytes", what, maxOutput)
	}
	return out.String(), err
}

// limited keeps the beginning of what is written. It is no bytes.Buffer to the
// outside, as that would read past the limit by itself.
type limited struct {
	text bytes.Buffer
	over bool
}

func (l *limited) String() string { return l.text.String() }

func (l *limited) Write(p []byte) (int, error) {
	room := maxOutput - l.text.Len()
	l.over = l.over || len(p) > room
	l.text.Write(p[:min(len(p), room)])
	return len(p), nil
}

// call is one call of a tool.
type call struct {
	what string
	argv []string
	out  io.Writer     // nil: nowhere
	said func() string // what it wrote there
	dies bool          // with the node
}

// call runs a tool in a process group of its own, which is killed when the
// bound or ctx is over.
func (t *Tool) call(ctx context.Context, bound time.Duration, c call) error {
	what, argv := c.what, c.argv
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	bounded, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	cmd := exec.CommandContext(bounded, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = c.out, c.out
	cmd.WaitDelay = reapWait
	ownGroup(cmd)
	if c.dies {
		diesWithUs(cmd)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	t.o.Logger.Debug("tool began", "call", what, "pid", cmd.Process.Pid)
	err := cmd.Wait()
	t.o.Logger.Debug("tool ended", "call", what, "args", argv[1:], "took", time.Since(start), "error", err)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, ctx.Err())
	case bounded.Err() != nil:
		return fmt.Errorf("%s: it was killed because it did not end within %v", what, bound)
	}
	return fmt.Errorf("%s: %s (%w)", what, firstLine(c.said()), err)
}

// readBack returns what there is; what can not be read is not told.
func readBack(f *os.File) string {
	text, _ := io.ReadAll(io.NewSectionReader(f, 0, maxOutput))
	return string(text)
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

// orphan recognizes a call about a folder by its arguments. Of the tools' paths
// only the last part counts: they may be wrappers of others, and the node may
// have been told of others since.
func (t *Tool) orphan(argv, folder string) bool {
	call := strings.Contains(argv, filepath.Base(t.o.Vmrun)+" -T ") ||
		t.o.DiskManager != "" && strings.Contains(argv, filepath.Base(t.o.DiskManager)+" -")
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
