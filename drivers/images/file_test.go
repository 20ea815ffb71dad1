package images

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFileWithoutSum: a sum may be left out of a file of this machine too.
func TestFileWithoutSum(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "img-1.tar.gz"), imageArchive(t, "img", 1), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCache(t, Options{FileRoots: []string{root}})
	laid := mustGet(t, c, Image{URL: "file://" + root + "/img-1.tar.gz"})
	if laid.Name != "img" || laid.Version != "1" {
		t.Errorf("Get() = %+v", laid)
	}
}
