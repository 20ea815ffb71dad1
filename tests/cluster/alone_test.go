//go:build linux

package cluster

import (
	"os"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/farm"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// TestAlone: a farm of one node goes through what can happen to one.
func TestAlone(t *testing.T) {
	t.Parallel()
	load := []route{{rate: 20, silent: true}}
	for _, sc := range []scenario{
		{name: "calm", topology: farm.Full(1), loads: []route{{rate: 20}}, trouble: func(s *stage) { s.last(headStart) }},
		{
			name: "killed again and again", topology: farm.Full(1), loads: load,
			trouble: func(s *stage) { s.Members[0].KillLoop(3, func() time.Duration { return 700 * time.Millisecond }) },
		},
		{
			name: "stands still", topology: farm.Full(1), loads: load,
			trouble: func(s *stage) { s.Members[0].Pause(); s.last(headStart); s.Members[0].Resume(); s.last(headStart) },
		},
		{
			name: "a full disk", topology: farm.Full(1), loads: []route{{rate: 20, broken: true}},
			each: func(_ *testing.T, _ int, s *farm.Settings) { s.DiskMB = diskMB },
			trouble: func(s *stage) {
				s.Members[0].Disk.Fill()
				s.last(3 * headStart)
				s.Members[0].Disk.Free()
				s.last(headStart)
			},
		},
		{
			name: "stopped for another binary", topology: farm.Full(1), loads: load,
			trouble: func(s *stage) {
				s.Members[0].Stop()
				s.Members[0].Upgrade(os.Getenv(fish.BinaryEnv))
				s.Members[0].Start()
				s.last(headStart)
			},
		},
	} {
		t.Run(sc.name, func(t *testing.T) { t.Parallel(); play(t, sc) })
	}
}
