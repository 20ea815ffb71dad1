package volume

import (
	"context"
	"errors"
	"fmt"
)

// Remove removes whatever is at a path, with all below it. It never follows a
// link, and never goes into what is mounted there: that is an error, before
// anything is removed where it is seen in time. Folders that their owner made
// read-only are no hindrance, nor is a tree deeper than any number of open
// files. Nothing may write there meanwhile. What is not there is removed.
func Remove(ctx context.Context, path string) error {
	there, err := exists(path)
	if err != nil || !there {
		return err
	}
	mounted, err := MountsBelow(path)
	if err != nil {
		return err
	}
	if len(mounted) > 0 {
		return fmt.Errorf("remove %s: %w at %s", path, errMounted, mounted[0])
	}
	return removeTree(ctx, path)
}

// errMounted: what is mounted may be a disk that others keep.
var errMounted = errors.New("something is mounted")
