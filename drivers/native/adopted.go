package native

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/native/account"
)

// An environment that the node's old database knows, and that no folder
// belongs to, was made by an old version: all that it is known by is its user.

// adopted finds the user of such an environment. A reference with a token
// never names one, nor does a name that has a folder of whomever.
func (d *driver) adopted(ctx context.Context, ref drivers.Ref) (account.User, bool, error) {
	if ref.Token != "" || d.accounts == nil || !d.workspace.Named(ref.Identifier) {
		return account.User{}, false, nil
	}
	if there, err := exists(d.workspace.Folder(ref.Identifier)); err != nil || there {
		return account.User{}, false, err
	}
	u, found, err := d.accounts.Lookup(ctx, ref.Identifier)
	return u, found && u.UID != 0, err
}

func (d *driver) inspectAdopted(ctx context.Context, ref drivers.Ref) (drivers.Report, error) {
	u, found, err := d.adopted(ctx, ref)
	if err != nil || !found {
		return drivers.Report{Presence: drivers.Absent}, err
	}
	if u.Ours { // an orphan: old versions left no mark
		return drivers.Report{Presence: drivers.Partial}, nil
	}
	return drivers.Report{Presence: drivers.Running, Environment: environment(ref.Identifier, ref.Definition)}, nil
}

// removeAdopted removes the user with all that it runs, and its home where
// that is surely its own.
func (d *driver) removeAdopted(ctx context.Context, ref drivers.Ref) error {
	u, found, err := d.adopted(ctx, ref)
	if err != nil || !found {
		return err
	}
	if err := d.accounts.Remove(ctx, ref.Identifier); err != nil { // one of ours that lost its folder
		return err
	}
	if !u.Ours {
		if err := d.removeForeign(ctx, ref.Identifier); err != nil {
			return fmt.Errorf("remove user of an earlier version: %w", err)
		}
	}
	if filepath.Base(u.Home) != ref.Identifier {
		return nil
	}
	return d.hands.remove(ctx, u.Home)
}

// removeForeign kills what the user runs, in the one way that every system
// has, and removes it. Who is killed is not gone at once, hence the repetition.
func (d *driver) removeForeign(ctx context.Context, name string) error {
	su := cmp.Or(d.settings.SuPath, "su")
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		_ = d.hands.run(ctx, su, "-s", "/bin/sh", name, "-c", "kill -KILL -1") // it kills itself as well: its answer says nothing
		err := d.hands.run(ctx, d.adoptedRemoval(name)...)
		if err == nil || pause > time.Second {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// adoptedRemoval is the command that removes a user.
func (d *driver) adoptedRemoval(name string) []string {
	if runtime.GOOS == "darwin" {
		return []string{"dscl", ".", "-delete", "/Users/" + name}
	}
	return []string{"userdel", name}
}
