package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// memberUID is the UID of the test member with this number.
func memberUID(n int) [16]byte { return [16]byte{byte(n), 1, 1, 1, 1, 1, 1, 1, 1} }

// healthy is a member with nothing wrong.
func healthy(n int, name string) apiv1.ClusterMember {
	seen, expires := testNow().Add(-3*time.Second), testNow().Add(300*24*time.Hour)
	ms := int64(12)
	return apiv1.ClusterMember{
		UID: memberUID(n), Name: name, State: stateActive, Healthy: true, Ready: true, LastSeen: &seen, CertificateExpires: &expires,
		ClockOffsetMs: &ms, Version: "v1.2.3-45-gabcdef0", Safety: "strict", Applications: 3, Lag: 7,
	}
}

func link(from, to int, rtt float64, bridge bool) apiv1.ClusterLink {
	return apiv1.ClusterLink{FromUID: memberUID(from), ToUID: memberUID(to), RttMs: rtt, Bridge: bridge}
}

// testCluster is a ring of three, and one behind a bridge.
func testCluster() apiv1.ClusterStatus {
	x := apiv1.ClusterStatus{
		UID: "00112233aabbccdd", NodeUID: memberUID(1), Ready: true,
		Members: []apiv1.ClusterMember{healthy(1, "a"), healthy(2, "b"), healthy(3, "c"), healthy(4, "mac-with-a-name-that-is-long")},
		Links:   []apiv1.ClusterLink{link(1, 2, 0.42, false), link(2, 3, 1.26, false), link(3, 1, 123.4, false), link(2, 4, 0, true)},
	}
	x.Members[0].Self, x.Members[0].Signer, x.Members[1].Maintenance = true, true, true
	x.Components = append(x.Components, []apiv1.UID{memberUID(1), memberUID(2), memberUID(3), memberUID(4)})
	x.Ownership = []apiv1.ClusterOwnership{{Thing: "aws/mac", NodeUID: memberUID(2)}, {Thing: "aws/win"}}
	return x
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestClusterStatusIsDrawn(t *testing.T) {
	f := newFarm(t)
	f.on("GET /cluster/", asJSON(t, testCluster()))
	want := `Cluster 00112233aabbccdd: 4 members, 4 active

MEMBER             STATE   SEEN  VERSION       RUNS  LAG  CLOCK  CERT
a*                 active  3s    v1.2.3-45-g…  3     7    +0.0s  300d
b                  active  3s    v1.2.3-45-g…  3     7    +0.0s  300d
c                  active  3s    v1.2.3-45-g…  3     7    +0.0s  300d
mac-with-a-name-…  active  3s    v1.2.3-45-g…  3     7    +0.0s  300d

Links, with their round trips in ms; === is a bridge
a
├ --- 0.4 --- b
│ └ === mac-with-a-name-t…
└ --- 123 --- c
also b --- 1.3 --- c

Hold ca.key: a
In maintenance: b
Owner of aws/mac: b
Owner of aws/win: nobody yet
`
	if diff := cmp.Diff(want, f.ok("cluster", "status", "--check")); diff != "" {
		t.Errorf("drawn (-want +got):\n%s", diff)
	}
	if got := f.ok("cluster", "status", "-o", "name"); got != "a\nb\nc\nmac-with-a-name-that-is-long\n" {
		t.Errorf("names are %q", got)
	}
	var got apiv1.ClusterStatus
	if err := json.Unmarshal([]byte(f.ok("cluster", "status", "-o", "json")), &got); err != nil || len(got.Links) != 4 {
		t.Errorf("json is %+v, %v", got, err)
	}
}

// TestClusterStatusFitsTheTerminal: the widest values, and a chain of forty.
func TestClusterStatusFitsTheTerminal(t *testing.T) {
	x := apiv1.ClusterStatus{NodeUID: memberUID(1), UID: "00112233aabbccdd"}
	for i := 1; i <= 40; i++ {
		m := healthy(i, fmt.Sprintf("node-%d-%s", i, strings.Repeat("長", 20)))
		ms := int64(-59900)
		m.ClockOffsetMs, m.State, m.Lag, m.Applications = &ms, stateUnreachable, 99999, 9999
		seen := testNow().Add(-9*time.Minute - 59*time.Second)
		m.LastSeen = &seen
		x.Members = append(x.Members, m)
		if i > 1 {
			x.Links = append(x.Links, link(i-1, i, 1234.5, true))
		}
	}
	f := newFarm(t)
	f.on("GET /cluster/", asJSON(t, x))
	drawing, _, _ := strings.Cut(f.ok("cluster", "status"), "\nWrong\n")
	for line := range strings.Lines(drawing) {
		if w := cellWidth(strings.TrimRight(line, "\n")); w > 80 {
			t.Errorf("%d columns: %s", w, line)
		}
	}
	for i := 1; i <= 40; i++ {
		if n := strings.Count(drawing, fmt.Sprintf("node-%d-", i)); n != 2 {
			t.Errorf("node-%d is drawn %d times, want in the table and the tree", i, n)
		}
	}
}

func TestClusterCheck(t *testing.T) {
	week := testNow().Add(7 * 24 * time.Hour)
	past := testNow().Add(-time.Hour)
	ahead := int64(20_000)
	for _, tt := range []struct {
		name   string
		change func(*apiv1.ClusterStatus)
		want   string // nothing: all is well
	}{
		{"well", func(*apiv1.ClusterStatus) {}, ""},
		{"retired", func(x *apiv1.ClusterStatus) { x.Members[1].State = stateRetired }, ""},
		{"in maintenance", func(x *apiv1.ClusterStatus) { x.Members[1].State = stateInactive }, ""},
		{"gone", func(x *apiv1.ClusterStatus) { x.Members[1].State = stateUnreachable }, "b is unreachable, heard of 3s ago"},
		{"stopped", func(x *apiv1.ClusterStatus) { x.Members[1].State, x.Members[1].LastSeen = "stopped", nil }, "b is stopped"},
		{"cut", func(x *apiv1.ClusterStatus) {
			x.Components = [][]apiv1.UID{{memberUID(1), memberUID(2)}, {memberUID(3), memberUID(4)}}
		}, "cut into 2 groups"},
		{"one apart", func(x *apiv1.ClusterStatus) {
			x.Components = [][]apiv1.UID{{memberUID(1), memberUID(2), memberUID(3)}, {memberUID(4)}}
		}, ""},
		{"behind", func(x *apiv1.ClusterStatus) { x.Ready, x.Reason = false, "waits for b" }, "the node that answers has not caught up: waits for b"},
		{"another behind", func(x *apiv1.ClusterStatus) { x.Members[2].Ready = false }, "c has not caught up"},
		{"unhealthy", func(x *apiv1.ClusterStatus) { x.Members[2].Healthy = false }, "c is unhealthy"},
		{"clock", func(x *apiv1.ClusterStatus) { x.Members[2].ClockOffsetMs = &ahead }, "c has a clock that is off by 20s"},
		{"certificate", func(x *apiv1.ClusterStatus) { x.Members[2].CertificateExpires = &week }, "c has a certificate that expires in 7d"},
		{"expired", func(x *apiv1.ClusterStatus) { x.Members[2].CertificateExpires = &past }, "c has a certificate that expired at"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFarm(t)
			x := testCluster()
			tt.change(&x)
			f.on("GET /cluster/", asJSON(t, x))
			if tt.want == "" {
				if out := f.ok("cluster", "status", "--check"); strings.Contains(out, "Wrong") {
					t.Errorf("told %q", out)
				}
				return
			}
			if code, out, told := f.run("cluster", "status", "--check"); code != CodeUnhealthy || !strings.Contains(told, tt.want) || out == "" {
				t.Errorf("exit code %d, %q, %q; want %d with %q", code, out, told, CodeUnhealthy, tt.want)
			}
			if out := f.ok("cluster", "status"); !strings.Contains(out, "Wrong\n") || !strings.Contains(out, tt.want) {
				t.Errorf("told %q, want %q in it", out, tt.want)
			}
		})
	}
}

// TestClusterForUsers: who is not the admin gets members and states.
func TestClusterForUsers(t *testing.T) {
	f := newFarm(t)
	x := testCluster()
	x.Links, x.Ownership, x.Members[0].Signer = nil, nil, false
	for i := range x.Members {
		x.Members[i].CertificateExpires, x.Members[i].ClockOffsetMs = nil, nil
	}
	f.on("GET /cluster/", asJSON(t, x))
	if out := f.ok("cluster", "status", "--check"); strings.Contains(out, "Links") || !strings.Contains(out, "b                  active") {
		t.Errorf("told %q", out)
	}
}

// TestNodesByName: the commands of a node go to the one that is named.
func TestNodesByName(t *testing.T) {
	f := newFarm(t)
	f.on("POST /node/mac 7/drain", drainJSON(true, "0"))
	f.on("GET /node/mac 7/drain", drainJSON(true, "0"))
	f.on("GET /node/mac 7/drivers", `[]`)
	f.on("GET /node/mac 7/maintenance", `{"enable":false}`)
	if out := f.ok("node", "drain", "mac 7", "--persist", "--wait"); !strings.Contains(out, "mac 7") || !strings.Contains(out, "Drained     yes") {
		t.Errorf("told %q", out)
	}
	f.ok("node", "drivers", "mac 7")
	if !strings.HasPrefix(f.lastAsked(), "GET /node/mac%207/drivers ") {
		t.Errorf("asked %q", f.lastAsked())
	}
	f.ok("node", "maintenance", "off", "mac 7", "--shutdown", "--delay", "1m")
	if !strings.HasPrefix(f.lastAsked(), "GET /node/mac%207/maintenance?enable=false&shutdown=true&shutdown_delay=1m0s") {
		t.Errorf("asked %q", f.lastAsked())
	}
	f.on("POST /node/mac 7/drain", drainJSON(false, "0"))
	f.ok("node", "undrain", "mac 7")
	f.fails(CodeUsage, "invalid argument", "node", "maintenance", "mac 7", "on")
	f.fails(CodeUsage, "not both", "node", "drivers", "--all", "mac 7")
	f.fails(CodeUsage, "is empty", "node", "drain", "")
	f.fails(CodeNotFound, "Not Found", "node", "drain", "nobody")
}

func TestAllNodes(t *testing.T) {
	f := newFarm(t)
	x := testCluster()
	x.Members = append(x.Members[:3], healthy(5, "old"))
	x.Members[2].State, x.Members[3].State = stateUnreachable, stateRetired
	f.on("GET /cluster/", asJSON(t, x))
	instance := `[{"driver":"test","in_use":{"cpu":0,"disk":0,"environments":0,"ram":0},"last_error":"","name":"test/%s","retries":0,"since":"2026-11-22T11:59:00Z","state":"ready"}]`
	for _, name := range []string{"a", "b"} {
		f.on("GET /node/"+name+"/drivers", fmt.Sprintf(instance, name))
		f.on("POST /node/"+name+"/drain", drainJSON(false, "0"))
	}
	code, out, told := f.run("node", "drivers", "--all")
	if code != CodeError || !strings.Contains(out, "a     test/a  ready") || !strings.Contains(out, "b     test/b  ready") ||
		!strings.Contains(told, "left out: c is unreachable") || strings.Contains(told, "old") {
		t.Errorf("exit code %d, %q, %q", code, out, told)
	}
	x.Members = x.Members[:2]
	f.on("GET /cluster/", asJSON(t, x))
	if out := f.ok("node", "undrain", "--all", "-o", "name"); out != "a\nb\n" {
		t.Errorf("put back %q", out)
	}
}
