package kill

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// errLost says that no answer came: what was asked may have been done or not.
var errLost = errors.New("no answer")

// need is what one definition of a label takes, and where.
type need struct {
	instance string
	cpu, ram int
}

// label is a Label that was acknowledged.
type label struct {
	uid, name string
	needs     []need
	lifetime  time.Duration // 0: for ever
	fails     bool          // its allocations may fail
	doomed    bool          // it may be deleted
	deleting  bool          // a deletion was sent
	deleted   bool          // a deletion was acknowledged
}

// app is what is known of an Application for sure.
type app struct {
	uid   string
	label *label
	// state is the last one seen, zero if none.
	state fish.State
	// asked says that a deallocate was sent, answered is the status that it
	// returned, empty while none was answered.
	asked    bool
	answered string
	lived    bool          // it was seen ALLOCATED, or had a Resource
	resource fish.Resource // the first seen
	tasks    []*task
	// lostTask says that a task was sent and not answered.
	lostTask bool
	// settled says that it was over, with all its tasks, when the node was at rest.
	settled bool
	// overAtDeath and steadyAtDeath are what was known when the last process died.
	overAtDeath, steadyAtDeath bool
}

// task is what is known of an ApplicationTask for sure.
type task struct {
	UID     string `json:"UID"`
	Task    string `json:"task"`
	When    string `json:"when"`
	Created string `json:"created_at"`
	result  string
	// early says that it was acknowledged before anybody asked for the end.
	early bool
}

// snapshot is the result of the one task that the driver knows (contract 15).
func (t *task) snapshot() string {
	return `{"snapshots":["test-snapshot"],"when":"` + t.When + `"}`
}

func (t *task) ended() bool { return t.result != "" && t.result != "{}" }

// How far a status is in a life. NEW and ELECTED are one step: a grant that a
// restart interrupted before anything was made is declined.
const (
	waiting = iota
	allocated
	requested
	over
)

func progress(status string) int {
	switch status {
	case "NEW", "ELECTED":
		return waiting
	case "ALLOCATED":
		return allocated
	case "DEALLOCATE", "RECALLED":
		return requested
	case "DEALLOCATED", "ERROR":
		return over
	}
	return -1
}

func (a *app) over() bool { return progress(a.state.Status) == over }

// mayEnd reports whether there is a reason for it to end.
func (a *app) mayEnd() bool { return a.asked || a.label.lifetime > 0 }

// mayFail reports whether there is a reason for it to end in ERROR.
func (a *app) mayFail() bool { return !a.lived && (a.label.fails || a.label.deleting) }

// steady reports whether it has to stay ALLOCATED: nobody asked for its end.
func (a *app) steady() bool { return a.state.Status == "ALLOCATED" && !a.mayEnd() }

// observe takes in a state that the node answered. Its error says which
// promise that breaks.
func (a *app) observe(s fish.State) error {
	step := progress(s.Status)
	was := progress(a.state.Status)
	switch {
	case s.ApplicationUID != a.uid:
		return a.broken("a state of %s was answered", s.ApplicationUID)
	case step < 0:
		return a.broken("unknown status %q", s.Status)
	case step < was:
		return a.broken("fell back to %s (%s)", s.Status, s.Description)
	case step == was && step >= allocated && s != a.state:
		return a.broken("got another row: %+v, had %+v", s, a.state)
	case a.answered != "" && step < requested:
		return a.broken("lost an acknowledged deallocate: %s", s.Status)
	case a.lived && step == waiting:
		return a.broken("was seen alive and is %s", s.Status)
	case s.Status == "ERROR" && !a.mayFail():
		return a.broken("is in ERROR: %s", s.Description)
	case step >= requested && s.Status != "ERROR" && !a.mayEnd():
		return a.broken("ended though nobody asked: %s (%s)", s.Status, s.Description)
	case s.Status == "RECALLED" && a.lived:
		return a.broken("was seen alive and is RECALLED")
	}
	a.state = s
	a.lived = a.lived || step == allocated || s.Status == "DEALLOCATE"
	return nil
}

// answer takes in what an acknowledged deallocate returned.
func (a *app) answer(s fish.State) error {
	if a.answered != "" {
		return a.broken("took a deallocate twice")
	}
	if progress(s.Status) != requested {
		return a.broken("answered a deallocate with %s", s.Status)
	}
	a.answered = s.Status
	return a.observe(s)
}

// hold takes in a Resource: an Application has one environment in its life.
func (a *app) hold(r fish.Resource) error {
	if r.ApplicationUID != a.uid {
		return a.broken("has the resource of %s", r.ApplicationUID)
	}
	if a.resource.UID != "" && (a.resource.UID != r.UID || a.resource.Identifier != r.Identifier) {
		return a.broken("has resource %s %s, had %s %s", r.UID, r.Identifier, a.resource.UID, a.resource.Identifier)
	}
	if a.answered == "RECALLED" {
		return a.broken("was recalled and has resource %s", r.UID)
	}
	a.resource, a.lived = r, true
	return nil
}

// seen takes in a task as the node answered it.
func (a *app) seen(t *task, result string) error {
	switch {
	case t.ended() && result != t.result:
		return a.broken("task %s had the result %s and has %s", t.UID, t.result, result)
	case result == "{}" || result == t.snapshot() && t.Task == "snapshot":
	case !strings.HasPrefix(result, `{"error":`):
		return a.broken("task %s has the result %s", t.UID, result)
	}
	t.result = result
	return nil
}

// judge says what is wrong with the tasks of an Application that is over: one
// that had to run before the end and did not.
func (a *app) judge() error {
	for _, t := range a.tasks {
		had := t.Task == "snapshot" && t.When == "DEALLOCATE" && t.early && a.lived && a.state.Status == "DEALLOCATED"
		if had && t.result != t.snapshot() {
			return a.broken("task %s of its release ended with %s", t.UID, t.result)
		}
	}
	return nil
}

func (a *app) broken(format string, args ...any) error {
	return fmt.Errorf("application %s (label %s, last seen %s, asked %v, answered %q): %s",
		a.uid, a.label.name, a.state.Status, a.asked, a.answered, fmt.Sprintf(format, args...))
}
