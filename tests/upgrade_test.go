package tests

import (
	"database/sql" //nolint:depguard // the copy is compared with what v0.7 had
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func localhost() []net.IP { return []net.IP{net.IPv4(127, 0, 0, 1)} }

// oldConfig has every key of contract 2, and drivers that this binary or machine lacks.
const oldConfig = `directory: fish_data
node_address: 127.0.0.1:8001
cpu_limit: 4
mem_target: 512MB
cluster_join: ["127.0.0.1:8002"]
tls_key: test-node.key
tls_crt: test-node.crt
tls_ca_crt: ca.crt
node_location: lab
node_identifiers: ["FishName:test-node", "OS:linux"]
ssh_key: test-node_id_ecdsa
default_resource_lifetime: 9000h
drivers:
  - name: test
  - name: docker
    cfg: {is_remote: false, images_path: images, download_password: hidden}
  - name: aws/mac
    cfg: {region: us-west-2, key_id: id, secret_key: hidden, dedicated_pool: {mac: {type: mac2.metal, zones: [us-west-2a], max: 2}}}
  - name: vmx
`

const resourcesText = `{"cpu":2,"cpu_overbook":false,"disks":null,"lifetime":"","multitenancy":false,"network":"","node_filter":[],"ram":4,"ram_overbook":false}`

func definition(driver, options string) string {
	return `[{"driver":"` + driver + `","options":` + options + `,"resources":` + resourcesText + `}]`
}

// TestUpgradeFromV07 starts the binary on what a v0.7 node left when it was
// killed, with its config: nobody notices but by what works better.
func TestUpgradeFromV07(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.user("admin", "old admin", false)
	i.user("jenkins-ci", "old jenkins", true)
	const options = `{"z":12345678901234567890,"a":1.50,"b":"\u003cx\u003e"}`
	const metadata = `{"Z":1.0,"a":12345678901234567890}`
	quick := i.label("z-first", 7, definition("test", options), metadata)
	docker := i.label("a-second", 1, definition("docker", `{"images":[]}`), `{}`)
	mac := i.label("m-third", 1, definition("aws/mac", `{}`), `{}`)
	const ended = "NEW ELECTED ALLOCATED DEALLOCATE DEALLOCATED"
	finished := i.life(quick, "jenkins-ci", ended, "")
	live := i.life(quick, "jenkins-ci", "NEW ELECTED ALLOCATED", "test-abc123")
	container := i.life(docker, "jenkins-ci", "NEW ELECTED ALLOCATED", "fish-0123456789ab")
	host := i.life(mac, "jenkins-ci", "NEW ELECTED ALLOCATED", "i-0abc")
	lost := i.life(quick, "jenkins-ci", "NEW ELECTED RECALLED ALLOCATED", "test-zzz999")
	waiting := i.life(docker, "jenkins-ci", "NEW", "")
	liveFile, lostFile, foreign := i.file("test-abc123"), i.file("test-zzz999"), i.file("test-yours1")
	i.die()
	before := dump(t, i.db)

	n := fish.New(t, fish.Options{
		Dir: i.dir, Config: oldConfig, AdminPassword: "old admin", Env: []string{"DOCKER_HOST=unix:///nonexistent/docker.sock"},
	})
	n.Spawn()
	if err := n.Listening(); err != nil {
		t.Fatal(err)
	}
	// The very first answers, also to a password under the first versions' hash.
	jenkins := n.As("jenkins-ci", "old jenkins")
	for name, app := range map[string]string{"test": live, "docker": container, "aws": host} {
		if s := jenkins.State(app); s.Status != "ALLOCATED" || s.Description != "from v0.7" {
			t.Errorf("first answer for the %s environment: %+v", name, s)
		}
	}
	n.WaitReady() // it knows of other nodes, and waits a while whether one comes
	checkOldNode(t, n, i.node)
	checkOldRows(t, n, []string{quick, docker, mac}, []string{finished, live, container, host, lost, waiting}, options, metadata)

	// What was recalled too late ends now, what nobody asked back stays.
	n.WaitStatus(lost, "DEALLOCATED")
	n.WaitLine("engine at unix:///nonexistent/docker.sock")
	n.WaitLine("dial tcp 127.0.0.1:9")
	wantFiles(t, map[string]bool{lostFile: false, liveFile: true, foreign: true})
	if r := jenkins.Resource(container); r.Identifier != "fish-0123456789ab" {
		t.Errorf("docker's resource = %+v", r)
	}
	n.Deallocate(container)
	jenkins.Deallocate(live)
	n.WaitStatus(live, "DEALLOCATED")
	wantFiles(t, map[string]bool{liveFile: false, foreign: true})
	if s := n.State(container); s.Status != "DEALLOCATE" { // until there is an engine that says it is gone
		t.Errorf("docker's environment is %+v, want DEALLOCATE", s)
	}
	for app, status := range map[string]string{waiting: "NEW", host: "ALLOCATED", finished: "DEALLOCATED"} {
		if s := n.State(app); s.Status != status {
			t.Errorf("%+v, want %s", s, status)
		}
	}

	// A second start finds it as it was left, and needs no second adoption.
	n.Restart()
	jenkins = n.As("jenkins-ci", "old jenkins")
	if s := jenkins.State(host); s.Status != "ALLOCATED" {
		t.Errorf("aws's environment after a restart is %+v", s)
	}
	n.CreateApplication(quick, `{}`)
	n.Stop()
	checkWayBack(t, i, n, before, live)
}

// checkOldRows compares lists and objects with what v0.7 answered.
func checkOldRows(t *testing.T, n *fish.Node, labels, apps []string, options, metadata string) {
	t.Helper()
	uids := func(path string) []string {
		var all []string
		for _, o := range fish.Get[[]struct{ UID string }](n.Client, path) {
			all = append(all, o.UID)
		}
		return all
	}
	if diff := cmp.Diff(labels, uids("/api/v1/label/")); diff != "" {
		t.Errorf("labels in the old order (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(apps, uids("/api/v1/application/")); diff != "" {
		t.Errorf("applications in the old order (-want +got):\n%s", diff)
	}
	got := string(n.Request("GET", "/api/v1/label/"+labels[0], nil).Body)
	wantText := `,"definitions":` + definition("test", options) + `,"metadata":` + metadata + `,"name":"z-first","version":7}` + "\n"
	if !strings.HasPrefix(got, `{"UID":"`+labels[0]+`","created_at":"2026-11-20T10:`) || !strings.HasSuffix(got, wantText) {
		t.Errorf("label = %s, want it byte for byte, ending in %s", got, wantText)
	}
}

func checkOldNode(t *testing.T, n *fish.Node, uid string) {
	t.Helper()
	type node struct {
		UID, Name string
		Location  string `json:"location_name"`
	}
	if nodes := fish.Get[[]node](n.Client, "/api/v1/node/"); len(nodes) != 1 || nodes[0] != (node{uid, fish.NodeName, "lab"}) {
		t.Errorf("nodes = %+v, want the old one, %s", nodes, uid)
	}
}

func wantFiles(t *testing.T, files map[string]bool) {
	t.Helper()
	for path, want := range files {
		_, err := os.Stat(path)
		if got := !errors.Is(err, fs.ErrNotExist); got != want {
			t.Errorf("%s is there: %v (%v), want %v", filepath.Base(path), got, err, want)
		}
	}
}

// checkWayBack does what the README says: the dated copy in the place of the
// database is what v0.7 had, row by row; and the way forward is open again.
func checkWayBack(t *testing.T, i *installation, n *fish.Node, before, live string) {
	t.Helper()
	file := filepath.Join(i.dir, "fish_data", "127.0.0.1:8001", "sqlite.db")
	copies, err := filepath.Glob(file + ".v0.7-*Z")
	if err != nil || len(copies) != 1 {
		t.Fatalf("dated copies = %v, %v, want one", copies, err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(file + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := os.Rename(copies[0], file); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, dump(t, db)); diff != "" {
		t.Errorf("the copy is not what v0.7 had (-want +got):\n%s", diff)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	n.Start()
	if s := n.State(live); s.Status != "ALLOCATED" && s.Status != "DEALLOCATE" && s.Status != "DEALLOCATED" {
		t.Errorf("after the way back and forth: %+v", s)
	}
}

// TestUnknownDriverStaysFatal: a name that no release has is a mistake.
func TestUnknownDriverStaysFatal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "fish.yaml"), []byte("drivers: [{name: dokcer}]\nnode_name: x\napi_address: 127.0.0.1:0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := fish.Run(t, dir, "--cfg", "fish.yaml")
	if got.Code != 1 || !strings.Contains(got.Stderr, `driver "dokcer" is not known`) {
		t.Errorf("exit code %d, stderr %s", got.Code, got.Stderr)
	}
}
