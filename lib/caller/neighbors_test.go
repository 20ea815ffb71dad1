package caller

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNeighborTables(t *testing.T) {
	want := map[netip.Addr]string{netip.MustParseAddr("192.168.64.2"): "02:00:5e:00:01:0a"}
	proc := "IP address       HW type     Flags       HW address            Mask     Device\n" +
		"192.168.64.2     0x1         0x2         02:00:5e:00:01:0a     *        br0\n" +
		"192.168.64.3     0x1         0x0         00:00:00:00:00:00     *        br0\n" +
		"garbage\n"
	if diff := cmp.Diff(want, parseProcARP(proc), cmp.Comparer(sameAddr)); diff != "" {
		t.Errorf("/proc/net/arp (-want +got):\n%s", diff)
	}
	arp := "? (192.168.64.2) at 2:0:5e:0:1:a on bridge100 ifscope [bridge]\n" +
		"? (192.168.64.3) at (incomplete) on bridge100 ifscope [bridge]\n" +
		"? (224.0.0.251) at 1:0 on en0\n\n"
	if diff := cmp.Diff(want, parseARP(arp), cmp.Comparer(sameAddr)); diff != "" {
		t.Errorf("arp -an (-want +got):\n%s", diff)
	}
}

func sameAddr(a, b netip.Addr) bool { return a == b }

func TestNeighborCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := newNeighborCache(func(context.Context) (map[netip.Addr]string, error) {
			calls++
			if calls == 1 {
				return nil, errors.New("first fails")
			}
			return map[netip.Addr]string{}, nil
		})
		if _, err := c.get(t.Context()); err == nil {
			t.Error("the failure is lost")
		}
		for range 5 {
			if _, err := c.get(t.Context()); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(neighborTTL)
		_, _ = c.get(t.Context())
		if calls != 3 {
			t.Errorf("listed %d times, want 3", calls)
		}
	})
}

func TestSystemInterfacesKnowLoopback(t *testing.T) {
	own, err := SystemInterfaces()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(own, func(p netip.Prefix) bool { return p.Addr().IsLoopback() && p.Bits() > 0 }) {
		t.Errorf("no loopback in %v", own)
	}
}
