package images

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// One image that can not be removed keeps none of the others.
func TestEvictionBesideWhatStays(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, c *Cache){
		"whose uses can not be read": func(t *testing.T, c *Cache) {
			if err := os.RemoveAll(c.uses("a-1")); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(c.uses("a-1"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"that can not be moved": func(t *testing.T, c *Cache) {
			needs.Root(t, "to mount a folder")
			place := filepath.Join(c.opts.Path, "a-1")
			if err := unix.Mount(place, place, "", unix.MS_BIND, ""); err != nil {
				needs.Lacking(t, "can not mount a folder here:", err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(place, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, image := shelf(t)
			c := newCache(t, Options{})
			for i, name := range []string{"a", "b", "c"} {
				mustGet(t, c, image(name))
				age(t, c, name+"-1", time.Duration(10-i)*time.Hour, 0)
			}
			spoil(t, c)
			if lack, err := c.evict(deadline(t), func(int64) int64 { return 1 }, false); lack > 0 || err != nil {
				t.Errorf("evict = %d, %v, want that the next one went", lack, err)
			}
			if got := ids(t, c); got != "a-1 c-1" {
				t.Errorf("kept are %q, want the one that stays and the youngest", got)
			}
		})
	}
}
