//go:build linux

package docker

import (
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/tests/dockerd"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

func cores() int { return runtime.NumCPU() }

// TestOutlivesTheNode: whatever happens to the node, its container goes on, and
// the node finds it again.
func TestOutlivesTheNode(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	e := s.run(s.label("outlives", report, ""), `{}`)
	before := e.inspect().ID
	for _, end := range []func(){func() { s.Stop() }, func() { s.Kill() }} {
		end()
		if e.state() != "running" {
			t.Fatal("the container ended with the node")
		}
		s.Start()
		if got := s.State(e.app); got.Status != "ALLOCATED" || e.inspect().ID != before {
			t.Errorf("after a restart the application is %+v, its container %s, want that of before", got, e.inspect().ID)
		}
	}
	e.release()
	s.nothingLeft()
}

// TestEndsWhileTheNodeIsDown: it is noticed afterwards.
func TestEndsWhileTheNodeIsDown(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	label := s.label("ends", "wait", "")
	ended, removed := s.run(label, `{}`), s.run(label, `{}`)
	s.Kill()
	dockerd.Must[any](s.engine, "POST", "/containers/"+ended.Identifier+"/kill", nil)
	dockerd.Must[any](s.engine, "DELETE", "/containers/"+removed.Identifier+"?force=1", nil)
	s.Start()
	ended.gone()
	removed.gone()
	s.nothingLeft()
}

// TestEngineDies: a dead engine is no dead environment. When it is back the node
// looks what became of them, and can make new ones.
func TestEngineDies(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	label := s.label("waits", "print ready; wait", "")
	lost := s.run(label, `{}`)
	s.engine.Kill()
	if got := s.State(lost.app); got.Status != "ALLOCATED" {
		t.Errorf("while the engine is dead the application is %+v, want ALLOCATED", got)
	}
	early := s.CreateApplication(label, `{}`) // perhaps before the node knows
	s.WaitLine("engine does not answer")
	late := s.CreateApplication(label, `{}`)
	s.engine.Start() // which ends the containers that it finds
	lost.gone()
	for _, app := range []string{early, late} {
		s.WaitStatus(app, "ALLOCATED")
		s.Deallocate(app)
		s.WaitStatus(app, "DEALLOCATED")
	}
	stopped := s.run(label, `{}`)
	s.engine.Restart() // which stops it
	stopped.gone()
	s.run(label, `{}`).release()
	s.nothingLeft()
}

// TestContainerdDies: an engine that answers and can start nothing wins nothing,
// and its user is told why.
func TestContainerdDies(t *testing.T) {
	t.Parallel()
	e := dockerd.Start(t, dockerd.Options{Containerd: true})
	s := start(t, e, config(e, ""))
	label := s.label("waits", "wait", "")
	e.KillContainerd()
	s.WaitLine("engine does not answer")
	app := s.CreateApplication(label, `{}`)
	fish.Eventually(t, "the reason is told", func() bool {
		return strings.Contains(string(s.Request(http.MethodGet, "/api/v1/application/"+app+"/explain", nil).Body), "its containerd does not answer")
	})
	if got := s.State(app); got.Status != "NEW" {
		t.Errorf("without a containerd the application is %+v, want NEW", got)
	}
	e.StartContainerd()
	s.WaitStatus(app, "ALLOCATED")
	s.Deallocate(app)
	s.WaitStatus(app, "DEALLOCATED")
	s.nothingLeft()
}

// TestEngineLivesOnWithItsContainers: with --live-restore its death is nobody's end.
func TestEngineLivesOnWithItsContainers(t *testing.T) {
	t.Parallel()
	e := dockerd.Start(t, dockerd.Options{Flags: []string{"--live-restore"}})
	s := start(t, e, config(e, ""))
	lives := s.run(s.label("lives", "print ready; wait", ""), `{}`)
	lives.prints("ready")
	for _, again := range []func(){func() { e.Restart() }, func() { e.Kill(); e.Start() }} {
		again()
		fish.Eventually(t, "the container is there", func() bool { return lives.state() == "running" })
		if got := s.State(lives.app); got.Status != "ALLOCATED" {
			t.Errorf("after its engine's restart the application is %+v, want ALLOCATED", got)
		}
	}
	lives.release()
	s.nothingLeft()
}

// TestNodeStartsBeforeItsEngine: it waits for it, and says so.
func TestNodeStartsBeforeItsEngine(t *testing.T) {
	t.Parallel()
	e := dockerd.Start(t, dockerd.Options{})
	e.Stop()
	s := start(t, e, config(e, ""))
	app := s.CreateApplication(s.label("waits", "wait", ""), `{}`)
	if got := s.State(app); got.Status != "NEW" {
		t.Errorf("without an engine the application is %+v, want NEW", got)
	}
	e.Start()
	s.WaitStatus(app, "ALLOCATED")
	s.Deallocate(app)
	s.WaitStatus(app, "DEALLOCATED")
	s.nothingLeft()
}

// TestFrozenEngine: a request is not lost in an engine that hangs, and neither
// is the node.
func TestFrozenEngine(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	label := s.label("waits", "wait", "")
	e := s.run(label, `{}`)
	s.engine.Freeze()
	next := s.CreateApplication(label, `{}`)
	s.Deallocate(e.app)
	if got := s.State(e.app); got.Status != "DEALLOCATE" {
		t.Errorf("while the engine hangs the application is %+v, want DEALLOCATE", got)
	}
	s.Stop() // is not held up by it
	s.engine.Thaw()
	s.Start()
	e.gone()
	s.WaitStatus(next, "ALLOCATED")
	s.Deallocate(next)
	s.WaitStatus(next, "DEALLOCATED")
	s.nothingLeft()
}

// TestSomebodyElses: what others made in the engine is theirs, also under a name
// or on a network of ours.
func TestSomebodyElses(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	for _, args := range [][]string{
		{"run", "-d", "--name", "theirs", "guest:1"}, {"run", "-d", "--name", "fish-0123456789ab", "guest:1"},
		{"volume", "create", "theirs"}, {"network", "create", "aquarium-theirs"},
	} {
		if out, err := s.engine.Docker(args...); err != nil {
			t.Fatal(err, out)
		}
	}
	e := s.run(s.label("ours", "wait", ""), `{}`)
	if out, err := s.engine.Docker("network", "connect", "aquarium-hostonly", "theirs"); err != nil {
		t.Fatal(err, out)
	}
	e.release()
	s.Kill()
	s.Start()
	s.run(s.label("again", "wait", ""), `{}`).release()
	left := strings.Join(s.left(), ", ")
	for _, want := range []string{
		"container theirs running", "container fish-0123456789ab running", "network aquarium-theirs", "network aquarium-hostonly", "volume theirs",
	} {
		if !strings.Contains(left, want) {
			t.Errorf("left are %s, want %s as well", left, want)
		}
	}
}
