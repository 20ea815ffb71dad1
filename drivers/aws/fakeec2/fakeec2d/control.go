package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
)

// control adds what is ordered of the fake itself. Orders are JSON, and an
// unknown member of one is refused.
func (d *daemon) control(mux *http.ServeMux) {
	handle := func(pattern string, do func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			reply, err := do(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(reply) // the client may have gone
		})
	}
	// The time of the service; {"by": "24h"} turns it forward.
	handle("GET /_fake/clock", func(*http.Request) (any, error) { return d.time(), nil })
	handle("POST /_fake/clock", d.turnClock)
	// What goes wrong on the wire: a wire.Fault, with "pause" such as "10ms".
	handle("POST /_fake/fault", d.addFault)
	handle("DELETE /_fake/fault", func(*http.Request) (any, error) {
		d.front.ClearFaults()
		return struct{}{}, nil
	})
	// {"for": "30m"}: nobody reaches the service.
	handle("POST /_fake/outage", d.outage)
	// {"id": "i-…", "reason": "by-price"}: the end of a spot instance is announced.
	handle("POST /_fake/interrupt", d.interrupt)
	// {"L-5D8DADF5": 2}: limits by the codes of Service Quotas.
	handle("POST /_fake/quota", d.setQuotas)
	// Requests as they came, with user data left out.
	handle("GET /_fake/calls", func(*http.Request) (any, error) { return d.calls(), nil })
	handle("DELETE /_fake/calls", func(*http.Request) (any, error) {
		d.front.Forget()
		return struct{}{}, nil
	})
	// What a policy would have to allow for all requests so far, and how many there were.
	handle("GET /_fake/permissions", func(*http.Request) (any, error) { return d.front.Permissions(), nil })
	// What happened at the service, and what all of it cost.
	handle("GET /_fake/journal", func(*http.Request) (any, error) { return d.journal(), nil })
	handle("GET /_fake/bills", func(*http.Request) (any, error) {
		return append([]fakeec2.Bill{}, d.cloud.Bills()...), nil
	})
}

// order reads the JSON of a request.
func order(r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("the order can not be read: %w", err)
	}
	return nil
}

// span is a duration written as "1h30m".
type span time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err == nil && d < 0 {
		err = errors.New("the time of the service never goes back")
	}
	*s = span(d)
	return err
}

type timeReply struct {
	Now   time.Time `json:"now"`
	Speed float64   `json:"speed"`
}

func (d *daemon) time() timeReply { return timeReply{d.clock.now(), d.clock.speed} }

func (d *daemon) turnClock(r *http.Request) (any, error) {
	var o struct {
		By span `json:"by"`
	}
	if err := order(r, &o); err != nil {
		return nil, err
	}
	d.clock.turn(time.Duration(o.By))
	return d.time(), nil
}

func (d *daemon) addFault(r *http.Request) (any, error) {
	var o struct {
		wire.Fault
		Pause span `json:"pause"` // instead of nanoseconds
	}
	if err := order(r, &o); err != nil {
		return nil, err
	}
	o.Fault.Pause = time.Duration(o.Pause)
	return struct{}{}, d.front.Fault(o.Fault)
}

func (d *daemon) outage(r *http.Request) (any, error) {
	var o struct {
		For span `json:"for"`
	}
	if err := order(r, &o); err != nil {
		return nil, err
	}
	d.cloud.Outage(time.Duration(o.For))
	return struct{}{}, nil
}

func (d *daemon) interrupt(r *http.Request) (any, error) {
	var o struct {
		ID     string `json:"id"`
		Reason string `json:"reason"`
	}
	if err := order(r, &o); err != nil {
		return nil, err
	}
	if i, found := d.cloud.Instance(o.ID); !found || !i.Spot || cloud.Gone(i.State) {
		return nil, fmt.Errorf("there is no spot instance %q that could be interrupted", o.ID)
	}
	d.cloud.Interrupt(o.ID, cmp.Or(o.Reason, "no-capacity"))
	return struct{}{}, nil
}

func (d *daemon) setQuotas(r *http.Request) (any, error) {
	limits := map[string]float64{}
	if err := order(r, &limits); err != nil {
		return nil, err
	}
	for code, limit := range limits {
		d.cloud.SetQuota(code, limit)
	}
	return limits, nil
}

// calls are without what is nothing for a screen.
func (d *daemon) calls() []wire.Call {
	calls := append([]wire.Call{}, d.front.Calls()...) // no nil, which JSON would show
	for _, c := range calls {
		if data := c.Params["UserData"]; data != "" {
			c.Params["UserData"] = "(" + strconv.Itoa(len(data)) + " characters)"
		}
	}
	return calls
}

// entry is one of the service's journal, with its error as text.
type entry struct {
	At     time.Time `json:"at"`
	Action string    `json:"action"`
	IDs    []string  `json:"ids,omitempty"`
	Error  string    `json:"error,omitempty"`
	Lost   bool      `json:"lost,omitempty"`
}

func (d *daemon) journal() []entry {
	entries := []entry{}
	for _, e := range d.cloud.Journal() {
		one := entry{At: e.At, Action: e.Action, IDs: e.IDs, Lost: e.Lost}
		if e.Err != nil {
			one.Error = e.Err.Error()
		}
		entries = append(entries, one)
	}
	return entries
}
