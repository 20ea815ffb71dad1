// Package vmrun calls the command line tools of VMware Fusion and Workstation:
// vmrun, and vmware-vdiskmanager for disks. Every call is bounded, and none is
// left behind when it returned: not even by a process that was killed, as far
// as the next one looks for it (EndOrphans).
package vmrun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// Products are what vmrun can be told to serve, as its option -T.
const (
	Fusion      = "fusion"
	Workstation = "ws"
)

// Bounds are how long calls may take before they are given up and killed.
type Bounds struct {
	List    time.Duration // also what only looks or tidies up
	Clone   time.Duration // also making and copying disks
	Start   time.Duration // also resuming
	Stop    time.Duration // a guest's own way down, and then the hard one
	Suspend time.Duration // writes the whole memory to disk
}

// Options are what a Tool is made of.
type Options struct {
	Vmrun       string // path of vmrun
	DiskManager string // path of vmware-vdiskmanager; may be empty
	Product     string
	// Scratch is the folder for what the tools print, in files whose names start
	// with Prefix; one stays where the node is killed.
	Scratch, Prefix string
	Bounds          Bounds
	Logger          *slog.Logger
}

// Tool calls the tools. Make it with New.
type Tool struct{ o Options }

// New returns a Tool; nothing is called yet.
func New(o Options) *Tool { return &Tool{o: o} }

// List returns the .vmx files of all virtual machines that run, as vmrun writes
// them. An answer that is not whole is an error: from it nobody could tell who
// does not run.
func (t *Tool) List(ctx context.Context) ([]string, error) {
	text, err := t.ask(ctx, t.o.Bounds.List, "vmrun list", t.argv("list"))
	if err != nil {
		return nil, err
	}
	return parseList(text)
}

// parseList reads "Total running VMs: N" and N lines behind it.
func parseList(text string) ([]string, error) {
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
	for i, line := range lines {
		count, ok := strings.CutPrefix(line, "Total running VMs:")
		if !ok {
			continue // older versions warn first
		}
		n, err := strconv.Atoi(strings.TrimSpace(count))
		if err != nil || n < 0 {
			break
		}
		if found := lines[i+1:]; len(found) == n && strings.HasSuffix(text, "\n") {
			return found, nil
		}
		break
	}
	return nil, fmt.Errorf("vmrun list: got %.200q, want a count and so many paths", text)
}

// Clone makes a linked clone of a snapshot. The folder of the new one may
// exist, but not its .vmx.
func (t *Tool) Clone(ctx context.Context, from, to, snapshot, name string) error {
	return t.vmrun(ctx, t.o.Bounds.Clone, "clone", from, to, "linked", "-snapshot", snapshot, "-cloneName", name)
}

// Start starts a virtual machine, or resumes a suspended one.
func (t *Tool) Start(ctx context.Context, vmx string) error {
	return t.vmrun(ctx, t.o.Bounds.Start, "start", vmx, "nogui")
}

// StopSoft asks the guest to shut down, and waits for it.
func (t *Tool) StopSoft(ctx context.Context, vmx string) error {
	return t.vmrun(ctx, t.o.Bounds.Stop, "stop", vmx, "soft")
}

// StopHard turns a virtual machine off.
func (t *Tool) StopHard(ctx context.Context, vmx string) error {
	return t.vmrun(ctx, t.o.Bounds.Start, "stop", vmx, "hard")
}

// Suspend writes a virtual machine's memory to its folder and ends it. Hard
// does not ask the guest first, as one without tools could not answer.
func (t *Tool) Suspend(ctx context.Context, vmx string) error {
	return t.vmrun(ctx, t.o.Bounds.Suspend, "suspend", vmx, "hard")
}

// Snapshot keeps the state that a virtual machine has now, in its folder.
func (t *Tool) Snapshot(ctx context.Context, vmx, name string) error {
	return t.vmrun(ctx, t.o.Bounds.Suspend, "snapshot", vmx, name)
}

// Delete removes a virtual machine that does not run, and what VMware knows of
// it.
func (t *Tool) Delete(ctx context.Context, vmx string) error {
	return t.vmrun(ctx, t.o.Bounds.Clone, "deleteVM", vmx)
}

// errNoDiskManager says that there is nothing to make disks with.
var errNoDiskManager = errors.New("vmware-vdiskmanager was not found: set vdiskmanager_path")

// CreateDisk makes a disk that grows up to so many GB.
func (t *Tool) CreateDisk(ctx context.Context, path string, gb uint) error {
	return t.disks(ctx, "-c", "-s", fmt.Sprintf("%dGB", gb), "-a", "lsilogic", "-t", "0", path)
}

func (t *Tool) disks(ctx context.Context, args ...string) error {
	if t.o.DiskManager == "" {
		return errNoDiskManager
	}
	return t.run(ctx, t.o.Bounds.Clone, "vmware-vdiskmanager "+args[0], append([]string{t.o.DiskManager}, args...))
}

func (t *Tool) vmrun(ctx context.Context, bound time.Duration, verb string, args ...string) error {
	return t.run(ctx, bound, "vmrun "+verb, t.argv(verb, args...))
}

func (t *Tool) argv(verb string, args ...string) []string {
	return append([]string{t.o.Vmrun, "-T", t.o.Product, verb}, args...)
}
