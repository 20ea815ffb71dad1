package release

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// TestReleaseTwice builds and packs this machine's platform from two clones in
// folders of different names: the same bytes.
func TestReleaseTwice(t *testing.T) {
	t.Parallel()
	needs.All(t, "builds a release twice")
	if runtime.GOOS == "windows" {
		t.Skip("nothing is released for Windows")
	}
	root := filepath.Dir(strings.TrimSpace(command(t, ".", "go", "env", "GOMOD")))
	var sums [2]string
	for i, name := range []string{"one", "another-clone"} {
		clone := filepath.Join(t.TempDir(), name)
		command(t, ".", "git", "-c", "safe.directory=*", "clone", "--quiet", root, clone)
		command(t, clone, "./build.sh", "release", runtime.GOOS+"/"+runtime.GOARCH)
		sums[i] = read(t, filepath.Join(clone, "build/release/SHA256SUMS"))
	}
	if !strings.Contains(sums[0], ".tar.gz") || sums[0] != sums[1] {
		t.Errorf("two releases of one commit:\n%s\n%s", sums[0], sums[1])
	}
}
