package fakeec2

import (
	"slices"
	"time"
)

// Entry is one line of the journal: a call that may have changed something, or
// something that happened by itself.
type Entry struct {
	At     time.Time
	N      int    // the Call's; 0 of what happened by itself
	Who    string // the client's name; "aws" of what happened by itself
	Action string // of the call, or a word such as "scrubbed"
	IDs    []string
	Token  string // the client token of the call
	Err    error  // why the service refused
	Lost   bool   // it was done, or refused, and the caller does not know
}

// Journal is everything that happened, oldest first.
func (c *Cloud) Journal() []Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.catchUp()
	return slices.Clone(c.journal)
}

// record writes down a call.
func (a *account) record(call Call, now time.Time, err error, lost bool) {
	a.note(Entry{
		At: now, N: call.N, Who: call.Who, Action: call.Action, IDs: a.touched, Token: a.token, Err: err, Lost: lost,
	})
	a.token = ""
}

// happened writes down what happened by itself.
func (a *account) happened(now time.Time, what string, ids ...string) {
	a.note(Entry{At: now, Who: "aws", Action: what, IDs: ids})
}

// note adds an entry, and drops old ones now and then, so that a long test does
// not pay for it each time.
func (a *account) note(e Entry) {
	if a.opts.Keep > 0 && len(a.journal) >= a.journalFull {
		old := e.At.Add(-a.opts.Keep)
		a.journal = slices.DeleteFunc(a.journal, func(e Entry) bool { return e.At.Before(old) })
		a.journalFull = 2*len(a.journal) + 1000
	}
	a.journal = append(a.journal, e)
}

// touch says which things the present call is about.
func (a *account) touch(ids ...string) { a.touched = append(a.touched, ids...) }
