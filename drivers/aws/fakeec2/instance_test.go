package fakeec2_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

// bench is an account, and somebody who works with it.
type bench struct {
	*testing.T
	*fakeec2.Cloud
}

// inBubble runs a test with a clock of its own, that time passes on only when all wait.
func inBubble(t *testing.T, opts fakeec2.Options, test func(b bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(bench{t, fakeec2.New(opts)})
	})
}

// linux is a launch of the Linux image in the first zone.
func (b bench) linux(token string) cloud.Launch {
	b.Helper()
	return cloud.Launch{ClientToken: token, ImageID: b.image(fakeec2.LinuxImage), Type: "m5.large", SubnetID: b.subnet("a"), Tags: cloud.Tags{"owner": "me"}}
}

func (b bench) image(name string) (id string) {
	b.Helper()
	images, err := b.Images(b.Context(), nil, cloud.Where("name", name))
	if err != nil || len(images) != 1 {
		b.Fatalf("Images(%q) = %v, %v, want one", name, images, err)
	}
	return images[0].ID
}

// subnet is the default subnet of a zone by its letter.
func (b bench) subnet(letter string) (id string) {
	b.Helper()
	subnets, err := b.Subnets(b.Context(), cloud.Where("availability-zone", "*"+letter))
	if err != nil || len(subnets) != 1 {
		b.Fatalf("Subnets(%q) = %v, %v, want one", letter, subnets, err)
	}
	return subnets[0].ID
}

func (b bench) run(l cloud.Launch) cloud.Instance {
	b.Helper()
	i, err := b.RunInstance(b.Context(), l)
	if err != nil {
		b.Fatal(err)
	}
	return i
}

// refused checks that an error is the service's, with the code.
func (b bench) refused(err error, code string) {
	b.Helper()
	if e, ok := errors.AsType[*cloud.Error](err); !ok || e.Code != code {
		b.Errorf("error %v, want code %s", err, code)
	}
}

// is checks the state of an instance.
func (b bench) is(id, state string) cloud.Instance {
	b.Helper()
	i, found := b.Instance(id)
	if !found || i.State != state {
		b.Errorf("instance %s is %q, want %q", id, i.State, state)
	}
	return i
}

func TestAnInstanceLives(t *testing.T) {
	inBubble(t, fakeec2.Options{}, func(b bench) {
		i := b.run(b.linux("one"))
		b.is(i.ID, cloud.Pending)
		time.Sleep(time.Minute)
		i = b.is(i.ID, cloud.Running)
		if !strings.HasPrefix(i.PrivateIP, "10.0.0.") || i.PublicIP == "" || len(i.Volumes) != 1 || i.VCPUs != 2 {
			b.Errorf("a running instance is %+v", i)
		}
		if err := b.TerminateInstances(b.Context(), []string{i.ID}); err != nil {
			b.Fatal(err)
		}
		b.is(i.ID, cloud.ShuttingDown)
		time.Sleep(2 * time.Minute)
		i = b.is(i.ID, cloud.Terminated)
		if i.Reason.Code != "Client.UserInitiatedShutdown" || i.PrivateIP != "" || len(b.Billable()) > 0 {
			b.Errorf("what ended is %+v, and costs %v", i, b.Billable())
		}
		time.Sleep(2 * time.Hour)
		if _, found := b.Instance(i.ID); found {
			b.Error("it is listed for ever")
		}
	})
}

func TestATokenIsOfOneZone(t *testing.T) {
	inBubble(t, fakeec2.Options{Unthrottled: true}, func(b bench) {
		l := b.linux("one")
		first := b.run(l)
		l.Disks, l.SecurityGroupIDs, l.UserData = []cloud.Disk{}, []string{}, []byte{} // the same bytes on the wire
		if again := b.run(l); again.ID != first.ID {
			b.Error("the same request made a second instance")
		}
		b.SetQuota("L-1216C47A", 100)
		slashed := b.run(b.linux("a/"))
		if again := b.run(b.linux("a/")); again.ID != slashed.ID {
			b.Error("a token may end in a slash")
		}
		l.UserData = []byte("other")
		_, err := b.RunInstance(b.Context(), l)
		b.refused(err, "IdempotentParameterMismatch")
		l = b.linux("one")
		l.SubnetID = b.subnet("b")
		if other := b.run(l); other.ID == first.ID {
			b.Error("the token reached into another zone")
		}
		time.Sleep(time.Minute)
		b.TerminateInstances(b.Context(), []string{first.ID})
		_, err = b.RunInstance(b.Context(), b.linux("one"))
		b.refused(err, "IdempotentInstanceTerminated")
	})
}
