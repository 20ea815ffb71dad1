package vmx

import (
	"context"
	"math"
	"path/filepath"

	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
)

// keptDisks are the reused disks that are made, by the names of their folders,
// and what they take.
func keptDisks(ctx context.Context, shelf volume.Shelf) (volume.Kept, error) {
	made, err := filepath.Glob(filepath.Join(shelf.Path(), "*", diskFolder))
	kept := volume.Kept{}
	for _, folder := range made {
		kept[filepath.Base(filepath.Dir(folder))] = volume.Used(ctx, folder, math.MaxInt64)
	}
	return kept, err
}
