//go:build linux

package docker

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// report is what a guest says of its own environment before it waits.
const report = "env; addresses; status; get $AQUARIUM_FISH_METADATA_URL?format=env; print ready; wait"

// TestLife is the whole of it: a container runs with what it was promised, reads
// its own metadata and no other's, and is gone.
func TestLife(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	label := s.label("life", report, "")
	a := s.run(label, `{"GREETING":"hello a","LD_PRELOAD":"evil.so","NESTED":{"in":[1]}}`)
	b := s.run(label, `{"GREETING":"hello b"}`)
	for _, e := range []environment{a, b} {
		e.prints("ready")
		if want := "fish-" + strings.ReplaceAll(e.HWAddr, ":", ""); e.Identifier != want || len(want) != 17 {
			t.Errorf("the identifier is %s, and the hardware address %s", e.Identifier, e.HWAddr)
		}
		if !strings.Contains(e.printed(), e.HWAddr+" ["+e.IPAddr+"/") {
			t.Errorf("the resource has %s %s, the container says:\n%s", e.HWAddr, e.IPAddr, e.printed())
		}
		if got := e.value("AQUARIUM_FISH_APPLICATION_UID"); got != e.app {
			t.Errorf("the environment is of application %s, want %s", got, e.app)
		}
		if !e.says("NoNewPrivs:\t1\n") || !e.says("CapAmb:\t0000000000000000\n") {
			t.Errorf("rights: %s", e.printed())
		}
	}
	if a.IPAddr == b.IPAddr || a.HWAddr == b.HWAddr {
		t.Errorf("two environments have one address: %+v, %+v", a.Resource, b.Resource)
	}
	// The variables come first, the answer of the metadata API after them.
	for _, want := range []string{"GREETING=hello a\n", "GREETING='hello a'\n", "NESTED_in='[1]'\n", "NESTED_in=[1]\n"} {
		if !a.says(want) {
			t.Errorf("the environment has no %q:\n%s", want, a.printed())
		}
	}
	if a.says("LD_PRELOAD") || strings.Contains(a.printed(), "hello b") {
		t.Errorf("the environment has what it must not have:\n%s", a.printed())
	}
	a.limited()
	a.release()
	if b.state() != "running" {
		t.Error("the other environment is gone with the first")
	}
	b.release()
	s.nothingLeft()
}

// limited checks the bounds of a container of 1 cpu and 1 GB.
func (e environment) limited() {
	e.t.Helper()
	h := e.inspect().HostConfig
	if h.Memory != 1<<30 || h.MemorySwap != 1<<30 || h.NanoCPUs != 1e9 || h.PidsLimit <= 0 || h.OomScoreAdj <= 0 {
		e.t.Errorf("limits: %+v", h)
	}
	if fmt.Sprint(h.CapDrop) != "[ALL]" || !strings.Contains(fmt.Sprint(h.SecurityOpt), "no-new-privileges") || h.LogConfig.Config["max-size"] == "" {
		e.t.Errorf("rights and log: %+v", h)
	}
}

// TestEndsByItself: the application ends, and its end says how.
func TestEndsByItself(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	for _, tt := range []struct{ name, script, says string }{
		{"exits", "print bye; exit 3", "exit code 3"},
		{"succeeds", "print bye; exit 0", "exit code 0"},
		{"dies", "crash", "exit code 134"},
		{"out of memory", "allocate 2000; wait", "emory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			app := s.CreateApplication(s.label(tt.name, tt.script, ""), `{}`)
			fish.Eventually(t, "the application ends", func() bool { return s.State(app).Status == "DEALLOCATED" })
			stdout, _ := s.Lines()
			if !strings.Contains(strings.Join(stdout, "\n"), tt.says) {
				t.Errorf("the node does not say %q", tt.says)
			}
		})
	}
	s.nothingLeft()
}

// TestKilledFromOutside: somebody else ends or removes the container.
func TestKilledFromOutside(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	label := s.label("waits", "wait", "")
	for _, call := range []struct{ method, path string }{
		{"POST", "/containers/%s/kill"}, {"POST", "/containers/%s/stop?t=5"}, {"DELETE", "/containers/%s?force=1"},
	} {
		e := s.run(label, `{}`)
		if status, answer, err := s.engine.Call(call.method, fmt.Sprintf(call.path, e.Identifier), nil); err != nil || status/100 != 2 {
			t.Fatalf("%+v: %d %s %v", call, status, answer, err)
		}
		e.gone()
	}
	s.nothingLeft()
}

// TestManyAtOnce: twenty environments, none with an error, and none is left.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	label := s.label("many", "print ready; wait", "")
	const many = 20
	var apps [many]string
	var wg sync.WaitGroup
	for i := range apps {
		wg.Go(func() { apps[i] = s.CreateApplication(label, `{}`) })
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, app := range apps {
		s.WaitStatus(app, "ALLOCATED")
		r := s.Resource(app)
		seen[r.Identifier], seen[r.IPAddr] = true, true
	}
	if len(seen) != 2*many {
		t.Errorf("%d applications have %d identifiers and addresses", many, len(seen))
	}
	for _, app := range apps {
		s.Deallocate(app)
	}
	for _, app := range apps {
		s.WaitStatus(app, "DEALLOCATED")
	}
	s.nothingLeft()
}

// TestNetworks: an environment reaches nothing outside unless its label says
// `nat`, and no other one of the general networks.
func TestNetworks(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	outside := s.engine.Listen("127.0.0.1:0").Addr().String() // the machine's own loopback: nobody's business
	script := "once http://" + outside + "/; print asked; listen 0.0.0.0:80"
	inner := s.run(s.label("inner", script, ""), `{}`)
	other := s.run(s.label("other", "once http://"+inner.IPAddr+"/; print asked; wait", ""), `{}`)
	team := s.run(s.label("team", "listen 0.0.0.0:80", `,"network":"team"`), `{}`)
	mate := s.run(s.label("mate", "get http://"+team.IPAddr+"/; print asked; wait", `,"network":"team"`), `{}`)
	outer := s.run(s.label("outer", "addresses; print asked; wait", `,"network":"nat"`), `{}`)
	for _, e := range []environment{inner, other, mate, outer} {
		e.prints("asked")
	}
	for name, e := range map[string]environment{"the machine's loopback": inner, "another environment": other} {
		if !e.says("FAILED") {
			t.Errorf("an environment reaches %s:\n%s", name, e.printed())
		}
	}
	if !mate.says("hello") {
		t.Errorf("two environments of one named network do not reach each other:\n%s", mate.printed())
	}
	for network, internal := range map[string]bool{"aquarium-hostonly": true, "aquarium-nat": false, "aquarium-team": true} {
		if got := dockerd.Must[struct{ Internal bool }](s.engine, "GET", "/networks/"+network, nil).Internal; got != internal {
			t.Errorf("network %s is internal: %v, want %v", network, got, internal)
		}
	}
	for _, e := range []environment{inner, other, team, mate, outer} {
		e.release()
	}
	s.nothingLeft()
}

// TestOneLedger: the local drivers of a node share what the machine has.
func TestOneLedger(t *testing.T) {
	t.Parallel()
	e := dockerd.Start(t, dockerd.Options{})
	s := start(t, e, strings.Replace(config(e, ""), "    cpu_alter: 64\n", "    cpu_alter: 0\n", 1)+
		"- name: native\n  cfg: {isolation: process}\n")
	native := s.CreateLabel(fish.DriverLabel("native", "native", `{"entry":"exec sleep 1000"}`))
	docker := s.label("docker", "wait", "")
	var apps, waiting []string
	for _, label := range []string{native, docker} {
		app := s.CreateApplication(label, `{}`)
		s.WaitStatus(app, "ALLOCATED")
		apps = append(apps, app)
	}
	for range 64 { // more than any machine of a test has
		waiting = append(waiting, s.CreateApplication(docker, `{}`))
	}
	fish.Eventually(t, "the machine is full", func() bool {
		running := 0
		for _, app := range waiting {
			if s.State(app).Status == "ALLOCATED" {
				running++
			}
		}
		return running+len(apps) >= cores()
	})
	late := s.CreateApplication(native, `{}`)
	if n := len(s.engine.Containers()); n > cores()-1 {
		t.Errorf("%d containers run beside a process on %d cores", n, cores())
	}
	if got := s.State(late); got.Status != "NEW" {
		t.Errorf("one more is %+v, want NEW", got)
	}
	for _, app := range append(append(apps, late), waiting...) {
		s.Deallocate(app)
	}
	s.nothingLeft()
}
