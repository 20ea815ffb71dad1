package kill

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// environment is what the test driver says of one file in its workspace: a
// symbolic link `.fish/<identifier>` to `node,instance,token,application`.
type environment struct {
	identifier, instance, token, app string
	made                             bool // the file is there too
}

// survey lists the environments of a node's workspace.
func survey(dir string) ([]environment, error) {
	workspace := filepath.Join(dir, "fish_test_workspace")
	markers, err := os.ReadDir(filepath.Join(workspace, ".fish"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list markers: %w", err)
	}
	var found []environment
	for _, m := range markers {
		if m.Type()&fs.ModeSymlink == 0 {
			continue // of no environment; looked for at the end
		}
		target, err := os.Readlink(filepath.Join(workspace, ".fish", m.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed while we look
		}
		if err != nil {
			return nil, fmt.Errorf("read marker: %w", err)
		}
		part := strings.Split(target, ",")
		if len(part) != 4 {
			return nil, fmt.Errorf("marker %s says %q", m.Name(), target)
		}
		_, err = os.Lstat(filepath.Join(workspace, m.Name()))
		found = append(found, environment{m.Name(), part[1], part[2], part[3], err == nil})
	}
	return found, nil
}

// strays lists the files without a marker. Only on a dead node: a living one
// may make both between two looks.
func strays(dir string, found []environment) ([]string, error) {
	workspace := filepath.Join(dir, "fish_test_workspace")
	files, err := os.ReadDir(workspace)
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	known := map[string]bool{".fish": true}
	for _, e := range found {
		known[e.identifier] = true
	}
	var loose []string
	for _, f := range files {
		if !known[f.Name()] {
			loose = append(loose, f.Name())
		}
	}
	return loose, nil
}
