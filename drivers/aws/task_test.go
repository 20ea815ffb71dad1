package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const someTask = "bbbbbbbb-2222-4333-8444-555555555555"

func taskOf(req drivers.Request, id, name string, when model.Status, options string) drivers.TaskRequest {
	return drivers.TaskRequest{UID: uuid.MustParse(someTask), Task: name, When: when, Options: json.RawMessage(options), Ref: refTo(req, id)}
}

// withDisk is a definition with a disk beside the root.
func withDisk(options string) model.LabelDefinition {
	def := definition(`{"image": "ci-linux-*", "instance_type": "m5.large", "tags": {"Team": "ci"}` + options + `}`)
	def.Resources.Disks = map[string]model.Disk{"/dev/sdf": {Size: 5}}
	return def
}

// inTaskBubble is on an account with the times of AWS, with one environment.
func inTaskBubble(t *testing.T, options string, test func(t *testing.T, b *taskBed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &taskBed{site: newSiteOf(t, fakeec2.Options{Seed: 3, Unthrottled: true})}
		time.Sleep(10 * time.Minute)
		b.key = b.cloud.AddKey("alias/images")
		b.hookOf(func(_ context.Context, c fakeec2.Call) error {
			if meet := b.met.Load(); meet != nil {
				return (*meet)(c)
			}
			return nil
		})
		b.d = b.start(t)
		b.req = request("a", withDisk(options))
		b.env = allocate(t, b.d, b.req)
		b.site.awaitState(t, b.env.Identifier, cloud.Running)
		time.Sleep(cloud.Settled) // the folder is new no more
		test(t, b)
	})
}

type taskBed struct {
	*site
	d   *driver
	req drivers.Request
	env drivers.Environment
	key string
	met atomic.Pointer[func(c fakeec2.Call) error]
}

// meet has a function see each call from now on; nil: none.
func (b *taskBed) meet(see func(c fakeec2.Call) error) {
	if see == nil {
		b.met.Store(nil)
		return
	}
	b.met.Store(&see)
}

// do runs a task to its end.
func (b *taskBed) do(t testing.TB, name string, when model.Status, options string) string {
	t.Helper()
	result, err := b.d.RunTask(within(t, 12*time.Hour), taskOf(b.req, b.env.Identifier, name, when, options))
	if err != nil {
		t.Fatalf("RunTask(%s) = %v", name, err)
	}
	return string(result)
}

func read[T any](t testing.TB, text string) (result T) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&result); err != nil {
		t.Fatalf("result %s: %v", text, err)
	}
	return result
}

// kept are the images and snapshots that are paid for, by what they are for.
func (s *site) kept() map[string][]string {
	all := map[string][]string{}
	for _, b := range s.cloud.Billable() {
		if b.Kind == "image" || b.Kind == "snapshot" {
			all[b.Tags[cloud.TagPurpose]] = append(all[b.Tags[cloud.TagPurpose]], b.ID)
		}
	}
	for _, ids := range all {
		slices.Sort(ids)
	}
	return all
}

// wantKept: results are there, and nothing else.
func (s *site) wantKept(t testing.TB, ids ...string) {
	t.Helper()
	want := map[string][]string{}
	if len(ids) > 0 {
		slices.Sort(ids)
		want[cloud.PurposeTask] = ids
	}
	if diff := cmp.Diff(want, s.kept()); diff != "" {
		t.Errorf("images and snapshots (-want +got):\n%s", diff)
	}
}

// TestSnapshotTask: disks beside the root, or all, at one moment; the machine of
// an application that goes on is not stopped.
func TestSnapshotTask(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		options string
		want    int
	}{{`{}`, 1}, {`{"full": true}`, 2}} {
		inTaskBubble(t, "", func(t *testing.T, b *taskBed) {
			got := read[snapshotResult](t, b.do(t, "snapshot", model.StatusAllocated, tt.options))
			if len(got.Snapshots) != tt.want || got.When != model.StatusAllocated {
				t.Errorf("result %v, want %d snapshots", got, tt.want)
			}
			for _, id := range got.Snapshots {
				s, _ := b.cloud.Snapshot(id)
				if s.State != cloud.SnapshotCompleted || s.Tags["Team"] != "ci" || s.Tags[cloud.TagTask] != someTask || s.Tags[cloud.TagNode] != node.String() {
					t.Errorf("snapshot %+v", s)
				}
			}
			b.wantKept(t, got.Snapshots...)
			if inst := b.machine(t, b.env.Identifier); inst.State != cloud.Running {
				t.Errorf("machine is %s, want it running", inst.State)
			}
			again := read[snapshotResult](t, b.do(t, "snapshot", model.StatusAllocated, tt.options))
			if !slices.Equal(again.Snapshots, got.Snapshots) {
				t.Errorf("the second time %v, want %v", again, got)
			}
			b.wantKept(t, got.Snapshots...)
		})
	}
}

// TestImageTask: of the root or of all disks, with and without a key, under the
// label's name.
func TestImageTask(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, label, options string
		disks                int
		prefix               string
		encrypted            bool
	}{
		{"root", `, "task_image_name": "ci built"`, `{}`, 1, "ci built-", false},
		{"full", ``, `{"full": true}`, 2, "aquarium-image-", false},
		{"with a key", `, "task_image_name": "cis", "task_image_encrypt_key": "alias/images"`, `{"full": true}`, 2, "cis-", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inTaskBubble(t, tt.label, func(t *testing.T, b *taskBed) {
				text := b.do(t, "image", model.StatusDeallocate, tt.options)
				got := read[imageResult](t, text)
				i, found := b.cloud.Image(got.Image.ID)
				if !found || i.State != cloud.ImageAvailable || i.Name != got.Image.Name || !strings.HasPrefix(i.Name, tt.prefix) || len(got.Snapshots) != tt.disks {
					t.Errorf("result %s, image %+v", text, i)
				}
				for _, disk := range i.Disks {
					if tt.encrypted && !disk.Encrypted {
						t.Errorf("disk %+v is not encrypted", disk)
					}
				}
				b.wantKept(t, append(got.Snapshots, got.Image.ID)...)
				if inst := b.machine(t, b.env.Identifier); inst.State != cloud.Stopped {
					t.Errorf("machine is %s, want it stopped", inst.State)
				}
				if report, err := b.d.Inspect(within(t, time.Hour), refTo(b.req, b.env.Identifier)); err != nil || report.Presence != drivers.Running {
					t.Errorf("Inspect() = %v, %v, want it running: a task stopped it", report, err)
				}
				if again := b.do(t, "image", model.StatusDeallocate, tt.options); again != text {
					t.Errorf("the second time %s, want %s", again, text)
				}
				b.wantGone(t)
				b.wantKept(t, append(got.Snapshots, got.Image.ID)...)
			})
		})
	}
}

// wantGone removes the environment, which takes no result with it.
func (b *taskBed) wantGone(t testing.TB) {
	t.Helper()
	if err := b.d.Deallocate(within(t, time.Hour), refTo(b.req, b.env.Identifier)); err != nil {
		t.Errorf("Deallocate() = %v", err)
	}
	time.Sleep(2 * time.Minute)
	for _, one := range b.billable() {
		if one.Tags[cloud.TagPurpose] != cloud.PurposeTask {
			t.Errorf("%s %s is left: %v", one.Kind, one.ID, one.Tags)
		}
	}
}

func wantFailure(t testing.TB, text string, want ...string) {
	t.Helper()
	got := read[struct{ Error string }](t, text)
	for _, w := range want {
		if !strings.Contains(got.Error, w) {
			t.Errorf("result %s, want an error with %q", text, w)
		}
	}
	if got.Error == "" {
		t.Errorf("result %s, want an error", text)
	}
}

// TestForce: what does not stop in order is stopped by force, or taken while it runs.
func TestForce(t *testing.T) {
	t.Parallel()
	t.Run("power is cut", func(t *testing.T) {
		inTaskBubble(t, "", func(t *testing.T, b *taskBed) {
			b.meet(func(c fakeec2.Call) error {
				if !c.After && c.Action == "StopInstances" && !strings.Contains(b.log.String(), "has its power cut") {
					return cloud.NewError("RequestLimitExceeded", "later")
				}
				return nil
			})
			got := read[snapshotResult](t, b.do(t, "snapshot", model.StatusDeallocate, `{"force": true}`))
			b.wantKept(t, got.Snapshots...)
			if inst := b.machine(t, b.env.Identifier); inst.State != cloud.Stopped {
				t.Errorf("machine is %s", inst.State)
			}
		})
	})
	t.Run("spot", func(t *testing.T) {
		inTaskBubble(t, `, "spot": true`, func(t *testing.T, b *taskBed) {
			got := read[snapshotResult](t, b.do(t, "snapshot", model.StatusDeallocate, `{"force": true}`))
			b.wantKept(t, got.Snapshots...)
		})
	})
	t.Run("not wanted", func(t *testing.T) {
		inTaskBubble(t, "", func(t *testing.T, b *taskBed) {
			b.do(t, "snapshot", model.StatusDeallocate, `{"stop": false}`)
			if inst := b.machine(t, b.env.Identifier); inst.State != cloud.Running {
				t.Errorf("machine is %s", inst.State)
			}
		})
	})
}

// TestTaskInTime: a task that takes too long is given up, also where the node
// restarts in between.
func TestTaskInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		timing := fakeec2.QuickTiming()
		timing.Snapshot = fakeec2.Fixed(9 * time.Hour)
		b := &taskBed{site: newSiteOf(t, fakeec2.Options{Timing: timing})}
		b.cfg = "snapshot_create_wait: 1h\n"
		time.Sleep(10 * time.Minute)
		b.d = b.open(t, "aws", node)
		b.req = request("a", withDisk(""))
		b.env = allocate(t, b.d, b.req)
		began := time.Now()
		task := taskOf(b.req, b.env.Identifier, "snapshot", model.StatusAllocated, `{}`)
		for n := 0; ; n++ {
			result, err := b.d.RunTask(within(t, 13*time.Minute), task)
			if err == nil {
				wantFailure(t, string(result), "wait for snapshots", "pending")
				break
			}
			if !errors.Is(err, context.DeadlineExceeded) || n > 10 {
				t.Fatalf("RunTask() = %v at try %d", err, n)
			}
			_ = b.d.Close()
			b.d = b.open(t, "aws", node)
		}
		_ = b.d.Close()
		if took := time.Since(began); took < 90*time.Minute || took > 95*time.Minute {
			t.Errorf("it took %v, want 1h30m", took)
		}
		b.wantKept(t)
	})
}

// TestStepsAreNoImages: a label finds the results of tasks by their tags, and
// nothing that is on the way to one, which goes soon.
func TestStepsAreNoImages(t *testing.T) {
	t.Parallel()
	inTaskBubble(t, `, "task_image_encrypt_key": "alias/images"`, func(t *testing.T, b *taskBed) {
		find := func() (image, snapshot string) {
			i, _ := (&resolver{api: b.d.api, owners: b.d.resolver.owners}).image(t.Context(), named{key: "Team", value: "ci"})
			s, _ := (&resolver{api: b.d.api, owners: b.d.resolver.owners}).snapshot(t.Context(), named{key: "Team", value: "ci"})
			return i.ID, s.ID
		}
		b.meet(func(c fakeec2.Call) error {
			if c.Action != "CreateTags" || c.After { // all is made, and nothing is a result yet
				return nil
			}
			b.meet(nil)
			if i, s := find(); i != "" || s != "" {
				t.Errorf("found %q and %q before there is a result", i, s)
			}
			return nil
		})
		got := read[imageResult](t, b.do(t, "image", model.StatusAllocated, `{}`))
		if i, s := find(); i != got.Image.ID || s != got.Snapshots[0] {
			t.Errorf("found %q and %q, want %v", i, s, got)
		}
	})
}

// TestTaskOfNoMachine: what ended can not be taken, now or later: the node does
// not try for an hour, while it holds what the machine had.
func TestTaskOfNoMachine(t *testing.T) {
	t.Parallel()
	for _, begun := range []bool{false, true} {
		inTaskBubble(t, "", func(t *testing.T, b *taskBed) {
			task := taskOf(b.req, b.env.Identifier, "image", model.StatusDeallocate, `{}`)
			if begun { // and stopped by its context before the machine is stopped
				if result, err := b.d.RunTask(within(t, 3*time.Second), task); err == nil {
					t.Fatalf("RunTask() = %s, want it cut short", result)
				}
			}
			b.cloud.End(b.env.Identifier, "Server.InternalError", "the hardware failed")
			time.Sleep(2 * time.Minute)
			began := time.Now()
			wantFailure(t, b.do(t, "image", model.StatusDeallocate, `{}`), "the machine ended")
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it took %v", took)
			}
			b.wantKept(t)
		})
	}
}

// TestWrongTasks: what is no task of the driver says so at once.
func TestWrongTasks(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *site) {
		d := s.start(t)
		req := request("a", plain())
		env := allocate(t, d, req)
		for _, tt := range []struct{ task, options string }{
			{"backup", `{}`}, {"", `{}`}, {"image", `[]`}, {"image", `null`}, {"snapshot", `{"full": "yes"}`}, {"snapshot", `{`},
		} {
			if result, err := d.RunTask(t.Context(), taskOf(req, env.Identifier, tt.task, model.StatusAllocated, tt.options)); !errors.Is(err, drivers.ErrTaskUnknown) {
				t.Errorf("RunTask(%s, %s) = %s, %v, want ErrTaskUnknown", tt.task, tt.options, result, err)
			}
		}
		result, err := d.RunTask(t.Context(), taskOf(req, env.Identifier, "snapshot", model.StatusAllocated, `{}`))
		if err != nil {
			t.Fatal(err)
		}
		wantFailure(t, string(result), "no disk beside its root", "full")
		absent := taskOf(request("f", plain()), "", "snapshot", model.StatusAllocated, `{}`)
		if _, err := d.RunTask(within(t, time.Hour), absent); !errors.Is(err, errNotRunning) {
			t.Errorf("RunTask() of nothing = %v", err)
		}
	})
}

// TestTaskOnMac: a Mac is not stopped for a task, as that costs hours of its
// host, unless it is asked for.
func TestTaskOnMac(t *testing.T) {
	t.Parallel()
	for _, asked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			s.cloud.SetQuota("L-5D8DADF5", 2)
			time.Sleep(10 * time.Minute)
			host := s.cloud.AddHost(fakeec2.HostSpec{Type: "mac2.metal", Zone: "eu-central-1a"})
			s.hosts = &fakeHosts{kind: "mac2.metal", zone: "eu-central-1a", ids: []string{host}}
			d := s.start(t)
			req := request("a", definition(`{"image": "ci-mac-*", "pool": "mac"}`))
			env := allocate(t, d, req)
			options := fmt.Sprintf(`{"full": true, "stop": %v}`, asked)
			if !asked {
				options = `{"full": true}`
			}
			result, err := d.RunTask(within(t, 3*time.Hour), taskOf(req, env.Identifier, "snapshot", model.StatusDeallocate, options))
			if err != nil || strings.Contains(string(result), "error") {
				t.Fatalf("RunTask() = %s, %v", result, err)
			}
			if state := s.machine(t, env.Identifier).State; (state == cloud.Stopped) != asked {
				t.Errorf("asked %v: the machine is %s", asked, state)
			}
		})
	}
}
