package pool

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// alarms are what a person was told in the last steps.
func alarms(acts []Action) []Alarm { return only[Alarm](acts) }

// refusedAll answers each release for a time with one error, and returns the
// actions meanwhile.
func (b *bed) refusedAll(d time.Duration, hosts []cloud.Host, answer func(ReleaseHosts) Released) (all []Action) {
	b.t.Helper()
	end := b.clock.Add(d)
	for b.clock.Before(end) {
		acts := b.wait(10*time.Second, hosts...)
		all = append(all, acts...)
		for _, r := range only[ReleaseHosts](acts) {
			all = append(all, b.step(answer(r))...)
		}
	}
	return all
}

// While AWS refuses the same again and again, a person is told once.
func TestAlarmOfAReleaseOnce(t *testing.T) {
	denied := cloud.NewError("UnauthorizedOperation", "You are not authorized")
	for name, answer := range map[string]func(ReleaseHosts) Released{
		"request": func(r ReleaseHosts) Released { return Released{Action: r.ID, Err: denied} },
		"host": func(r ReleaseHosts) Released {
			return Released{Action: r.ID, Refused: map[string]*cloud.Error{"h-1": cloud.NewError("InvalidHost.Occupied", "it is occupied")}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, macs())
			h := b.mac("h-1", 25*time.Hour)
			for _, r := range only[ReleaseHosts](b.answer(nil, h)) {
				b.step(answer(r))
			}
			all := b.refusedAll(12*time.Hour, []cloud.Host{h}, answer)
			if n := len(only[ReleaseHosts](all)); n < 5 {
				t.Errorf("in 12 hours its release is tried %d times", n)
			}
			if told := alarms(all); len(told) > 1 {
				t.Errorf("told %d times: %q", len(told), told)
			}
		})
	}
}

// Words that differ each time, such as an encoded reason or a port, make no new cause.
func TestAlarmOfAnAllocationOnce(t *testing.T) {
	b := newBed(t, macs())
	b.answer(nil)
	b.step(Want{Token: "t1"})
	var told []Alarm
	for n := range 10 {
		told = append(told, alarms(b.refused(cloud.NewError("UnauthorizedOperation", "Encoded authorization failure message: %d", n)))...)
	}
	if len(told) != 1 {
		t.Errorf("told %d times: %q", len(told), told)
	}
}

// refused waits until a host is asked for, of which there is none yet, and
// answers with an error.
func (b *bed) refused(err error) []Action {
	b.t.Helper()
	for end := b.clock.Add(time.Hour); b.clock.Before(end); b.wait(time.Second) {
		asks := only[AllocateHost](b.acts)
		for len(asks) == 0 && one[Describe](b) != nil {
			asks = only[AllocateHost](b.step(Described{Action: one[Describe](b).ID}))
		}
		if len(asks) == 1 {
			return b.step(Allocated{Action: asks[0].ID, Err: err})
		}
	}
	b.t.Fatal("no host is asked for within an hour")
	return nil
}

// Who waits is told AWS's own words: an account that may have no such host, and
// a permission that is missing, look like bad luck else.
func TestTroubleHasTheCause(t *testing.T) {
	b := newBed(t, macs())
	b.answer(cloud.NewError("UnauthorizedOperation", "not authorized to perform: ec2:DescribeHosts"))
	b.step(Want{Token: "t1"})
	if why := b.trouble(); !strings.Contains(why, "ec2:DescribeHosts") {
		t.Errorf("the trouble is %q", why)
	}
	b.answer(nil)
	for range macs().Zones {
		b.refused(cloud.NewError("Unsupported", "The requested configuration is currently not supported"))
	}
	if why := b.trouble(); !strings.Contains(why, "configuration is currently not supported") {
		t.Errorf("the trouble is %q", why)
	}
}

// Who took over a pool and can not list its hosts is not told to wait until a
// time that has passed.
func TestTroubleOfAnOwnerWhoSeesNothing(t *testing.T) {
	b := restored(t, macs(), nil)
	b.answer(nil)
	if why := b.trouble(); !strings.Contains(why, "taken over lately") {
		t.Errorf("at first the trouble is %q", why)
	}
	for end := b.clock.Add(b.cfg.settling()); b.clock.Before(end); {
		b.answer(cloud.NewError("UnauthorizedOperation", "not authorized to perform: ec2:DescribeHosts"))
	}
	if why := b.trouble(); !strings.Contains(why, "ec2:DescribeHosts") {
		t.Errorf("then the trouble is %q", why)
	}
}

// What AWS does not answer for is no part of the room, and so no quota takes it off
// from what there is.
func TestRoomWithoutAnswers(t *testing.T) {
	cfg := macs()
	cfg.Max = 3
	b := newBed(t, cfg)
	free := b.mac("h-1", time.Hour)
	b.list(free)
	b.step(Want{Token: "t1", Zones: []string{"b"}})
	for try := 0; b.doubtful() == nil && try < 20; try++ {
		if asks := only[AllocateHost](b.acts); len(asks) > 0 {
			b.step(Allocated{Action: asks[0].ID, Err: errors.New("timeout")})
		}
		b.wait(5*time.Minute, free)
	}
	b.step(Cancel{Token: "t1"})
	if b.doubtful() == nil || b.Capacity() != 1 || b.Room().New != 0 {
		t.Errorf("doubtful %+v, room for %d, %d of it with new hosts; want 1 and 0", b.doubtful(), b.Capacity(), b.Room().New)
	}
}
