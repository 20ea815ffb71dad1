package volume

import (
	"context"
	"os"
)

// removeTree: nothing is ever mounted below a folder here.
func removeTree(_ context.Context, path string) error { return os.RemoveAll(path) }
