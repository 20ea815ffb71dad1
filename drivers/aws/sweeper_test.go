package aws

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

// TestSweeper: what has a lease that is over goes by itself, and nothing else:
// neither what another node or instance made, nor environments, nor results, nor what
// a task works on.
func TestSweeper(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		lease := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		tags := func(purpose string, more cloud.Tags) cloud.Tags {
			all := cloud.Tags{cloud.TagNode: node.String(), cloud.TagInstance: "aws", cloud.TagPurpose: purpose, cloud.TagLease: lease}
			for key, value := range more {
				all[key] = value
			}
			return all
		}
		machine := func(purpose string, more cloud.Tags) string {
			t.Helper()
			all := tags(purpose, more)
			images, _ := s.cloud.Images(t.Context(), []string{"self"}, cloud.Where("name", "ci-linux-*"))
			subnets, _ := s.cloud.Subnets(t.Context(), cloud.Query{})
			inst, err := s.cloud.RunInstance(t.Context(), cloud.Launch{
				ClientToken: fmt.Sprint(purpose, all[cloud.TagNode], all[cloud.TagInstance]), ImageID: images[0].ID, Type: "m5.large", SubnetID: subnets[0].ID, Tags: all,
				Disks: []cloud.Disk{{Device: images[0].RootDevice}},
			})
			if err != nil {
				t.Fatal(err)
			}
			return inst.ID
		}
		snapshot := func(purpose string, more cloud.Tags) string {
			return s.cloud.AddSnapshot(fakeec2.SnapshotSpec{SizeGB: 1, Tags: tags(purpose, more)})
		}
		left := map[string]string{
			machine(cloud.PurposeScrub, nil):                               "scrub",
			snapshot(cloud.PurposeStep, cloud.Tags{cloud.TagTask: "done"}): "step",
		}
		stays := map[string]string{
			machine(cloud.PurposeWork, nil):                                           "environment",
			machine(cloud.PurposeScrub, cloud.Tags{cloud.TagNode: stranger.String()}): "of another node",
			machine(cloud.PurposeScrub, cloud.Tags{cloud.TagInstance: "aws/other"}):   "of another instance",
			snapshot(cloud.PurposeTask, nil):                                          "result",
			snapshot(cloud.PurposeStep, cloud.Tags{cloud.TagTask: someTask}):          "of a task that is under way",
		}
		d := s.start(t)
		end := d.tasks.begin(someTask)
		d.sweeper = d.startSweeper(t.Context(), sweepPeriod)
		there := func(id string) bool {
			inst, isMachine := s.cloud.Instance(id)
			_, isSnapshot := s.cloud.Snapshot(id)
			return isMachine && !cloud.Gone(inst.State) || isSnapshot
		}
		check := func(when string, want map[string]string, is bool) {
			t.Helper()
			for id, what := range want {
				if got := there(id); got != is {
					t.Errorf("%s: %s %s is there: %v, want %v", when, what, id, got, is)
				}
			}
		}
		time.Sleep(time.Hour + sweepGrace - time.Minute)
		check("at the first sightings", left, true)
		s.cloud.Outage(time.Hour)
		time.Sleep(2 * time.Hour)
		check("in the end", left, false)
		check("in the end", stays, true)
		end()
		time.Sleep(sweepGrace + 2*sweepPeriod)
		for id, what := range stays {
			if what != "of a task that is under way" {
				continue
			}
			delete(stays, id)
			if there(id) {
				t.Errorf("a step nobody works on any more is left")
			}
		}
		check("after all", stays, true)
	})
}

// TestOldRecords: the records of tasks go when nobody asks for them any more.
func TestOldRecords(t *testing.T) {
	t.Parallel()
	inTaskBubble(t, "", func(t *testing.T, b *taskBed) {
		b.do(t, "snapshot", "ALLOCATED", `{}`)
		path := b.d.records().path(taskOf(b.req, "", "", "", "").UID)
		nobody := func(string) bool { return false }
		for _, tt := range []struct {
			after time.Duration
			busy  func(string) bool
			is    bool
		}{{recordKept, nobody, true}, {recordKept + 6*time.Hour, func(uid string) bool { return uid == someTask }, true}, {recordKept + 6*time.Hour, nobody, false}} {
			if err := b.d.records().old(time.Now().Add(tt.after), tt.busy); err != nil {
				t.Errorf("after %v: %v", tt.after, err)
			}
			if _, err := os.Stat(path); (err == nil) != tt.is {
				t.Errorf("after %v: the record is there: %v, want %v", tt.after, err == nil, tt.is)
			}
		}
	})
}

// TestRemovalEndsWithItsTime: what a round has no time for is left for the next one
// without a word for each.
func TestRemovalEndsWithItsTime(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		d := s.start(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		strays := []view.Stray{{Thing: view.Thing{Kind: view.Volume, ID: "vol-1"}}, {Thing: view.Thing{Kind: view.Volume, ID: "vol-2"}}}
		seen := sightings{"vol-1": time.Now(), "vol-2": time.Now()}
		(&sweeper{driver: d}).removeAll(ctx, strays, seen)
		if len(seen) != 2 {
			t.Errorf("%d of 2 are still to be removed", len(seen))
		}
		s.wantTold(t, "is not removed yet", 0)
	})
}
