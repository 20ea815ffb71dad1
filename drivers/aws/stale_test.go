package aws

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestStaleQuotasAreTold: quotas that can not be asked for any more go on to
// count as they were, and both who wonders why there is no room and who looks at
// the account hear how old they are.
func TestStaleQuotasAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.withMacs("")
		s.cloud.SetQuota(macQuota, 0)
		s.cloud.SetQuota("L-1216C47A", 0)
		d, _ := s.openWithRoom(t)
		_, _ = d.Capacity(plain())
		time.Sleep(10 * time.Minute)
		if a := command[view.Account](t, d, view.Status, `{}`); len(a.Aging) > 0 {
			t.Errorf("old from the start: %+v", a.Aging)
		}
		const reason = "quota L-1216C47A: 0 of 0 vCPUs are used"
		if _, err := d.Capacity(plain()); err == nil || err.Error() != reason {
			t.Errorf("Capacity = %v, want %s", err, reason)
		}
		began := time.Now()
		heal := s.cloud.Inject(fakeec2.Fault{Action: "ListServiceQuotas", Times: -1, Err: cloud.NewError("AccessDenied", "not allowed to list quotas")})
		time.Sleep(5 * time.Hour)
		wantRoom(t, d, plain(), 0, reason+" (with the quotas of ")
		a := command[view.Account](t, d, view.Status, `{}`)
		if len(a.Aging) != 1 || a.Aging[0].Of != "quotas" || a.Aging[0].Asked.After(began) || !strings.Contains(a.Aging[0].Error, "not allowed to list quotas") {
			t.Errorf("what is old is %+v, want the quotas since %v", a.Aging, began)
		}
		heal()
		s.cloud.SetQuota("L-1216C47A", 1000)
		time.Sleep(2 * time.Hour)
		if a := command[view.Account](t, d, view.Status, `{}`); len(a.Aging) > 0 {
			t.Errorf("old after AWS answered: %+v", a.Aging)
		}
		wantRoom(t, d, plain(), 500, "")
	})
}

// TestCapacityIsQuick measures in real time what an election waits for, of a
// label on demand and of one on a pool's host: with an API that never answers, while
// launches and requests for hosts come and go.
func TestCapacityIsQuick(t *testing.T) {
	s := newSite(t)
	s.withMacs("")
	d := s.start(t)
	labels := []model.LabelDefinition{plain(), onMac(), onMacIn("eu-central-1b")}
	eventually(t, time.Minute, "there is room for all", func() bool {
		return !slices.ContainsFunc(labels, func(l model.LabelDefinition) bool { n, err := d.Capacity(l); return n < 1 || err != nil })
	})
	t.Cleanup(s.cloud.Inject(fakeec2.Fault{Times: -1, Hang: true}))
	stop := make(chan struct{})
	var busy sync.WaitGroup
	again := func(what func()) {
		busy.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					what()
				}
			}
		})
	}
	again(func() {
		if err := d.member.Reserve(account.Need{Token: token("f"), Type: "m5.large"}); err != nil {
			t.Error(err)
		}
		d.member.Release(token("f"))
	})
	again(func() {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		_, _, _ = d.hosts.Reserve(ctx, "mac", token("e"), nil)
		d.hosts.Released(t.Context(), "mac", token("e"))
	})
	took := make([]time.Duration, 0, 9000)
	for i := range cap(took) {
		began := time.Now()
		_, _ = d.Capacity(labels[i%len(labels)])
		took = append(took, time.Since(began))
	}
	close(stop)
	busy.Wait()
	slices.Sort(took)
	p99, most := took[len(took)*99/100], 5*time.Millisecond
	t.Logf("p50 %v, p99 %v, max %v", took[len(took)/2], p99, took[len(took)-1])
	if testing.Short() { // with the race detector all is many times slower
		most *= 20
	}
	if p99 >= most {
		t.Errorf("p99 of Capacity is %v, want under %v", p99, most)
	}
}
