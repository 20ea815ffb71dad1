package aws

import (
	"maps"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/pool"
)

// advise tells who configured the instance what of that is not what it looks
// like. taskTimeout is the node's bound of the tasks of a release; 0: not known.
func (d *driver) advise(taskTimeout time.Duration) {
	if d.settings.DefaultLifetime < 0 {
		d.log.Warn("environments whose label sets no lifetime live, and cost, until they are deallocated; set default_lifetime to bound it")
	}
	types := d.member.Snapshot().Types
	for _, name := range slices.Sorted(maps.Keys(d.settings.DedicatedPool)) {
		p := d.settings.DedicatedPool[name]
		if p.ReleaseDelay != nil && *p.ReleaseDelay < pool.MacMinAge && types[p.Type].Mac() {
			d.log.Warn("AWS takes no Mac host back before it is a day old: release_delay is raised", "pool", name,
				"release_delay", *p.ReleaseDelay, "used", pool.MacMinAge)
		}
	}
	if taskTimeout <= 0 {
		return
	}
	for _, wait := range []struct {
		key  string
		time time.Duration
	}{{"snapshot_create_wait", d.settings.SnapshotCreateWait}, {"image_create_wait", d.settings.ImageCreateWait}} {
		// The default of the waits is a bound, and no wish: who has no such tasks
		// needs no word of it, and the task's error names task_timeout.
		if needs := stopWait + wait.time; wait.time != defaultCreateWait && needs > taskTimeout {
			d.log.Warn("a release ends its machine at the node's task_timeout, before such a task may be done: raise task_timeout, or lower the wait",
				"key", wait.key, "wait", wait.time, "stop", stopWait, "needs", needs, "task_timeout", taskTimeout)
		}
	}
}
