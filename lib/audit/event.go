// Package audit keeps who did what to which object, from where and with what result: one line of JSON for each event, in
// files of its own that are rotated by size. Whoever notes an event never waits for a disk. DESIGN.md says what is
// promised and what a crash may lose.
package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Result is how an action ended.
type Result string

// The results of actions.
const (
	ResultOK      Result = "ok"      // it was done
	ResultRefused Result = "refused" // the caller's fault: not allowed, not possible
	ResultFailed  Result = "failed"  // the node's fault
	ResultLimited Result = "limited" // too many failures before: not even looked at
)

// Valid reports whether it is one of the results.
func (r Result) Valid() bool {
	switch r {
	case ResultOK, ResultRefused, ResultFailed, ResultLimited:
		return true
	}
	return false
}

// Actions that this package and the composition root note by themselves. Those of the API are named "<noun>.<verb>".
const (
	ActionLogin       = "login"         // of a user; see Log.Login
	ActionDropped     = "audit.dropped" // Count events found no place in the queue or on the disk
	ActionStart       = "node.start"
	ActionStop        = "node.stop"
	ActionDriverReady = "driver.ready"
	ActionDriverLost  = "driver.failed"
)

// Event is one line of the audit. Texts that are too long are cut. None of them may hold a secret or what a client sent
// as a body: names and UIDs of objects, and words of the node's own, belong here.
type Event struct {
	// Seq numbers the events of a node without a gap; Note sets it.
	Seq int64 `json:"seq"`
	// Time is the time of day in UTC at which it was noted; Note sets it.
	Time time.Time `json:"time"`
	// Action is what was done, such as "label.create".
	Action string `json:"action"`
	// User is who did it; empty: the node itself, or nobody known.
	User string `json:"user"`
	// Address is where the request came from; Note drops the port. Empty: the node itself.
	Address string `json:"address"`
	// RequestID is the X-Request-Id of the answer, by which the access log knows the request.
	RequestID string `json:"request_id"`
	// ObjectUID and ObjectName say to what it was done, as far as it has them.
	ObjectUID  string `json:"object_UID"`
	ObjectName string `json:"object_name"`
	Result     Result `json:"result"`
	// Count is how many times it happened, from 1.
	Count int64 `json:"count"`
	// Detail says more in the node's own words.
	Detail string `json:"detail"`
}

// The most bytes of a text in an event, and of a line: no line that was written whole is longer, as escaping makes six
// bytes of one at most.
const (
	maxText   = 256
	maxDetail = 2 << 10
	maxLine   = 6*(7*maxText+maxDetail) + 1024
)

// line encodes the event, with its newline.
func (e Event) line() []byte {
	for _, text := range []*string{&e.Action, &e.User, &e.Address, &e.RequestID, &e.ObjectUID, &e.ObjectName} {
		*text = cut(*text, maxText)
	}
	e.Detail = cut(e.Detail, maxDetail)
	b, _ := json.Marshal(e) // texts, numbers and a time in range always marshal
	return append(escape(b), '\n')
}

// escape writes what is not printable in JSON's own way: a terminal that shows the file takes orders from some of it,
// and direction marks let one name look like another.
func escape(text []byte) []byte {
	if !bytes.ContainsFunc(text, isUnprintable) {
		return text
	}
	var b []byte
	for _, r := range string(text) {
		if !isUnprintable(r) {
			b = utf8.AppendRune(b, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			b = fmt.Appendf(b, `\u%04x`, unit)
		}
	}
	return b
}

// isUnprintable reports it for what stands in a string only: the rest of JSON is printable ASCII.
func isUnprintable(r rune) bool { return !unicode.IsPrint(r) }

func cut(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// parse reads a line; what was torn by a crash is none.
func parse(line []byte) (Event, bool) {
	var e Event
	if len(line) == 0 || line[0] != '{' || json.Unmarshal(line, &e) != nil || e.Seq <= 0 {
		return Event{}, false
	}
	return e, true
}
