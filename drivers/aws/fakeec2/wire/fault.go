package wire

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// Effect is what a Fault does to a request.
type Effect string

// The effects. With Fault.After the request was done before.
const (
	// Nothing lets it through; for a Hook.
	Nothing Effect = ""
	// Cut ends the connection without an answer.
	Cut Effect = "cut"
	// Tear ends the connection within the answer. It implies After.
	Tear Effect = "tear"
	// Hang answers not at all, until the client gives up or the Handler is closed.
	Hang Effect = "hang"
	// Refuse answers with Status; with Code and Message as the service words
	// them, or with an empty body if there is no Code.
	Refuse Effect = "refuse"
	// Drip sends the answer byte by byte, with Pause between them. It implies After.
	Drip Effect = "drip"
	// Garble sends half of the answer as if it was whole. It implies After.
	Garble Effect = "garble"
)

// Fault is what is wrong on the wire with some requests.
type Fault struct {
	Action string `json:"action"` // empty: any
	Skip   int    `json:"skip"`   // how many matching requests pass before
	Count  int    `json:"count"`  // how many it is done to; 0: all until ClearFaults
	Do     Effect `json:"do"`
	// After: the request is done, and only its answer suffers.
	After   bool          `json:"after"`
	Status  int           `json:"status"` // of Refuse
	Code    string        `json:"code"`
	Message string        `json:"message"`
	Pause   time.Duration `json:"pause"` // of Drip, in nanoseconds
	// Match narrows it further; nil: all.
	Match func(Call) bool `json:"-"`
	// Hook is called when the fault comes true, before anything is answered.
	Hook func(Call) `json:"-"`
}

func (f Fault) validate() error {
	switch f.Do {
	case Nothing, Cut, Tear, Hang, Drip, Garble:
	case Refuse:
		if f.Status < http.StatusBadRequest || f.Status > 599 {
			return fmt.Errorf("fault %q needs a status from 400 to 599, not %d", f.Do, f.Status)
		}
	default:
		return fmt.Errorf("no fault %q: one of %q", f.Do, []Effect{Cut, Tear, Hang, Refuse, Drip, Garble})
	}
	if f.Skip < 0 || f.Count < 0 || f.Pause < 0 {
		return fmt.Errorf("skip, count and pause of a fault can not be below 0")
	}
	return nil
}

// faults are those in force.
type faults struct {
	mu   sync.Mutex
	list []Fault
}

// Fault adds a fault. Of several that match a request the first one that was
// added, and is not used up, is done. An error says what can not be meant.
func (h *Handler) Fault(f Fault) error {
	if err := f.validate(); err != nil {
		return err
	}
	if f.Do == Tear || f.Do == Drip || f.Do == Garble {
		f.After = true
	}
	if f.Count == 0 {
		f.Count = -1
	}
	h.faults.mu.Lock()
	defer h.faults.mu.Unlock()
	h.faults.list = append(h.faults.list, f)
	return nil
}

// ClearFaults ends all faults. What hangs already stays so until its client
// gives up.
func (h *Handler) ClearFaults() {
	h.faults.mu.Lock()
	defer h.faults.mu.Unlock()
	h.faults.list = nil
}

// take returns the fault that a request suffers, and counts it.
func (s *faults) take(c Call) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.list {
		f := &s.list[i]
		if f.Action != "" && f.Action != c.Action || f.Match != nil && !f.Match(c) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		taken := *f
		if f.Count--; f.Count == 0 {
			s.list = slices.Delete(s.list, i, i+1)
		}
		return &taken
	}
	return nil
}

// patient is one request that suffers.
type patient struct {
	w http.ResponseWriter
	r *http.Request
	q request
	n int    // of its Call
	a answer // zero before it was done
}

// suffer does a fault to a request and reports whether that was its answer.
func (h *Handler) suffer(p patient, f *Fault) bool {
	note := string(f.Do)
	if f.After {
		note += " after"
	}
	h.journal.end(p.n, 0, p.a.code, note)
	if f.Hook != nil {
		f.Hook(h.journal.at(p.n))
	}
	switch f.Do {
	case Nothing:
		return false
	case Cut:
		panic(http.ErrAbortHandler)
	case Hang:
		select {
		case <-p.r.Context().Done():
		case <-h.life.Done():
		}
		panic(http.ErrAbortHandler)
	case Refuse:
		a := answer{status: f.Status}
		if f.Code != "" {
			problem := &cloud.Error{Code: f.Code, Message: f.Message}
			a = h.services[p.q.service].render.failure(h.journal.at(p.n).RequestID, f.Status, problem)
		}
		h.journal.end(p.n, a.status, a.code, note)
		a.write(p.w)
	case Tear:
		p.a.head(p.w)
		h.push(p, p.a.body[:len(p.a.body)/2])
		panic(http.ErrAbortHandler)
	case Drip:
		h.journal.end(p.n, p.a.status, p.a.code, note)
		h.drip(p, f.Pause)
	case Garble:
		p.a.body = p.a.body[:len(p.a.body)/2]
		h.journal.end(p.n, p.a.status, p.a.code, note)
		p.a.write(p.w)
	}
	return true
}

// push sends bytes at once.
func (h *Handler) push(p patient, bytes []byte) {
	_, _ = p.w.Write(bytes) // the client may have gone
	_ = http.NewResponseController(p.w).Flush()
}

func (h *Handler) drip(p patient, pause time.Duration) {
	p.a.head(p.w)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for i := range p.a.body {
		h.push(p, p.a.body[i:i+1])
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-p.r.Context().Done():
			return
		case <-h.life.Done():
			return
		}
	}
}
