package lifecycle

import (
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// Action is what a runner has to do next.
type Action int

// The actions, in the order in which a life goes through them.
const (
	// Done: nothing is left to do here.
	Done Action = iota
	// Wait for an event, at most Step.Wait.
	Wait
	// Decline the grant: nothing was made and nothing will be.
	Decline
	// Finish a grant that was recalled before its intent was stored.
	Finish
	// Withdraw closes an allocation that nothing was made for, and declines. What
	// an earlier process may have made of it is removed first.
	Withdraw
	// TakeBack stores an allocation anew that an older database does not know.
	TakeBack
	// Complete adds what the label says to an allocation that was taken up
	// before the label was known.
	Complete
	// Search looks whether a driver has what this node may have made and forgot.
	Search
	// Intend stores the allocation before anything is made.
	Intend
	// Allocate makes the environment, or completes one by its token.
	Allocate
	// Inspect looks whether the environment of an earlier process lives.
	Inspect
	// Fail gives the allocation up, with a reason for the ERROR row.
	Fail
	// Expire asks for the release, with a reason.
	Expire
	// RunTask runs one task.
	RunTask
	// Release removes the environment and ends the grant.
	Release
	// EndTasks gives every task that can not run any more its error.
	EndTasks
)

// Step is one action with what it needs.
type Step struct {
	Action     Action
	Epoch      uint32
	Allocation model.Allocation // Allocate and later
	Reason     string           // Decline, Fail, Expire: for the row's description; Release: for the log; Wait: for the user, "" if it is no trouble
	Task       model.ApplicationTask
	Wait       time.Duration // Wait; 0 = until an event
}

// Facts is what a runner knows beside the entry.
type Facts struct {
	Node model.UID
	// Heir is as in Options.
	Heir func(model.UID) model.UID
	// Promised says that this process cast the vote that the grant in force was
	// decided on, Promise how long ago, StartBy for how long that counts.
	Promised         bool
	Promise, StartBy time.Duration
	// Untouched is the epoch whose intent this process stored and of which it
	// has asked no driver for anything; 0 for none.
	Untouched uint32
	// Intended is the epoch whose intent this process stored; 0 for none.
	Intended uint32
	// Unmade is the epoch whose intent this process stored and for which it has
	// asked no driver to make anything, though perhaps for images; 0 for none.
	Unmade uint32
	// Imageless is the epoch whose images were found missing while the node
	// drains; 0 for none.
	Imageless uint32
	// Draining says that the node takes nothing new.
	Draining bool
	// Settled says that no other node can have been granted it meanwhile.
	Settled bool
	// Lapsed says that this node may have forgotten what it began and ended
	// before this process cast the votes that count as Promised.
	Lapsed bool
	// Unsearched says that no driver was asked yet whether it has anything of the
	// application, and, where this node forgot something, that none has answered;
	// where nothing was forgotten a recalled application needs no answer.
	Unsearched bool
	// Writable says that the store takes writes; nothing is started else.
	Writable bool
	// Doubt says whether it may have been run since, by a node whose database
	// was then put back.
	Doubt store.Doubt
	// Known says that Presence and Ending are: this process made the
	// environment or looked at it.
	Known    bool
	Presence drivers.Presence
	Ending   string
	// Age is how long the environment lives, Lifetime how long it may; 0 = for
	// ever.
	Age, Lifetime time.Duration
	// Allocating is how long ago the intent was stored, or its images were there
	// where the driver manages them.
	Allocating, AllocateTimeout time.Duration
	// Releasing is how long ago the release was asked for.
	Releasing, TaskTimeout time.Duration
	// LoggedIn says that somebody has a session in the environment, LeaveTime how
	// long after the request the release waits for its end.
	LoggedIn  bool
	LeaveTime time.Duration
	// Resting are tasks not to be tried before their pause is over, the
	// shortest of which is Rest.
	Resting map[model.UID]bool
	Rest    time.Duration
}

// recheck bounds a wait for the end of a lifetime: timers stand still while a
// machine sleeps, its boot clock does not (contract 14; design: every 30 s).
const recheck = 30 * time.Second

// Next decides what the node does next for an application. It is pure and
// complete: every state that a crash can leave leads to the end or to a wait
// with a known way out.
func Next(e *model.Entry, f Facts) Step {
	if epoch, ok := forgotten(e, f.Node); ok {
		return Step{Action: TakeBack, Epoch: epoch}
	}
	for _, a := range e.OpenAllocations() {
		if !inForce(e, a.Epoch, f.Node) {
			if a.Epoch == f.Untouched {
				return Step{Action: Withdraw, Epoch: a.Epoch, Allocation: a, Reason: "Another grant came after it"}
			}
			return Step{Action: Release, Epoch: a.Epoch, Allocation: a, Reason: "its grant is not in force"}
		}
	}
	if epoch, ok := pastGrant(e, f.Node); ok {
		if f.Lapsed {
			return nextInLapse(epoch)
		}
		return Step{Action: Decline, Epoch: epoch, Reason: "Another grant is in force"}
	}
	if epoch, ok := executes(e, f.Node); ok {
		return nextOfGrant(e, f, epoch)
	}
	if endsTasks(e, f.Node, f.Heir) {
		return Step{Action: EndTasks}
	}
	return Step{Action: Done}
}

// Concerns reports whether the node has something to do, or to wait for, for
// the application. Nil is a heir for nobody.
func Concerns(e *model.Entry, node model.UID, heir func(model.UID) model.UID) bool {
	_, past := pastGrant(e, node)
	_, lost := forgotten(e, node)
	_, executor := executes(e, node)
	return past || lost || len(e.OpenAllocations()) > 0 || executor || endsTasks(e, node, heir)
}

// inForce reports whether what the node holds by a grant of the epoch is what
// the application is to run by.
func inForce(e *model.Entry, epoch uint32, node model.UID) bool {
	if ended(e, epoch) || e.Fold.Overtaken(epoch) {
		return false
	}
	if row, ok := ungranted(e); ok {
		return row.Epoch == epoch && row.NodeUID == node
	}
	g := e.Fold.Grant
	return g != nil && g.Epoch == epoch && (g.Decision == nil || g.Decision.Winner == node)
}

// executes is the epoch by which the node has to run the application: that of
// the grant in force, if it names the node and has not ended.
func executes(e *model.Entry, node model.UID) (epoch uint32, ok bool) {
	if row, ok := ungranted(e); ok {
		return row.Epoch, row.NodeUID == node && !ended(e, row.Epoch)
	}
	g := e.Fold.Grant
	if g == nil || g.Decision == nil || g.Decision.Winner != node || ended(e, g.Epoch) {
		return 0, false
	}
	return g.Epoch, true
}

// ungranted is the ALLOCATED row in force whose grant is not known here: on a
// restored database the node's own rows may come back before those of the
// arbiter. Who wrote it was granted it.
func ungranted(e *model.Entry) (row model.ApplicationState, ok bool) {
	allocated, grant := e.Fold.Allocated, e.Fold.Grant
	if allocated == nil || grant != nil && grant.Epoch == allocated.Epoch {
		return model.ApplicationState{}, false
	}
	return *allocated, true
}

// pastGrant is the epoch of a grant that names the node, that it never took up
// and that another one has overtaken: it has to be declined, as else nobody
// knows that nothing will come of it.
func pastGrant(e *model.Entry, node model.UID) (epoch uint32, ok bool) {
	for i := range e.States {
		s := &e.States[i]
		if s.Status != model.StatusElected || s.Decision == nil || s.Decision.Winner != node || inForce(e, s.Epoch, node) {
			continue
		}
		if _, intended := e.Allocation(s.Epoch); !intended && !ended(e, s.Epoch) {
			return s.Epoch, true
		}
	}
	return 0, false
}

// endsTasks reports whether the node has to end the tasks of an application
// that is over: who wrote its end does, or who closed it; one of all nodes.
func endsTasks(e *model.Entry, node model.UID, heir func(model.UID) model.UID) bool {
	if !e.Fold.Final && !e.Fold.Closed || len(unendedTasks(e)) == 0 {
		return false
	}
	owner := e.Application.Arbiter
	if e.Fold.Final && e.Fold.Current.NodeUID != model.NilUID {
		owner = e.Fold.Current.NodeUID
	}
	if heir != nil {
		owner = heir(owner)
	}
	return owner == node
}

// ended reports whether the executor wrote the last row of the epoch.
func ended(e *model.Entry, epoch uint32) bool {
	for i := range e.States {
		s := &e.States[i]
		if s.Epoch != epoch {
			continue
		}
		switch s.Status {
		case model.StatusDeallocated, model.StatusError, model.StatusDeclined:
			return true
		}
	}
	return false
}

func nextOfGrant(e *model.Entry, f Facts, epoch uint32) Step {
	a, intended := e.Allocation(epoch)
	if !intended {
		return nextWithoutIntent(e, f, epoch)
	}
	step := Step{Epoch: epoch, Allocation: a}
	switch {
	case a.Failure != "":
		step.Action, step.Reason = Release, a.Failure
	case e.Fold.Request != nil || e.Fold.Final:
		return afterSessions(e, f, nextOfRelease(e, f, step))
	case e.Fold.Allocated == nil:
		return nextOfAllocation(f, step)
	default:
		return nextOfLife(e, f, step)
	}
	return step
}

func nextWithoutIntent(e *model.Entry, f Facts, epoch uint32) Step {
	switch {
	case f.Unsearched && !f.Promised:
		return Step{Action: Search, Epoch: epoch}
	case f.Lapsed && !f.Promised:
		return nextInLapse(epoch)
	case e.Fold.Final: // by another grant: its last row stays the last
		return Step{Action: Decline, Epoch: epoch, Reason: "The application ended by another grant"}
	case e.Fold.Request != nil:
		return Step{Action: Finish, Epoch: epoch, Reason: "Recalled before anything was allocated"}
	case !f.Promised:
		return Step{Action: Decline, Epoch: epoch, Reason: "Node restarted since its vote, or took the vote back"}
	case f.Promise > f.StartBy:
		return Step{Action: Decline, Epoch: epoch, Reason: tooLate(f)}
	case !f.Writable:
		return Step{Action: Wait, Wait: time.Second}
	}
	return Step{Action: Intend, Epoch: epoch}
}

// tooLate says that a grant was not taken up in time.
func tooLate(f Facts) string {
	return fmt.Sprintf("Grant came too late: %v after the vote, it counts for %v", f.Promise.Round(time.Second), f.StartBy)
}

func nextOfAllocation(f Facts, step Step) Step {
	if doubted, ok := nextInDoubt(f, step); ok {
		return doubted
	}
	drained := f.Draining && f.Imageless == step.Epoch && step.Allocation.Identifier == ""
	unmade := f.Unmade == step.Epoch
	switch {
	case drained && !unmade && !f.Known:
		step.Action = Inspect
	case drained && (unmade || f.Presence != drivers.Running):
		step.Action, step.Reason = Withdraw, "Node is in maintenance, and the images were not there yet"
	case f.Allocating >= f.AllocateTimeout:
		step.Action = Fail
		step.Reason = fmt.Sprintf("Driver allocate resource error:not done within allocate_timeout %v", f.AllocateTimeout)
	case !f.Writable:
		step.Action, step.Wait = Wait, time.Second
	default:
		step.Action = Allocate
	}
	return step
}

// nextInDoubt is what comes before an allocation that might be none of this
// node's any more.
func nextInDoubt(f Facts, step Step) (Step, bool) {
	untouched := step.Epoch == f.Untouched
	unsettled := !untouched && !f.Settled
	switch {
	case f.forgets(step.Epoch):
		return nextInLapse(step.Epoch), true // the end of it may be forgotten
	case untouched && (!f.Promised || f.Promise > f.StartBy):
		step.Action, step.Reason = Withdraw, tooLate(f)
	case f.Doubt == store.Dropped:
		step.Action, step.Reason = Fail, "Was being made in a copy of the database that was put back, and may have been run since"
	case (unsettled || f.Doubt == store.Doubtful) && !f.Known:
		step.Action = Inspect
	case unsettled && f.Presence != drivers.Running:
		step.Action, step.Wait = Wait, time.Second // another node may run it since: the others have to be heard
	case f.Doubt == store.Doubtful && f.Presence != drivers.Running:
		step.Action, step.Wait = Wait, recheck // it would be made again: an operator has to confirm
	default:
		return step, false
	}
	return step, true
}

func nextOfLife(e *model.Entry, f Facts, step Step) Step {
	switch {
	case !f.Known:
		step.Action = Inspect
	case f.Presence == drivers.Ended:
		step.Action, step.Reason = Expire, "Environment ended by itself: "+f.Ending
	case f.Presence != drivers.Running:
		step.Action, step.Reason = Expire, "Environment is gone"
	case f.Lifetime > 0 && f.Age >= f.Lifetime:
		step.Action, step.Reason = Expire, "Resource lifetime timeout reached:"+f.Lifetime.String()
	default:
		return nextOfTasks(e, f, step, model.StatusAllocated, untilExpiry(f))
	}
	return step
}

// endOf is why the application is to end, or has.
func endOf(e *model.Entry) string {
	if e.Fold.Request != nil {
		return e.Fold.Request.Description
	}
	return e.Fold.Current.Description
}

func untilExpiry(f Facts) time.Duration {
	if f.Lifetime <= 0 {
		return 0
	}
	return min(f.Lifetime-f.Age, recheck)
}

func nextOfRelease(e *model.Entry, f Facts, step Step) Step {
	step.Action, step.Reason = Release, endOf(e)
	if e.Fold.Allocated == nil || f.Releasing >= f.TaskTimeout {
		return step
	}
	if len(tasksFor(e, model.StatusDeallocate)) == 0 {
		return step
	}
	// A task may come when a release has begun already: what that left, if
	// anything, is nothing to run a task on.
	switch {
	case !f.Known:
		step.Action = Inspect
		return step
	case f.Presence == drivers.Absent || f.Presence == drivers.Partial:
		return step
	}
	return nextOfTasks(e, f, step, model.StatusDeallocate, f.TaskTimeout-f.Releasing)
}

// afterSessions lets whoever is logged in save what he has, before the
// environment is removed.
func afterSessions(e *model.Entry, f Facts, step Step) Step {
	left := f.LeaveTime - f.Releasing
	if step.Action != Release || e.Fold.Request == nil || !f.LoggedIn || left <= 0 {
		return step
	}
	step.Action, step.Wait = Wait, left
	step.Reason = "Somebody is logged in to the environment, which is removed when he has left, or his time to leave is over"
	return step
}

// nextOfTasks runs the oldest task that is not resting, or waits at most wait
// (0 = until an event). A standing one waits for all that are older, and all
// that are younger wait for it.
func nextOfTasks(e *model.Entry, f Facts, step Step, when model.Status, wait time.Duration) Step {
	step.Action, step.Reason, step.Wait = Wait, "", wait
	for i, t := range tasksFor(e, when) { // at the second, all older ones rest
		if !f.Resting[t.UID] && (i == 0 || !standing(t.Task)) {
			step.Action, step.Task = RunTask, t
			return step
		}
		if wait == 0 || f.Rest < step.Wait {
			step.Wait = f.Rest
		}
		if standing(t.Task) {
			break
		}
	}
	return step
}

// tasksFor are the tasks that are due in the status, oldest first.
func tasksFor(e *model.Entry, when model.Status) []model.ApplicationTask {
	var due []model.ApplicationTask
	for _, t := range e.Tasks {
		if t.When == string(when) && !t.Ended() {
			due = append(due, t)
		}
	}
	return due
}

func unendedTasks(e *model.Entry) []model.ApplicationTask {
	var open []model.ApplicationTask
	for _, t := range e.Tasks {
		if !t.Ended() {
			open = append(open, t)
		}
	}
	return open
}
