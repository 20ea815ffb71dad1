package farm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const (
	// PreviousBinaryEnv names the environment variable with the path of a
	// binary of the version before.
	PreviousBinaryEnv = "FISH_PREVIOUS_BINARY"
	// previousCommit is the version before: nodes of it and of today make one
	// farm while it is upgraded. A release sets it to the commit of the one
	// before it; the first ones are that with which there was a cluster.
	previousCommit = "7aeb4f886d367a19dd1c03ab753ddcb238ac1ca8"
)

// PreviousBinary is the path of a node of the version before. It is built from
// the history of the repository unless one is given.
func PreviousBinary(t testing.TB) string {
	t.Helper()
	if given := os.Getenv(PreviousBinaryEnv); given != "" {
		return given
	}
	root, err := fish.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	if err := git(t.Context(), root, "cat-file", "-e", previousCommit+"^{commit}").Run(); err != nil {
		needs.Lacking(t, "needs the repository with its history, with commit "+previousCommit)
	}
	binary := filepath.Join(t.TempDir(), "aquarium-fish-previous")
	if err := buildCommit(t.Context(), root, t.TempDir(), binary); err != nil {
		t.Fatal(err)
	}
	return binary
}

// git runs it in a repository that may be another user's.
func git(ctx context.Context, root string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "safe.directory=*"}, args...)...)
	cmd.Dir = root
	return cmd
}

// buildCommit compiles the node of previousCommit in an empty folder.
func buildCommit(ctx context.Context, root, folder, binary string) error {
	archive := filepath.Join(folder, "tree.tar")
	if err := output(git(ctx, root, "archive", "--output", archive, previousCommit)); err != nil {
		return fmt.Errorf("take the tree of the version before: %w", err)
	}
	unpack := exec.CommandContext(ctx, "tar", "-x", "-f", archive)
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/aquarium-fish")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	for _, cmd := range []*exec.Cmd{unpack, build} {
		cmd.Dir = folder
		if err := output(cmd); err != nil {
			return fmt.Errorf("build the version before: %w", err)
		}
	}
	return os.Remove(archive)
}
