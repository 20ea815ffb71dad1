//go:build unix

package vmrunfake

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"
)

// What an order may do to a command.
const (
	Hang      = "hang"       // before any effect, until it is killed
	HangAfter = "hang_after" // the effect is there, the answer never comes
	Fail      = "fail"       // no effect; Output and Exit are the answer
	FailAfter = "fail_after" // the effect is there, and yet Output and Exit
	Partial   = "partial"    // the effect is there, of the answer only the first Bytes
	Die       = "die"        // killed in the middle: half a clone, half a removal
	DieAfter  = "die_after"  // killed with all done and nothing said
	Slow      = "slow"       // Millis later than usual
	Say       = "output"     // no effect; Output, and exit code Exit (0 unless given)
)

// What an order for "guest" may do to a virtual machine that starts.
const (
	Vanish     = "vanish"      // after Millis the process dies
	PowerOff   = "power_off"   // after Millis the guest shuts down
	Reset      = "reset"       // after Millis the guest reboots
	IgnoreSoft = "ignore_soft" // a soft stop is not heard
	NoTools    = "no_tools"    // a soft stop is refused: nobody in the guest would hear it
	NoLease    = "no_lease"    // never gets an address
	LateLease  = "late_lease"  // gets it after Millis
	OldLease   = "old_lease"   // an expired lease of this guest, and one of the address' former owner, are in the file
	TornLease  = "torn_lease"  // the lease is half written until Millis later
)

// Order is one failure to come.
type Order struct {
	// Command is clone, start, stop, reset, deleteVM, list, snapshot, suspend,
	// vdisk, guest, or * for any but guest.
	Command string `json:"command"`
	// Nth is from which call on, of those that match; 0 means the first.
	Nth int `json:"nth,omitempty"`
	// Times is for how many calls; 0 means one, below 0 all that follow.
	Times int `json:"times,omitempty"`
	// Path is part of an argument of the call, such as the .vmx.
	Path string `json:"path,omitempty"`
	// Do is what happens: one of the constants above.
	Do     string `json:"do"`
	Output string `json:"output,omitempty"`
	Exit   int    `json:"exit,omitempty"`
	Millis int    `json:"millis,omitempty"`
	Bytes  int    `json:"bytes,omitempty"`
}

// after is Millis as a duration.
func (o Order) after() time.Duration { return time.Duration(o.Millis) * time.Millisecond }

// due says whether the order takes effect on the count-th call that matches.
func (o Order) due(count int) bool {
	first, times := max(o.Nth, 1), o.Times
	if times == 0 {
		times = 1
	}
	return count >= first && (times < 0 || count < first+times)
}

// matches says whether the order is about such a call.
func (o Order) matches(command string, args []string) bool {
	if o.Command != command && (o.Command != "*" || command == "guest") {
		return false
	}
	for _, arg := range args {
		if strings.Contains(arg, o.Path) {
			return true
		}
	}
	return o.Path == ""
}

// SetOrders replaces all orders and begins to count anew.
func (s State) SetOrders(orders []Order) error {
	release, err := lock(s.counts()+".lock", time.Minute)
	if err != nil {
		return err
	}
	defer release()
	if err := os.Remove(s.counts()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return writeJSON(s.Orders(), orders)
}

// take counts the call and returns the orders that are due for it. Where the
// outside put orders there by hand they count from the first call on.
func (s State) take(command string, args []string) ([]Order, error) {
	release, err := lock(s.counts()+".lock", time.Minute)
	if err != nil {
		return nil, err
	}
	defer release()
	var orders []Order
	if err := readJSON(s.Orders(), &orders); err != nil || len(orders) == 0 {
		return nil, err
	}
	counts := map[int]int{} // by place of the order
	if err := readJSON(s.counts(), &counts); err != nil {
		return nil, err
	}
	var due []Order
	for i, order := range orders {
		if !order.matches(command, args) {
			continue
		}
		counts[i]++
		if order.due(counts[i]) {
			due = append(due, order)
		}
	}
	return due, writeJSON(s.counts(), counts)
}

// readJSON reads a file that may be missing.
func readJSON(path string, value any) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, value)
}
