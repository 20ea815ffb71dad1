package wire

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Call is one request, as it came and as it was answered.
type Call struct {
	N         int // 1 for the first one
	Time      time.Time
	Service   string // "ec2", "sts", "kms" or "servicequotas"
	Action    string // such as "RunInstances"
	Params    map[string]string
	KeyID     string // access key id of its signature; empty if it has none
	RequestID string
	// Status is that of HTTP; 0 while there is no answer, and if there was none.
	Status int
	Code   string // of the error
	Fault  string // what was done to it
}

// Permission is what a policy has to allow for the call, such as
// "ec2:RunInstances".
func (c Call) Permission() string { return c.Service + ":" + c.Action }

// journal keeps calls. Its zero value is usable.
type journal struct {
	mu    sync.Mutex
	calls []Call
	gone  int // how many of the first are dropped
	count map[string]int
}

// begin notes a request and returns its number.
func (j *journal) begin(o Options, q request) int {
	now := o.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.calls) >= 2*o.MaxCalls { // seldom, as it moves the rest
		j.gone += len(j.calls) - o.MaxCalls
		j.calls = slices.Clone(j.calls[len(j.calls)-o.MaxCalls:])
	}
	n := j.gone + len(j.calls) + 1
	call := Call{N: n, Time: now, Service: q.service, Action: q.action, Params: q.values, KeyID: q.keyID, RequestID: requestID(n)}
	j.calls = append(j.calls, call)
	if j.count == nil {
		j.count = map[string]int{}
	}
	j.count[call.Permission()]++
	return n
}

func requestID(n int) string { return fmt.Sprintf("f15b0000-0000-4000-8000-%012x", n) }

// end notes how a request was answered.
func (j *journal) end(n, status int, code, fault string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if i := n - j.gone - 1; i >= 0 {
		j.calls[i].Status, j.calls[i].Code, j.calls[i].Fault = status, code, fault
	}
}

// at is a call by its number; little of it if it is forgotten by now.
func (j *journal) at(n int) Call {
	j.mu.Lock()
	defer j.mu.Unlock()
	if i := n - j.gone - 1; i >= 0 {
		return j.calls[i]
	}
	return Call{N: n, RequestID: requestID(n)}
}

// Calls are the requests so far, the oldest first. UserData is in their
// parameters, and is nothing for a log.
func (h *Handler) Calls() []Call {
	h.journal.mu.Lock()
	defer h.journal.mu.Unlock()
	calls := slices.Clone(h.journal.calls)
	for i := range calls {
		calls[i].Params = maps.Clone(calls[i].Params)
	}
	return calls
}

// CallsOf are the requests of one action.
func (h *Handler) CallsOf(action string) []Call {
	return slices.DeleteFunc(h.Calls(), func(c Call) bool { return c.Action != action })
}

// Permissions counts all requests ever by what a policy has to allow for them.
func (h *Handler) Permissions() map[string]int {
	h.journal.mu.Lock()
	defer h.journal.mu.Unlock()
	return maps.Clone(h.journal.count)
}

// Forget empties the journal; calls that are being answered are noted no more.
func (h *Handler) Forget() {
	h.journal.mu.Lock()
	defer h.journal.mu.Unlock()
	h.journal.gone += len(h.journal.calls)
	h.journal.calls, h.journal.count = nil, nil
}
