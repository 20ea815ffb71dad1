package engine

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
)

func TestRoomOnTheEnginesDiskIsAskedBefore(t *testing.T) {
	t.Parallel()
	for _, remote := range []bool{false, true} {
		b := newBench(t, func(o *Options) { o.Remote = remote })
		r := newRegistry(t, b.engine)
		i := image("agent", "1", "one")
		r.add(t, "pulled", "1", image("pulled", "1", "two"))
		loaded, pulled := b.archive("agent-1.tar", i, i.Archive(t)), images.Image{Name: r.host + "/pulled", Version: "1"}
		var asked string
		b.free = func(dir string) (int64, error) { asked = dir; return minFree - 1, nil }
		if remote {
			b.ensure(loaded)
			b.ensure(pulled)
			if asked != "" {
				t.Errorf("room in %s was asked for, of an engine that is elsewhere", asked)
			}
			continue
		}
		for _, label := range []images.Image{loaded, pulled} {
			b.fails("the engine's disk has no room for it", label)
		}
		if filepath.Base(asked) != "data" || r.manifests() != 0 || strings.Contains(b.log.String(), "image is loaded") {
			t.Errorf("room was asked for in %q, and something was begun: %s", asked, b.log)
		}
		b.free = func(string) (int64, error) { return minFree + 64<<20, nil }
		b.ensure(loaded)
		b.ensure(pulled)
	}
}
