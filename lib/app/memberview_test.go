package app

import (
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/status"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/topo"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestMemberOf(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	lsa := wire.LSA{
		Node: model.UID{1}, Name: "a", Address: "a:8001", Location: "lab", Program: "v1", ProtocolMin: 1, ProtocolMax: 2, Incarnation: 3,
		Flags: wire.FlagHealthy | wire.FlagMaintenance | wire.FlagAvailable, Load: wire.Load{CPU: 1, Memory: 2, Disk: 3, Used: 4},
	}
	want := status.Member{
		UID: model.UID{1}, Name: "a", Address: "a:8001", Location: "lab", State: status.StateInactive, LastSeen: at, Version: "v1",
		ProtocolMin: 1, ProtocolMax: 2, Incarnation: 3, Healthy: true, Maintenance: true, Safety: "available", Applications: 4,
		Load: status.Load{CPU: 1, Memory: 2, Disk: 3}, Lag: 7, CertificateExpires: at,
	}
	got := memberOf(cluster.MemberStatus{Member: cluster.Member{LSA: lsa, Said: at, State: topo.StateInactive}, Lag: 7, NotAfter: at})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("member (-want +got):\n%s", diff)
	}
}

func TestStateOf(t *testing.T) {
	for _, tt := range []struct {
		state topo.State
		gone  bool
		want  status.State
	}{
		{topo.StateActive, false, status.StateActive}, {topo.StateInactive, false, status.StateInactive},
		{topo.StateUnreachable, false, status.StateUnreachable}, {topo.StateGone, false, status.StateUnreachable},
		{topo.StateGone, true, status.StateStopped},
	} {
		if got := stateOf(cluster.Member{State: tt.state, LSA: wire.LSA{Gone: tt.gone}}); got != tt.want {
			t.Errorf("stateOf(%s, gone %v) = %s, want %s", tt.state, tt.gone, got, tt.want)
		}
	}
	if got := storedMember(cluster.Known{Retired: true}).State; got != status.StateRetired {
		t.Errorf("a retired one is %s", got)
	}
}

func TestOwnFirst(t *testing.T) {
	a, b, c := model.UID{1}, model.UID{2}, model.UID{3}
	tests := []struct {
		name         string
		groups, want [][]model.UID
	}{
		{"nobody has spoken", nil, [][]model.UID{{b}}},
		{"one group", [][]model.UID{{a, b, c}}, [][]model.UID{{a, b, c}}},
		{"two", [][]model.UID{{a}, {b, c}}, [][]model.UID{{b, c}, {a}}},
		{"before it has spoken", [][]model.UID{{a, c}}, [][]model.UID{{b}, {a, c}}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, ownFirst(tt.groups, b)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestRTT: what was measured here counts before what others say.
func TestRTT(t *testing.T) {
	a, b, c := model.UID{1}, model.UID{2}, model.UID{3}
	s := cluster.Status{
		Self: a, Links: []cluster.LinkStatus{{Node: b, RTT: time.Millisecond}},
		Members: []cluster.MemberStatus{{Member: cluster.Member{LSA: wire.LSA{Node: c, Neighbours: []wire.Neighbour{{Node: b, RTT: 250}, {Node: a}}}}}},
	}
	for edge, want := range map[topo.Edge]time.Duration{
		topo.NewEdge(a, b): time.Millisecond, topo.NewEdge(b, c): 250 * time.Microsecond, topo.NewEdge(a, c): 0,
	} {
		if got := rtt(s, edge); got != want {
			t.Errorf("rtt of %v = %v, want %v", edge, got, want)
		}
	}
}

func TestWatchedConn(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	c := newWatchedConn(a)
	select {
	case <-c.closed:
		t.Fatal("closed before it is")
	default:
	}
	for range 2 {
		_ = c.Close() // a second one must do no harm
	}
	<-c.closed
}
