package fakeec2_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

func TestALostReply(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		l := b.linux("one")
		b.Inject(fakeec2.Fault{Action: "Run*", Done: true})
		_, err := b.RunInstance(b.Context(), l)
		if !errors.Is(err, fakeec2.ErrLost) || cloud.Undone(err) {
			b.Fatalf("error %v, want a lost reply", err)
		}
		if left := b.Billable(); len(left) != 2 { // it and its disk
			b.Fatalf("%v costs", left)
		}
		journal := b.Journal()
		if last := journal[len(journal)-1]; !last.Lost || last.Token != "one" || len(last.IDs) != 1 {
			b.Errorf("the journal ends with %+v", last)
		}
		b.run(l) // the fault is over
		if left := b.Billable(); len(left) != 2 {
			b.Errorf("the token did not help: %v costs", left)
		}
	})
}

func TestARequestThatNeverArrives(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		l := b.linux("one")
		heal := b.Inject(fakeec2.Fault{Who: "cut off", Times: -1})
		_, err := b.As("cut off").RunInstance(b.Context(), l)
		if !errors.Is(err, fakeec2.ErrUnreachable) || len(b.Billable()) > 0 {
			b.Errorf("error %v, and %v costs", err, b.Billable())
		}
		b.run(l)
		heal()
		if _, err := b.As("cut off").RunInstance(b.Context(), l); err != nil {
			b.Error(err)
		}
		b.Outage(30 * time.Minute)
		if _, err := b.Identity(b.Context()); !errors.Is(err, fakeec2.ErrUnreachable) {
			b.Errorf("error %v in an outage", err)
		}
		time.Sleep(30 * time.Minute)
		if _, err := b.Identity(b.Context()); err != nil {
			b.Errorf("error %v after it", err)
		}
	})
}

func TestACallThatHangs(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		l := b.linux("one")
		b.Inject(fakeec2.Fault{Action: "RunInstances", Hang: true, Done: true})
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
		defer cancel()
		begun := time.Now()
		_, err := b.RunInstance(ctx, l)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 10*time.Second {
			b.Errorf("error %v after %v", err, time.Since(begun))
		}
		if len(b.Billable()) == 0 {
			b.Error("it was not done")
		}
		b.Inject(fakeec2.Fault{Action: "DescribeInstances", Hang: true})
		_, err = b.Instances(b.Context(), cloud.Query{})
		if !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("a call without a deadline: error %v, want one after a minute", err)
		}
	})
}

func TestLatencyTakesTheReplyToo(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		l := b.linux("one")
		b.SetLatency(fakeec2.Fixed(4 * time.Second))
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		if _, err := b.RunInstance(ctx, l); !errors.Is(err, context.DeadlineExceeded) || len(b.Billable()) > 0 {
			b.Errorf("given up on the way there: error %v, and %v costs", err, b.Billable())
		}
		cancel()
		ctx, cancel = context.WithTimeout(b.Context(), 3*time.Second)
		defer cancel()
		if _, err := b.RunInstance(ctx, l); !errors.Is(err, context.DeadlineExceeded) || len(b.Billable()) == 0 {
			b.Errorf("given up on the way back: error %v, and %v costs", err, b.Billable())
		}
	})
}

func TestListsLagBehind(t *testing.T) {
	inBubble(t, fakeec2.Options{Timing: fakeec2.QuickTiming()}, func(b bench) {
		l := b.linux("one")
		b.SetLag(fakeec2.Fixed(10 * time.Second))
		time.Sleep(time.Minute)
		i := b.run(l)
		shown := func(want int, state string) {
			b.Helper()
			found, err := b.Instances(b.Context(), cloud.Where("instance-id", i.ID))
			if err != nil || len(found) != want || want > 0 && found[0].State != state {
				b.Errorf("Instances = %+v, %v, want %d %s", found, err, want, state)
			}
		}
		shown(0, "")
		b.refused(b.TerminateInstances(b.Context(), []string{i.ID}), "InvalidInstanceID.NotFound")
		b.refused(b.CreateTags(b.Context(), []string{i.ID}, cloud.Tags{"a": "b"}), "InvalidInstanceID.NotFound")
		time.Sleep(10 * time.Second)
		shown(1, cloud.Running)
		b.terminate(i.ID)
		time.Sleep(5 * time.Second)
		shown(1, cloud.Running)
		time.Sleep(5 * time.Second)
		shown(1, cloud.Terminated)
		if volumes, _ := b.Volumes(b.Context(), cloud.Query{}); len(volumes) > 0 {
			b.Errorf("volumes %v are left", volumes)
		}
	})
}

func TestThrottling(t *testing.T) {
	inBubble(t, fakeec2.Options{Buckets: map[string]fakeec2.Bucket{"DescribeKey": {Size: 1, PerSecond: 1}}}, func(b bench) {
		b.SetQuota("L-1216C47A", 1000)
		l := b.linux("l")
		throttled := func(times int, want bool) {
			b.Helper()
			var err error
			for range times {
				_, err = b.RunInstance(b.Context(), l)
			}
			if cloud.IsKind(err, cloud.Throttled) != want {
				b.Errorf("after %d: error %v, throttled should be %v", times, err, want)
			}
		}
		throttled(5, false)
		throttled(1, true)
		time.Sleep(time.Second)
		throttled(2, false)
		throttled(1, true)
		if got := b.Counts()["RunInstances"]; got != 9 {
			b.Errorf("%d requests counted, want 9", got)
		}
		b.Key(b.Context(), "alias/aws/ebs")
		_, err := b.Key(b.Context(), "alias/aws/ebs")
		b.refused(err, "RequestLimitExceeded")
	})
}

func TestPagesAreRequests(t *testing.T) {
	inBubble(t, fakeec2.Options{PageSize: 10}, func(b bench) {
		for range 25 {
			b.AddSnapshot(fakeec2.SnapshotSpec{})
		}
		if _, err := b.Snapshots(b.Context(), []string{"self"}, cloud.Query{}); err != nil {
			b.Fatal(err)
		}
		if got := b.Counts()["DescribeSnapshots"]; got != 3 { // 27 with those of the images
			b.Errorf("%d requests for 3 pages", got)
		}
	})
}

func TestAStormIsTheSameForASeed(t *testing.T) {
	one := func(seed uint64) (seen []string) {
		synctest.Test(t, func(t *testing.T) {
			ec2 := fakeec2.New(fakeec2.Options{Seed: seed, Unthrottled: true})
			ec2.SetStorm(fakeec2.Storm{Unreachable: 0.1, Lost: 0.1, Throttled: 0.1, Internal: 0.1})
			for range 200 {
				_, err := ec2.Identity(t.Context())
				seen = append(seen, fmt.Sprint(err))
			}
		})
		return seen
	}
	first, again, other := fmt.Sprint(one(1)), fmt.Sprint(one(1)), fmt.Sprint(one(2))
	if first != again || first == other {
		t.Error("chance is not the seed's")
	}
	found := map[string]int{}
	for _, said := range one(1) {
		found[said]++
	}
	for said, want := range map[string][2]int{ // of 200
		"connection reset by peer":                       {18, 45}, // lost, and half of the unreachable
		"connection refused (NotSent)":                   {3, 20},
		"Request limit exceeded. (RequestLimitExceeded)": {8, 35},
		"An internal error has occurred (InternalError)": {8, 35},
		"<nil>": {90, 150},
	} {
		if n := found[said]; n < want[0] || n > want[1] {
			t.Errorf("%d of 200 are %q, want %v", n, said, want)
		}
	}
}

func TestTheHookSeesEveryCall(t *testing.T) {
	var calls []fakeec2.Call
	killed := errors.New("killed")
	opts := fakeec2.Options{Hook: func(_ context.Context, c fakeec2.Call) error {
		calls = append(calls, c)
		if c.Action == "StartInstances" && !c.After || c.Action == "RunInstances" && c.After {
			return killed
		}
		return nil
	}}
	inBubble(t, opts, func(b bench) {
		l := b.linux("one")
		calls = nil
		_, err := b.As("node").RunInstance(b.Context(), l)
		if !errors.Is(err, killed) || len(calls) != 2 || calls[0].After || !calls[1].After || calls[1].Who != "node" || !calls[0].Writes {
			b.Errorf("error %v with calls %+v", err, calls)
		}
		if len(b.Billable()) == 0 {
			b.Error("killed after the call, but it was not done")
		}
		calls = nil
		ctx, cancel := context.WithCancel(b.Context())
		cancel()
		if _, err := b.Identity(ctx); !errors.Is(err, context.Canceled) || !cloud.Undone(err) || len(calls) != 2 {
			b.Errorf("a call of nobody: error %v, and calls %+v", err, calls)
		}
		if err := b.StartInstance(b.Context(), "i-none"); !errors.Is(err, killed) {
			b.Errorf("error %v, want that of the hook before the call", err)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	ec2 := fakeec2.New(fakeec2.Options{Unthrottled: true})
	ec2.SetQuota("L-1216C47A", 64)
	b := bench{t, ec2}
	l := b.linux("l")
	var all sync.WaitGroup
	for n := range 64 {
		all.Go(func() {
			launch := l
			launch.ClientToken = fmt.Sprint(n % 16)
			i, err := ec2.RunInstance(t.Context(), launch)
			if err != nil {
				t.Error(err)
				return
			}
			ec2.Instances(t.Context(), cloud.Where("instance-id", i.ID))
			ec2.CreateTags(t.Context(), []string{i.ID}, cloud.Tags{"n": fmt.Sprint(n)})
		})
	}
	all.Wait()
	if found, err := ec2.Instances(t.Context(), cloud.Query{}); err != nil || len(found) != 16 {
		t.Errorf("16 tokens made %d instances, %v", len(found), err)
	}
}
