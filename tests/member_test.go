package tests

import (
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const clusterPath = "/api/v1/cluster/"

// clusterStatus is what the route shows of the cluster.
type clusterStatus struct {
	UID     string
	NodeUID string `json:"node_UID"`
	Ready   bool
	Members []struct {
		UID, Name, Address, State, Version, Safety string
		Self, Healthy, Ready, Maintenance, Signer  bool
		Applications                               int
		LastSeen                                   time.Time `json:"last_seen"`
		CertificateExpires                         time.Time `json:"certificate_expires"`
	}
	Links      []struct{}
	Components [][]string
}

// TestClusterOfOne: a node that has no cluster is one of its own, whose members
// are all it names.
func TestClusterOfOne(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "node_name: mac-7\n"})
	app := n.CreateApplication(n.CreateLabel(fish.TestLabel("linux", `{}`)), `{}`)
	n.WaitStatus(app, "ALLOCATED")
	x := fish.Get[clusterStatus](n.Client, clusterPath)
	if len(x.Members) != 1 || len(x.UID) != 16 || !x.Ready || len(x.Components) != 1 {
		t.Fatalf("status is %+v, want one member", x)
	}
	m := x.Members[0]
	if m.Name != "mac-7" || m.UID != x.NodeUID || m.State != "active" || !m.Self || !m.Healthy || !m.Ready || !m.Signer || m.Version == "" || m.Safety != "strict" ||
		m.Applications != 1 || m.Address == "" || time.Until(m.CertificateExpires) < 300*24*time.Hour || time.Since(m.LastSeen) > time.Minute {
		t.Errorf("the member is %+v", m)
	}
	for _, ref := range []string{"mac-7", m.UID} {
		path := "/api/v1/node/" + ref
		want(t, "drain of "+ref, n.Request("POST", path+"/drain", []byte(`{"enable":true}`)), 200, `"enabled":true`)
		want(t, "state of "+ref, n.Request("GET", path+"/drain", nil), 200, `"running":1`)
		want(t, "drivers of "+ref, n.Request("GET", path+"/drivers", nil), 200, `"name":"test"`)
		want(t, "maintenance of "+ref, n.Request("GET", path+"/maintenance?enable=false", nil), 200, `{"enable":false}`)
		want(t, "profile of "+ref, n.Request("GET", path+"/profiling/goroutine?debug=1", nil), 200, "goroutine profile")
	}
	want(t, "drivers of nobody", n.Request("GET", "/api/v1/node/nobody/drivers", nil), 404, `There is no member \"nobody\" in the cluster, there are: mac-7`)
	n.Request("POST", drainPath, []byte(`{"enable":true}`))
	if m := fish.Get[clusterStatus](n.Client, clusterPath).Members[0]; m.State != "inactive" || !m.Maintenance {
		t.Errorf("drained, the member is %+v", m)
	}

	// A user sees who is there, and no more.
	fish.Post[struct{}](n.Client, "/api/v1/user/", `{"name":"bob","password":"secret"}`)
	bob := n.As("bob", "secret")
	if m := fish.Get[clusterStatus](bob, clusterPath).Members[0]; m.Name != "mac-7" || m.State != "inactive" || m.Address != "" || m.Signer || !m.CertificateExpires.IsZero() {
		t.Errorf("a user sees %+v", m)
	}
	want(t, "drivers for a user", bob.Request("GET", "/api/v1/node/mac-7/drivers", nil), 400, "Only 'admin'")
	want(t, "for nobody", n.As("", "").Request("GET", clusterPath, nil), 401, "Unauthorized")
}

// TestReplicatedAlone: there is no second node, and the answer says so at once.
func TestReplicatedAlone(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{})
	label := n.CreateLabel(fish.TestLabel("linux", `{}`))
	got := n.Request("POST", "/api/v1/application/?replicated=1", []byte(`{"label_UID":"`+label+`"}`))
	if got.Status != 200 || got.Header.Get("Aquarium-Replicated") != "false" {
		t.Errorf("%d %s with %q, want 200 with false", got.Status, got.Body, got.Header.Get("Aquarium-Replicated"))
	}
	if got := n.Request("GET", "/api/v1/label/?replicated=1", nil); got.Status != 200 || got.Header.Get("Aquarium-Replicated") != "" {
		t.Errorf("a list is %d with %q", got.Status, got.Header.Get("Aquarium-Replicated"))
	}
	stranger := n.As("", "").Call(fish.Call{Path: "/api/v1/user/", Header: map[string]string{
		"Aquarium-User": "admin", "Aquarium-Request": "1", "Aquarium-Remote": "127.0.0.1:1",
	}})
	if stranger.Status != 401 || strings.Contains(string(stranger.Body), "admin") {
		t.Errorf("a stranger who poses as a member: %d %s, want 401", stranger.Status, stranger.Body)
	}
}
