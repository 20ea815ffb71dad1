package machine

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		host  Host
		share Share
		want  drivers.Limits
		err   string
	}{
		{"as it is", Host{8, 16 * gb}, Share{}, drivers.Limits{CPU: 8, RAM: 16}, ""},
		{"a started GB", Host{8, 16*gb - 1}, Share{}, drivers.Limits{CPU: 8, RAM: 16}, ""},
		{"altered", Host{8, 16 * gb}, Share{CPUAlter: -2, RAMAlter: 4, CPUOverbook: 3, RAMOverbook: 1},
			drivers.Limits{CPU: 6, RAM: 20, CPUOverbook: 3, RAMOverbook: 1}, ""},
		{"the last one", Host{2, gb}, Share{CPUAlter: -1}, drivers.Limits{CPU: 1, RAM: 1}, ""},
		{"remote", Host{4, 8 * gb}, Share{Remote: true}, drivers.Limits{CPU: 4, RAM: 8, Remote: true}, ""},
		{"no cpu left", Host{2, gb}, Share{CPUAlter: -2}, drivers.Limits{}, "cpu_alter -2 leaves nothing of the machine's 2 cores"},
		{"no memory left", Host{2, gb}, Share{RAMAlter: -5}, drivers.Limits{}, "ram_alter -5 leaves nothing of the machine's 1 GB"},
		{"all the memory", Host{2, 3*gb - 7}, Share{RAMAlter: -3}, drivers.Limits{}, "ram_alter -3 leaves nothing of the machine's 3 GB"},
		{"a machine that has nothing", Host{}, Share{}, drivers.Limits{}, "cpu_alter 0 leaves nothing"},
		{"beyond all numbers", Host{2, gb}, Share{CPUAlter: math.MaxInt}, drivers.Limits{}, "cpu_alter 9223372036854775807: want"},
		{"below all numbers", Host{2, gb}, Share{RAMAlter: math.MinInt}, drivers.Limits{}, "ram_alter -9223372036854775808: want"},
		{"overbook of nonsense", Host{2, gb}, Share{RAMOverbook: math.MaxUint}, drivers.Limits{}, "ram_overbook 18446744073709551615: want"},
	} {
		got, err := tt.host.Limits(tt.share)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestHere(t *testing.T) {
	if h, err := Here(t.Context()); err != nil || h.RAM < 64<<20 || h.Cores < 1 {
		t.Errorf("Here() = %+v, %v", h, err)
	}
}
