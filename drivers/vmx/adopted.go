package vmx

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// An environment that the node's old database knows, and whose folder has no
// claim, was made by an old version: all that it is known by is the path of its
// virtual machine.

// adopted reports whether a reference names such an environment. One with a
// token never does, nor does a path that is not in a folder of 12 hex digits in
// the workspace, or one with a claim of whomever.
func (d *driver) adopted(ref drivers.Ref) (folder string, ok bool, err error) {
	folder = filepath.Dir(ref.Identifier)
	parent, err := filepath.EvalSymlinks(filepath.Dir(folder))
	if ref.Token != "" || !filepath.IsAbs(ref.Identifier) || filepath.Ext(ref.Identifier) != ".vmx" || err != nil || parent != d.workspace.Path() ||
		!regexp.MustCompile(`^[0-9a-f]{12}$`).MatchString(filepath.Base(folder)) {
		return "", false, nil //nolint:nilerr // a workspace that is not there is not this one
	}
	folder = filepath.Join(parent, filepath.Base(folder))
	info, err := os.Lstat(folder)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	claimed, err := exists(filepath.Join(folder, specFile))
	return folder, err == nil && !claimed, err
}

func (d *driver) inspectAdopted(ctx context.Context, ref drivers.Ref) (drivers.Report, error) {
	folder, ok, err := d.adopted(ref)
	if err != nil || !ok {
		return drivers.Report{Presence: drivers.Absent}, err
	}
	vmx := filepath.Join(folder, filepath.Base(ref.Identifier))
	for range 2 { // it may be resumed in between, as for inspect
		running, err := d.runs(ctx, vmx, 0)
		if err != nil {
			return drivers.Report{}, err
		}
		still, err := suspended(vmx)
		if err != nil {
			return drivers.Report{}, err
		}
		if running || still {
			return drivers.Report{Presence: drivers.Running, Environment: drivers.Environment{Identifier: ref.Identifier}}, nil
		}
	}
	log, err := readLog(folder)
	return drivers.Report{Presence: drivers.Ended, Ending: log.ending()}, err
}

// removeAdopted stops the machine and removes it with its folder.
func (d *driver) removeAdopted(ctx context.Context, ref drivers.Ref) error {
	folder, ok, err := d.adopted(ref)
	if err != nil || !ok {
		return err
	}
	vmx := filepath.Join(folder, filepath.Base(ref.Identifier))
	for _, do := range []func(context.Context, string) error{d.stop, d.deleteMachine, d.wantOff} {
		if err := do(ctx, vmx); err != nil {
			return err
		}
	}
	return os.RemoveAll(folder)
}
