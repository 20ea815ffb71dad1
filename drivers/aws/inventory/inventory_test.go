package inventory_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/account"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/inventory"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/price"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

const (
	self     = "11111111-2222-4333-8444-555555555555"
	stranger = "99999999-2222-4333-8444-555555555555"
	app      = "aaaaaaaa-2222-4333-8444-555555555555"
	zone     = "eu-central-1a"
)

// site is an account of the fake, and who looks at it.
type site struct {
	*testing.T
	ec2 *fakeec2.Cloud
	*inventory.Inventory
}

func inSite(t *testing.T, test func(s *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ec2 := fakeec2.New(fakeec2.Options{Timing: fakeec2.QuickTiming()})
		ec2.SetQuota("L-1216C47A", 100)
		ec2.SetQuota("L-5D8DADF5", 3) // hosts of mac2
		var accounts account.Accounts
		prices, err := price.New(map[string]float64{"mac2.metal": 0.5, "m5.large": 0.1})
		if err != nil {
			t.Fatal(err)
		}
		m, err := accounts.Join(t.Context(), account.Options{
			Settings: cloud.Settings{Region: "eu-central-1"}, NodeUID: self, Instance: "aws", Logger: slog.New(slog.DiscardHandler),
			Dial: func(context.Context, cloud.Settings) (cloud.API, error) { return ec2, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		test(&site{t, ec2, inventory.New(inventory.Options{Account: m, Node: self, Instance: "aws", Prices: prices})})
	})
}

func mine(purpose string) cloud.Tags {
	return cloud.Tags{cloud.TagNode: self, cloud.TagInstance: "aws", cloud.TagPurpose: purpose}
}

func (s *site) host(token string, tags cloud.Tags) string {
	s.Helper()
	id, err := s.ec2.AllocateHost(s.Context(), cloud.HostRequest{ClientToken: token, Type: "mac2.metal", Zone: zone, Tags: tags})
	if err != nil {
		s.Fatal(err)
	}
	return id
}

func (s *site) launch(token string, tags cloud.Tags, change func(l *cloud.Launch)) cloud.Instance {
	s.Helper()
	ctx := s.Context()
	subnets, err := s.ec2.Subnets(ctx, cloud.Where("availability-zone", zone))
	if err != nil || len(subnets) == 0 {
		s.Fatalf("subnets: %v, %v", subnets, err)
	}
	images, err := s.ec2.Images(ctx, nil, cloud.Where("name", fakeec2.LinuxImage, "ci-mac-2026"))
	if err != nil {
		s.Fatal(err)
	}
	l := cloud.Launch{ClientToken: token, Type: "m5.large", SubnetID: subnets[0].ID, Tags: tags, Disks: []cloud.Disk{{Device: "/dev/sdf", Type: "gp3", SizeGB: 73}}}
	if change != nil {
		change(&l)
	}
	for _, i := range images {
		if strings.HasPrefix(i.Name, "ci-mac") == strings.HasPrefix(l.Type, "mac") {
			l.ImageID = i.ID
		}
	}
	time.Sleep(time.Second) // EC2 takes two a second
	i, err := s.ec2.RunInstance(ctx, l)
	if err != nil {
		s.Fatal(err)
	}
	return i
}

func (s *site) look() inventory.Listing {
	s.Helper()
	l, err := s.Look(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	return l
}

// find returns the thing of an id.
func (s *site) find(l inventory.Listing, id string) view.Thing {
	s.Helper()
	for _, t := range l.Things {
		if t.ID == id {
			return t
		}
	}
	s.Errorf("%s is not listed among %+v", id, l.Things)
	return view.Thing{}
}

func about(t *testing.T, what string, got *float64, want float64) {
	t.Helper()
	if got == nil || *got < want-0.001 || *got > want+0.001 {
		t.Errorf("the cost of %s is %v, want %v", what, got, want)
	}
}

// TestLook: everything with tags of a node, with whose it is and what it has
// cost; a host of a Mac stays for a day.
func TestLook(t *testing.T) {
	inSite(t, func(s *site) {
		began := time.Now()
		work := mine(cloud.PurposeWork)
		work[cloud.TagApplication], work[cloud.TagToken] = app, strings.Repeat("a", 32)
		pool := mine(cloud.PurposePool)
		pool[cloud.TagPool] = "m2"
		busy, old, other := s.host("1", pool), s.host("2", cloud.Tags{cloud.TagOldPoolPrefix + "legacy": "yes"}), s.host("3", cloud.Tags{"Name": "somebody's"})
		runs := s.launch("a", work, nil)
		foreign := s.launch("b", cloud.Tags{cloud.TagNode: stranger, cloud.TagInstance: "aws"}, nil)
		mac := s.launch("c", work, func(l *cloud.Launch) { l.Type, l.HostID = "mac2.metal", busy })
		gone := s.launch("d", work, nil)
		unmarked := s.launch("e", cloud.Tags{"Name": "somebody's"}, nil)
		stops := s.launch("f", work, nil)
		if err := errors.Join(s.ec2.TerminateInstances(s.Context(), []string{gone.ID}), s.ec2.StopInstance(s.Context(), stops.ID, cloud.Stop{})); err != nil {
			s.Fatal(err)
		}
		task := mine(cloud.PurposeTask)
		task[cloud.TagTask], task[cloud.TagLease] = app, began.Add(time.Hour).UTC().Format(time.RFC3339)
		image, err := s.ec2.CreateImage(s.Context(), cloud.ImageRequest{InstanceID: runs.ID, Name: "made", Tags: task})
		if err != nil {
			s.Fatal(err)
		}
		time.Sleep(10 * time.Hour)

		l := s.look()
		if l.Trouble != "" || len(l.Missing) > 0 || time.Since(l.Asked) > 5*time.Second {
			s.Errorf("trouble %q, missing %v, asked %v", l.Trouble, l.Missing, l.Asked)
		}
		h := s.find(l, busy)
		about(s.T, "a host", h.Cost, 5)
		if !h.Release.Equal(h.Created.Add(24*time.Hour)) || h.Why != "has "+mac.ID {
			s.Errorf("the busy host is %+v", h)
		}
		if diff := cmp.Diff(view.Owner{Mine: true, Node: self, Instance: "aws", Purpose: "pool", Pool: "m2"}, h.Owner); diff != "" {
			s.Errorf("its owner (-want +got):\n%s", diff)
		}
		if o := s.find(l, old).Owner; o != (view.Owner{Pool: "legacy"}) {
			s.Errorf("the owner of an old host is %+v", o)
		}
		i := s.find(l, runs.ID)
		about(s.T, "an instance", i.Cost, 1)
		if diff := cmp.Diff(view.Owner{Mine: true, Node: self, Instance: "aws", Purpose: "work", Application: app, Token: strings.Repeat("a", 32)}, i.Owner); diff != "" {
			s.Errorf("its owner (-want +got):\n%s", diff)
		}
		if s.find(l, foreign.ID).Mine {
			t.Error("another node's is mine")
		}
		about(s.T, "an instance on a host", s.find(l, mac.ID).Cost, 0)
		if stopped := s.find(l, stops.ID); stopped.Cost != nil || !strings.Contains(stopped.Why, "stands still") {
			s.Errorf("a stopped instance is %+v", stopped)
		}
		made := s.find(l, image)
		if made.Task != app || !made.Lease.Equal(began.Add(time.Hour).Truncate(time.Second)) || made.SizeGB == 0 {
			s.Errorf("the image is %+v", made)
		}
		kinds := map[view.Kind]int{}
		for _, one := range l.Things {
			if one.ID == other || one.ID == gone.ID || one.ID == unmarked.ID {
				s.Errorf("%s %s is listed", one.Kind, one.ID)
			}
			if kinds[one.Kind]++; one.Kind == view.Volume && one.SizeGB == 73 {
				about(s.T, "a volume", one.Cost, 0.08*73*10/730)
			}
		}
		if kinds[view.Volume] < 7 || kinds[view.Snapshot] == 0 || kinds[view.Image] != 1 || kinds[view.Host] != 2 || kinds[view.Instance] != 4 {
			s.Errorf("listed %v", kinds)
		}
	})
}

// TestLookWithoutAnswers: what was seen is told with its age; what never was,
// and what may not be seen, is told as missing.
func TestLookWithoutAnswers(t *testing.T) {
	inSite(t, func(s *site) {
		s.ec2.Outage(time.Hour)
		if l := s.look(); len(l.Things) != 0 || !l.Asked.IsZero() || l.Trouble == "" || len(l.Missing) > 0 {
			s.Errorf("while nothing is known: %+v", l)
		}
		time.Sleep(time.Hour + time.Minute)
		i := s.launch("a", mine(cloud.PurposeWork), nil)
		heal := s.ec2.Inject(fakeec2.Fault{Action: "DescribeVolumes", Times: -1, Err: cloud.NewError("UnauthorizedOperation", "not allowed")})
		l := s.look()
		s.find(l, i.ID)
		if len(l.Missing) != 1 || l.Missing[0].Kind != view.Volume || !strings.Contains(l.Missing[0].Error, "not allowed") || l.Trouble != "" {
			s.Errorf("missing %+v, trouble %q", l.Missing, l.Trouble)
		}
		heal()
		time.Sleep(time.Minute)
		seen := time.Now()
		s.look()
		time.Sleep(time.Minute)
		s.ec2.Outage(time.Hour)
		l = s.look()
		s.find(l, i.ID)
		if !l.Asked.Equal(seen) || l.Trouble == "" || len(l.Missing) > 0 {
			s.Errorf("from memory: asked %v, want %v; trouble %q, missing %v", l.Asked, seen, l.Trouble, l.Missing)
		}
		s.ec2.Inject(fakeec2.Fault{Action: "Describe*", Times: -1, Hang: true})
		time.Sleep(2 * time.Hour)
		began := time.Now()
		if l = s.look(); time.Since(began) > 20*time.Second || !l.Asked.Equal(seen) {
			s.Errorf("a hanging service was waited for for %v, asked %v", time.Since(began), l.Asked)
		}
	})
}

// TestManyLook: they cost EC2 no more than one, and each may leave.
func TestManyLook(t *testing.T) {
	inSite(t, func(s *site) {
		time.Sleep(time.Minute)
		s.ec2.SetLatency(fakeec2.Fixed(time.Second))
		before := s.ec2.Counts()["DescribeVolumes"]
		ctx, cancel := context.WithTimeout(s.Context(), 500*time.Millisecond)
		defer cancel()
		if _, err := s.Look(ctx); !errors.Is(err, context.DeadlineExceeded) {
			s.Errorf("Look() of one that left = %v", err)
		}
		done := make(chan error)
		for range 20 {
			go func() { _, err := s.Look(s.Context()); done <- err }()
		}
		for range 20 {
			if err := <-done; err != nil {
				s.Errorf("Look() = %v", err)
			}
		}
		if n := s.ec2.Counts()["DescribeVolumes"] - before; n > 2 {
			s.Errorf("EC2 was asked %d times", n)
		}
	})
}
