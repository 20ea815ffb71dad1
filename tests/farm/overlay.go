package farm

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// buildOverlaid compiles the node as if the files of these paths, there or not,
// had other contents. scratch is a folder for what the compiler reads in their
// place.
func buildOverlaid(ctx context.Context, binary, scratch string, contents map[string]string) error {
	list, err := overlay(scratch, contents)
	if err != nil {
		return err
	}
	return fish.BuildWith(ctx, binary, "-overlay", list)
}

// overlay writes what `go build -overlay` reads into the folder scratch.
func overlay(scratch string, contents map[string]string) (list string, err error) {
	replaced := map[string]string{}
	for path, content := range contents {
		instead := filepath.Join(scratch, fmt.Sprintf("%d-%s", len(replaced), filepath.Base(path)))
		if err := os.WriteFile(instead, []byte(content), 0o600); err != nil {
			return "", err
		}
		replaced[path] = instead
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": replaced})
	if err != nil {
		return "", err
	}
	list = filepath.Join(scratch, "overlay.json")
	return list, os.WriteFile(list, text, 0o600)
}
