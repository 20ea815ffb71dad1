package native

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// orphans finds users of environments that have no folder. There are such where
// a node was killed while a tool made the user: the release found none yet and
// removed the folder, and the tool, which is never killed, came to its end
// after that.
//
// The mark of a user names the node, and its home the workspace, so two
// instances that share one may both find it. Either may remove it: what has no
// folder is no environment of any.
func (d *driver) orphans(ctx context.Context) ([]drivers.Ref, error) {
	if d.accounts == nil {
		return nil, nil
	}
	names, err := d.accounts.List(ctx)
	if err != nil {
		return nil, err
	}
	var refs []drivers.Ref
	for _, name := range names {
		if !d.workspace.Named(name) {
			continue
		}
		u, found, err := d.accounts.Lookup(ctx, name)
		if err != nil {
			return nil, err
		}
		folder := d.workspace.Folder(name)
		if !found || u.Home != filepath.Join(folder, homeFolder) {
			continue
		}
		// Looked for last: a folder is made before its user, and removed after it.
		there, err := exists(folder)
		if err != nil {
			return nil, fmt.Errorf("look for folder of user %s: %w", name, err)
		}
		if !there {
			refs = append(refs, drivers.Ref{Identifier: name})
		}
	}
	return refs, nil
}
