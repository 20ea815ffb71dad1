package aws

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// TestWatchHearsOfOthersLooks: an end is told when any list shows it, however
// rarely the watcher itself looks.
func TestWatchHearsOfOthersLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.cfg = "watch_period: 1h"
		d, _ := s.openWithRoom(t)
		req := request("a", plain())
		env, err := d.Allocate(within(t, time.Minute), req)
		if err != nil {
			t.Fatal(err)
		}
		type answer struct {
			ending string
			at     time.Time
		}
		told := make(chan answer, 1)
		ctx := within(t, 3*time.Hour)
		go func() {
			ending, _ := d.Watch(ctx, refTo(req, env.Identifier))
			told <- answer{ending, time.Now()}
		}()
		time.Sleep(90 * time.Minute)
		s.cloud.ShutDown(env.Identifier)
		ended := time.Now()
		a := <-told
		if a.ending != "the machine shut itself down" || a.at.Sub(ended) > time.Minute {
			t.Errorf("told %q after %v, want how it ended, with the next list", a.ending, a.at.Sub(ended))
		}
	})
}

// TestManyWatchersShareOneLook: they cost what one costs, and none is
// told of another's end.
func TestManyWatchersShareOneLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		d, _ := s.openWithRoom(t)
		const many = 20
		ids := make([]string, many)
		for i := range many {
			req := request("a", plain())
			req.Token = fmt.Sprintf("%032x", i)
			env, err := d.Allocate(within(t, 10*time.Minute), req)
			if err != nil {
				t.Fatal(err)
			}
			ids[i] = env.Identifier
		}
		ctx := within(t, 20*time.Minute)
		var wg sync.WaitGroup
		ended := make([]string, many)
		for i := range many {
			wg.Go(func() {
				ref := refTo(request("a", plain()), ids[i])
				ref.Token = fmt.Sprintf("%032x", i)
				ended[i], _ = d.Watch(ctx, ref)
			})
		}
		time.Sleep(time.Minute)
		before := s.cloud.Counts()["DescribeInstances"]
		time.Sleep(10 * time.Minute)
		if n := s.cloud.Counts()["DescribeInstances"] - before; n > 10*60/5+20 {
			t.Errorf("%d watchers cost %d requests in 10 minutes", many, n)
		}
		if err := s.cloud.TerminateInstances(t.Context(), ids[:1]); err != nil {
			t.Fatal(err)
		}
		s.awaitState(t, ids[0], cloud.Terminated)
		wg.Wait()
		for i, ending := range ended {
			if (ending != "") != (i == 0) || i == 0 && !strings.Contains(ending, "terminated through AWS") {
				t.Errorf("watcher %d was told %q", i, ending)
			}
		}
	})
}
