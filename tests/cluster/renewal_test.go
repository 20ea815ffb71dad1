//go:build linux

package cluster

import (
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/tests/farm"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestRenewal: a node that has no CA key gets its certificate renewed by one that has, over the cluster.
func TestRenewal(t *testing.T) {
	needs.All(t, "takes the minute after which a node looks at its certificate")
	t.Parallel()
	f := farm.New(t, farm.Options{Topology: farm.Full(2)})
	f.Authority.Certify(f.Members[1], time.Now().Add(-time.Hour), time.Now().Add(20*24*time.Hour))
	for _, m := range f.Members {
		m.Start()
	}
	f.Together(soon)
	a := f.Admin(0)
	expires := func() time.Time {
		list := fish.Get[struct {
			Members []struct {
				Name               string
				CertificateExpires time.Time `json:"certificate_expires"`
			}
		}](a, "/api/v1/cluster/")
		for _, m := range list.Members {
			if m.Name == "node1" {
				return m.CertificateExpires
			}
		}
		return time.Time{}
	}
	if left := time.Until(expires()); left > 21*24*time.Hour {
		t.Fatalf("the certificate is good for %v already", left)
	}
	fish.EventuallyWithin(t, 3*time.Minute, "the certificate is renewed, and all know", func() bool {
		return time.Until(expires()) > 300*24*time.Hour
	})
}
