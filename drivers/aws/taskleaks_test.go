package aws

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TestLeakOfAnImageTask: a copy that failed left what it was made of, and was
// called a success. Here one that fails, at once or hours later, fails the task, and
// neither the copy nor what it was made of is left.
func TestLeakOfAnImageTask(t *testing.T) {
	t.Parallel()
	const withKey = `, "task_image_encrypt_key": "alias/images"`
	denied := cloud.NewError("UnauthorizedOperation", "You are not authorized")
	for _, tt := range []struct {
		name, label string
		prepare     func(b *taskBed)
		want        string
	}{
		{"copy refused", withKey, func(b *taskBed) { b.cloud.Inject(fakeec2.Fault{Action: "CopyImage", Err: denied}) }, "not authorized"},
		{"image refused", "", func(b *taskBed) { b.cloud.Inject(fakeec2.Fault{Action: "CreateImage", Err: denied}) }, "not authorized"},
		{"image fails", "", func(b *taskBed) { b.cloud.FailNextImage("the disk is broken") }, "the disk is broken"},
		{"copy fails", withKey, func(b *taskBed) {
			b.meet(func(c fakeec2.Call) error {
				if c.Action == "CopyImage" && !c.After {
					b.cloud.FailNextImage("the key may not be used")
				}
				return nil
			})
		}, "the key may not be used"},
		{"no such key", `, "task_image_encrypt_key": "alias/none"`, func(*taskBed) {}, "task_image_encrypt_key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inTaskBubble(t, tt.label, func(t *testing.T, b *taskBed) {
				tt.prepare(b)
				for range 2 { // the second time it is known
					wantFailure(t, b.do(t, "image", model.StatusAllocated, `{}`), tt.want)
				}
				b.wantKept(t)
				b.wantGone(t)
			})
		})
	}
}

// TestLeakOfASnapshotTask: of a machine that had not stopped, or not to its end,
// a snapshot was kept, and paid for, that is of no use. Here that fails the task.
func TestLeakOfASnapshotTask(t *testing.T) {
	t.Parallel()
	hang := func(b *taskBed) {
		b.cloud.Inject(fakeec2.Fault{Action: "StopInstances", Times: -1, Err: cloud.NewError("InternalError", "again later")})
	}
	for _, tt := range []struct {
		name, task, options string
		prepare             func(b *taskBed)
		want                []string
		least, most         time.Duration
	}{
		{"does not stop", "snapshot", `{}`, hang, []string{"did not stop within 30m", "force"}, 30 * time.Minute, 32 * time.Minute},
		{"does not stop for an image", "image", `{}`, hang, []string{"did not stop within 30m", "force"}, 30 * time.Minute, 32 * time.Minute},
		{"does not stop by force", "snapshot", `{"force": true}`, hang, []string{"not even when"}, time.Hour, 62 * time.Minute},
		{"may not be stopped", "snapshot", `{}`, func(b *taskBed) {
			b.cloud.Inject(fakeec2.Fault{Action: "StopInstances", Err: cloud.NewError("UnsupportedOperation", "You can't stop it")})
		}, []string{"You can't stop it"}, 0, time.Minute},
		{"fails", "snapshot", `{"full": true}`, func(b *taskBed) { b.cloud.FailNextSnapshot("the key is gone") }, []string{"the key is gone"}, 0, time.Hour},
		{"refused", "snapshot", `{}`, func(b *taskBed) {
			b.cloud.Inject(fakeec2.Fault{Action: "CreateSnapshots", Err: cloud.NewError("SnapshotLimitExceeded", "too many snapshots")})
		}, []string{"too many snapshots"}, 0, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inTaskBubble(t, "", func(t *testing.T, b *taskBed) {
				tt.prepare(b)
				began := time.Now()
				wantFailure(t, b.do(t, tt.task, model.StatusDeallocate, tt.options), tt.want...)
				if took := time.Since(began); took < tt.least || took > tt.most {
					t.Errorf("it took %v, want %v to %v", took, tt.least, tt.most)
				}
				b.wantKept(t)
			})
		})
	}
}

// TestLeakOfAKeyPair: each machine got a key pair that most ends left behind.
// Here nothing can make one: the driver knows no such call, and may not make it.
func TestLeakOfAKeyPair(t *testing.T) {
	t.Parallel()
	for method := range reflect.TypeFor[cloud.API]().Methods() {
		if strings.Contains(method.Name, "Key") && method.Name != "Key" { // which looks one of KMS up
			t.Errorf("the driver can ask for %s: see to it that what it makes goes, and test that", method.Name)
		}
	}
	for action := range readPolicy(t, "aws-policy.json").Actions() {
		if strings.Contains(action, "KeyPair") {
			t.Errorf("the driver may do %s", action)
		}
	}
}

// TestLeakOfARemovalThatFails: an image that EC2 did not remove was called
// removed. Here what a failed task leaves, as it may not be removed at that time,
// goes with its lease.
func TestLeakOfARemovalThatFails(t *testing.T) {
	t.Parallel()
	for action, task := range map[string]string{"DeregisterImage": "image", "DeleteSnapshot": "snapshot"} {
		t.Run(task, func(t *testing.T) {
			inTaskBubble(t, "", func(t *testing.T, b *taskBed) {
				b.cloud.FailNextImage("broken")
				b.cloud.FailNextSnapshot("broken")
				heal := b.cloud.Inject(fakeec2.Fault{Action: action, Times: -1, Err: cloud.NewError("UnauthorizedOperation", "not allowed")})
				wantFailure(t, b.do(t, task, model.StatusAllocated, `{}`), "broken")
				if len(b.kept()[cloud.PurposeStep]) == 0 {
					t.Fatal("nothing is left, and there is nothing to try")
				}
				heal()
				b.d.sweeper = b.d.startSweeper(t.Context(), sweepPeriod)
				time.Sleep(defaultCreateWait + stopWait + leaseAfter - 10*time.Minute)
				if len(b.kept()[cloud.PurposeStep]) == 0 {
					t.Error("a step is swept before its lease is over")
				}
				time.Sleep(time.Hour)
				b.wantKept(t)
			})
		})
	}
}
