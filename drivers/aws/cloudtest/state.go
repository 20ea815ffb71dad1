package cloudtest

import (
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

func stateCases() []testCase {
	return []testCase{
		{"stop and start", stopAndStart},
		{"stop: asked of what is stopped", stopTwice},
		{"stop: with force", stopForce},
		{"stop: unknown instance", func(k *check) {
			k.is(k.API.StopInstance(k.ctx, "i-00000000000000bad", cloud.Stop{}), "the stop of nothing", cloud.NotFound)
		}},
		{"start: asked of what runs", startTwice},
		{"start: what is gone", startGone},
		{"start: unknown instance", func(k *check) {
			k.is(k.API.StartInstance(k.ctx, "i-00000000000000bad"), "the start of nothing", cloud.NotFound)
		}},
		{"hibernate: what can", hibernate},
		{"hibernate: what can not", hibernateNot},
		{"terminate: twice", terminateTwice},
		{"terminate: its disks go too", terminateDisks},
		{"terminate: what is stopped", terminateStopped},
		{"terminate: unknown instance", func(k *check) {
			k.is(k.API.TerminateInstances(k.ctx, []string{"i-00000000000000bad"}), "the end of nothing", cloud.NotFound)
		}},
		{"terminate: one that is unknown spares no other", terminateSome},
	}
}

func stopAndStart(k *check) {
	i := k.launch(nil)
	k.ok(k.API.StopInstance(k.ctx, i.ID, cloud.Stop{}), "stop")
	stopped := k.reach(i.ID, cloud.Stopped)
	if stopped.PrivateIP != i.PrivateIP || stopped.PublicIP != "" || stopped.Reason.Code == "" {
		k.errorf("stopped, it is %+v", stopped)
	}
	k.ok(k.API.StartInstance(k.ctx, i.ID), "start")
	if again := k.reach(i.ID, cloud.Running); again.PrivateIP != i.PrivateIP || !fits(again.Tags) {
		k.errorf("started again, it is %+v", again)
	}
}

func stopTwice(k *check) {
	i := k.launch(nil)
	k.ok(k.API.StopInstance(k.ctx, i.ID, cloud.Stop{}), "stop")
	k.ok(k.API.StopInstance(k.ctx, i.ID, cloud.Stop{}), "stop what stops")
	k.reach(i.ID, cloud.Stopped)
	k.ok(k.API.StopInstance(k.ctx, i.ID, cloud.Stop{}), "stop what is stopped")
	k.reach(i.ID, cloud.Stopped)
}

func stopForce(k *check) {
	i := k.launch(nil)
	k.ok(k.API.StopInstance(k.ctx, i.ID, cloud.Stop{Force: true}), "stop")
	k.reach(i.ID, cloud.Stopped)
}

func startTwice(k *check) {
	i := k.launch(nil)
	k.ok(k.API.StartInstance(k.ctx, i.ID), "start what runs")
	k.reach(i.ID, cloud.Running)
}

func startGone(k *check) {
	i := k.launch(nil)
	k.ok(k.API.TerminateInstances(k.ctx, []string{i.ID}), "terminate")
	k.reach(i.ID, cloud.Terminated)
	k.is(k.API.StartInstance(k.ctx, i.ID), "the start of what is gone", cloud.Busy, cloud.NotFound)
}

func hibernate(k *check) {
	list, err := k.API.Images(k.ctx, nil, cloud.Where("image-id", k.Image))
	k.ok(err, "list images")
	i := k.launch(func(l *cloud.Launch) {
		l.Hibernate = true
		l.Disks = []cloud.Disk{{Device: list[0].RootDevice, SizeGB: 20, Encrypted: true}}
	})
	if !i.Hibernates {
		k.errorf("it has not the ability: %+v", i)
	}
	k.pass(10 * time.Minute) // its agent has to be ready first
	k.ok(k.API.StopInstance(k.ctx, i.ID, cloud.Stop{Hibernate: true}), "hibernate")
	k.reach(i.ID, cloud.Stopped)
	k.ok(k.API.StartInstance(k.ctx, i.ID), "wake")
	k.reach(i.ID, cloud.Running)
}

func hibernateNot(k *check) {
	i := k.launch(nil)
	k.is(k.API.StopInstance(k.ctx, i.ID, cloud.Stop{Hibernate: true}), "the hibernation of what can not", cloud.Refused)
	if got := k.instance(i.ID).State; got != cloud.Running {
		k.errorf("it is %s", got)
	}
}

func terminateTwice(k *check) {
	i := k.launch(nil)
	k.ok(k.API.TerminateInstances(k.ctx, []string{i.ID}), "terminate")
	k.ok(k.API.TerminateInstances(k.ctx, []string{i.ID}), "terminate at once again")
	gone := k.reach(i.ID, cloud.Terminated)
	if gone.Reason.Code == "" || !fits(gone.Tags) {
		k.errorf("its end is %+v", gone)
	}
	k.ok(k.API.TerminateInstances(k.ctx, []string{i.ID}), "terminate what is gone")
}

func terminateDisks(k *check) {
	i := k.launch(func(l *cloud.Launch) { l.Disks = []cloud.Disk{{Device: "/dev/sdb", SizeGB: 1}} })
	k.ok(k.API.TerminateInstances(k.ctx, []string{i.ID}), "terminate")
	k.reach(i.ID, cloud.Terminated)
	k.until(10*time.Minute, "no volume is left", func() bool {
		list, err := k.API.Volumes(k.ctx, cloud.Query{})
		k.ok(err, "list volumes")
		return len(list) == 0
	})
}

func terminateStopped(k *check) {
	i := k.launch(nil)
	k.ok(k.API.StopInstance(k.ctx, i.ID, cloud.Stop{}), "stop")
	k.reach(i.ID, cloud.Stopped)
	k.ok(k.API.TerminateInstances(k.ctx, []string{i.ID}), "terminate")
	k.reach(i.ID, cloud.Terminated)
}

func terminateSome(k *check) {
	var list []string
	for n := range 3 {
		list = append(list, k.launch(nil).ID, fmt.Sprintf("i-000000000000000%02d", n))
	}
	if err := k.API.TerminateInstances(k.ctx, list); !cloud.IsKind(err, cloud.NotFound) {
		k.errorf("the end of some that are not there: %v", err)
	}
	for n := 0; n < len(list); n += 2 {
		k.reach(list[n], cloud.Terminated)
	}
}
