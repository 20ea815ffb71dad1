package account

import (
	"errors"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// TestRefusals: what an error says of zones and quotas that others use too, and
// what it says of one label alone.
func TestRefusals(t *testing.T) {
	onDemand, spot := Need{Type: "c5.large"}, Need{Type: "c5.large", Spot: true}
	onHost, host := Need{Type: "mac2.metal", OnHost: true}, Need{Type: "mac2.metal", Host: true}
	for _, test := range []struct {
		code      string
		need      Need
		dry       bool
		exhausted string
	}{
		{"InsufficientInstanceCapacity", onDemand, true, ""},
		{"InsufficientInstanceCapacity", spot, true, ""},
		{"SpotMaxPriceTooLow", spot, true, ""},
		{"InsufficientHostCapacity", host, true, ""},
		{"InsufficientCapacityOnHost", onHost, false, ""},
		{"InsufficientInstanceCapacity", onHost, false, ""},
		{"VolumeTypeNotAvailableInZone", onDemand, false, ""},
		{"InsufficientFreeAddressesInSubnet", onDemand, false, ""},
		{"Unsupported", onDemand, false, ""},
		{"VcpuLimitExceeded", onDemand, false, stdOnDemand},
		{"MaxSpotInstanceCountExceeded", spot, false, stdSpot},
		{"HostLimitExceeded", host, false, "L-5D8DADF5"},
		{"VcpuLimitExceeded", onHost, false, ""},
		{"VcpuLimitExceeded", Need{Type: "q1.large"}, false, ""},
		{"VolumeLimitExceeded", onDemand, false, ""},
		{"RequestLimitExceeded", onDemand, false, ""},
	} {
		err := cloud.NewError(test.code, "no")
		if place, dry := dryOf(test.need, "z1", err); dry != test.dry || dry && (place.Zone != "z1" || place.Type != test.need.Type ||
			place.Spot != test.need.Spot || place.Host != test.need.Host) {
			t.Errorf("%s of %+v: dry = %v, %+v, want %v", test.code, test.need, dry, place, test.dry)
		}
		if code, exhausted := exhaustedOf(test.need, err); code != test.exhausted || exhausted != (test.exhausted != "") {
			t.Errorf("%s of %+v: exhausted = %q, %v, want %q", test.code, test.need, code, exhausted, test.exhausted)
		}
	}
	if _, dry := dryOf(onDemand, "", cloud.NewError("InsufficientInstanceCapacity", "no")); dry {
		t.Error("no zone is dry")
	}
	if _, dry := dryOf(onDemand, "z1", errors.New("of the network")); dry {
		t.Error("a zone is dry by an error that is none of EC2")
	}
}
