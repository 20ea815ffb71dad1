package vmx

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/drivers/claims"
)

// Names in an environment's folder, beside those of VMware.
const (
	specFile    = "spec.json" // the claim
	startedFile = "started"   // it ran: nothing is made again
	imageFolder = "image"     // what it is cloned from
)

// workspace is the folder of environments, each in a folder of its own that is
// named by its hardware address. Its path is without links in it, as vmrun
// shows paths.
type workspace struct{ *claims.Workspace }

func openWorkspace(path string, o claims.Owner, log *slog.Logger) (workspace, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return workspace{}, fmt.Errorf("make workspace_path (allow it to the node's user or set another): %w", err)
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return workspace{}, fmt.Errorf("find workspace_path: %w", err)
	}
	w, err := claims.Open(claims.Options{
		Path: path, Owner: o, Mode: 0o700, File: specFile, Names: names, Pattern: namePattern(), NameOf: nameOf, Marks: true, Logger: log,
	})
	return workspace{w}, err
}

// vmx is the path of a virtual machine, and the identifier of its environment.
func (w workspace) vmx(name string) string { return vmxPath(w.Path(), name) }

func vmxPath(workspace, name string) string { return filepath.Join(workspace, name, name+".vmx") }

// nameOf is the name in an identifier; empty for what is none.
func nameOf(workspace, identifier string) string {
	if name := filepath.Base(filepath.Dir(identifier)); identifier == vmxPath(workspace, name) {
		return name
	}
	return ""
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
