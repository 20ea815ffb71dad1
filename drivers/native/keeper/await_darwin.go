package keeper

import "context"

// awaitKeeper blocks until no keeper of the folder lives. It looks once a
// second: macOS does not wake those who wait for the end of a FIFO
// (https://go.dev/issue/24164).
func awaitKeeper(ctx context.Context, folder string) error {
	for {
		_, held, err := lockHolder(folder)
		if err != nil || !held {
			return err
		}
		if err := pause(ctx, lookPause); err != nil {
			return err
		}
	}
}
