package fakeec2_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

// BenchmarkAYearOfMacs is what one job on one of 100 hosts costs a test: a
// launch, the end, and two looks at all hosts.
func BenchmarkAYearOfMacs(b *testing.B) {
	clock := &turned{now: time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)}
	ec2 := fakeec2.New(fakeec2.Options{Now: clock.Now, Sleep: clock.Sleep, Unthrottled: true})
	ec2.SetQuota(macQuota, 100)
	images, _ := ec2.Images(b.Context(), nil, cloud.Where("name", "ci-mac-2026"))
	var hosts []string
	for n := range 100 {
		id, err := ec2.AllocateHost(b.Context(), cloud.HostRequest{ClientToken: fmt.Sprint(n), Type: "mac2.metal", Zone: "eu-central-1a"})
		if err != nil {
			b.Fatal(err)
		}
		hosts = append(hosts, id)
	}
	clock.now = clock.now.Add(time.Hour)
	for n := 0; b.Loop(); n++ {
		i, err := ec2.RunInstance(b.Context(), cloud.Launch{
			ClientToken: fmt.Sprint("job", n), ImageID: images[0].ID, Type: "mac2.metal", HostID: hosts[n%len(hosts)],
		})
		if err != nil {
			b.Fatal(err)
		}
		clock.now = clock.now.Add(2 * time.Minute)
		ec2.Hosts(b.Context(), cloud.Query{})
		ec2.TerminateInstances(b.Context(), []string{i.ID})
		clock.now = clock.now.Add(2 * time.Minute)
		ec2.Hosts(b.Context(), cloud.Query{})
	}
}
