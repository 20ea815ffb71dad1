package engine

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/moby/moby/client"
)

// roomFor fails if bytes more on the engine's disk would leave less than minFree
// there. Where the engine's disk is not this machine's nobody can tell.
func (i *Images) roomFor(ctx context.Context, bytes int64) error {
	dir := i.engineFolder(ctx)
	if dir == "" {
		return nil
	}
	free, err := i.free(dir)
	if err != nil {
		i.log.Debug("room on the engine's disk is not known", "error", err)
		return nil
	}
	if lack := bytes + minFree - free; lack > 0 {
		return fmt.Errorf("the engine's disk has no room for it: %d MB are free in %s, it takes at least %d MB, and 1 GB has to stay free: "+
			"remove images, containers or volumes there, or set images_max_size", free>>20, dir, bytes>>20)
	}
	return nil
}

// engineFolder is where the engine keeps images; empty if that is not known to be
// on this machine. It is asked each time: another engine may have taken its place.
func (i *Images) engineFolder(ctx context.Context) string {
	if i.opts.Remote || !strings.HasPrefix(i.cli.DaemonHost(), "unix://") {
		return ""
	}
	ctx, cancel := i.call(ctx)
	defer cancel()
	answer, err := i.cli.Info(ctx, client.InfoOptions{})
	if err != nil || answer.Info.DockerRootDir == "" {
		return "" // the load or pull itself says what is wrong with the engine
	}
	if info, err := os.Stat(answer.Info.DockerRootDir); err != nil || !info.IsDir() {
		return "" // in a virtual machine, or not ours to see
	}
	return answer.Info.DockerRootDir
}
