package vmx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmxfile"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// taskSnapshot keeps the state of a virtual machine, with its memory. It stays
// in the machine's folder, and goes with it.
const taskSnapshot = "snapshot"

// snapshotResult is what such a task says, as that of every driver does.
type snapshotResult struct {
	Snapshots []string     `json:"snapshots"`
	When      model.Status `json:"when"`
}

// RunTask implements drivers.Driver. A snapshot is named by its task, so that
// one whose answer was lost is not made again.
func (d *driver) RunTask(ctx context.Context, task drivers.TaskRequest) (json.RawMessage, error) {
	var options map[string]json.RawMessage
	if task.Task != taskSnapshot || json.Unmarshal(task.Options, &options) != nil || bytes.Equal(task.Options, []byte("null")) {
		return nil, drivers.ErrTaskUnknown
	}
	name := "fish-" + task.UID.String()
	err := d.withLive(ctx, task.Ref, func(c claims.Claim, f facts) error {
		there, err := hasSnapshot(d.workspace.vmx(c.Name), name)
		if err != nil || there {
			return err
		}
		if !f.running {
			return errors.New("virtual machine is suspended: resume it first")
		}
		return d.tool.Snapshot(ctx, d.workspace.vmx(c.Name), name)
	})
	if err != nil {
		return nil, fmt.Errorf("make snapshot: %w", err)
	}
	return json.Marshal(snapshotResult{Snapshots: []string{name}, When: task.When})
}

// hasSnapshot looks for a snapshot in the list that VMware keeps beside a
// machine.
func hasSnapshot(vmx, name string) (bool, error) {
	f, err := vmxfile.Read(strings.TrimSuffix(vmx, filepath.Ext(vmx)) + ".vmsd")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, key := range f.Keys() {
		if value, _ := f.Get(key); strings.HasSuffix(key, ".displayname") && value == name {
			return true, nil
		}
	}
	return false, nil
}
