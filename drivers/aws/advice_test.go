package aws

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// TestAdvice: what is configured and is not what it looks like is told at the start.
func TestAdvice(t *testing.T) {
	t.Parallel()
	pool := func(more string) string {
		return "dedicated_pool: {p: {type: " + more + ", zone: eu-central-1a, max: 1}}\n"
	}
	for _, test := range []struct {
		name, cfg string
		tasks     time.Duration
		says      string // empty: no warning
		not       string
	}{
		{name: "the defaults", tasks: time.Hour}, // as lib/config has it
		{name: "a Mac for an hour", cfg: pool("mac2.metal, release_delay: 1h"), says: "release_delay is raised\" pool=p release_delay=1h0m0s used=24h0m0s"},
		{name: "a Mac for two days", cfg: pool("mac2.metal, release_delay: 48h")},
		{name: "a Mac, and nothing said", cfg: pool("mac2.metal")},
		{name: "another host for an hour", cfg: pool("m5.metal, release_delay: 1h")},
		{name: "for ever", cfg: "default_lifetime: -1s\n", says: "set default_lifetime"},
		{name: "tasks that do not fit", tasks: 90 * time.Minute, cfg: "snapshot_create_wait: 1h\nimage_create_wait: 90m\n",
			says: "key=image_create_wait wait=1h30m0s stop=30m0s needs=2h0m0s task_timeout=1h30m0s", not: "key=snapshot_create_wait"},
		{name: "tasks that just fit", tasks: 90 * time.Minute, cfg: "snapshot_create_wait: 1h\nimage_create_wait: 1h\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.cfg = test.cfg
				cfg := s.config("aws", stranger)
				cfg.TaskTimeout = test.tasks
				o := &opener{accounts: s.accounts, dial: func(context.Context, cloud.Settings) (cloud.API, error) { return s.cloud, nil }}
				d, err := o.open(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				_ = d.Close()
				log := s.log.String()
				if n := strings.Count(log, "level=WARN"); (n > 0) != (test.says != "") || n > 1 || !strings.Contains(log, test.says) {
					t.Errorf("%d warnings, want %q", n, test.says)
				}
				if test.not != "" && strings.Contains(log, test.not) {
					t.Errorf("the log says %q", test.not)
				}
			})
		})
	}
}
