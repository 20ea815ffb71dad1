package pool

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// FuzzStep feeds nonsense: events in any order, answers to what was never
// asked, hosts of impossible states, clocks that go anywhere. The pool must not
// crash, stay consistent, and give the same for the same.
func FuzzStep(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	f.Add([]byte("some text that is no sequence of events, but is taken for one all the same"))
	f.Add([]byte{9, 1, 9, 0, 2, 2, 2, 5, 5, 5, 5, 255, 255, 255, 255, 128, 64, 32, 16, 8, 4, 2, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg := macs()
		cfg.ScrubbingDelay, cfg.Patience = time.Minute, 2*time.Hour
		src := &source{data: data, now: at("2026-03-02 08:00")}
		a, b := New(cfg, &Saved{Owned: true}), New(cfg, &Saved{Owned: true})
		for len(src.data) > 0 {
			e := src.event()
			got, twice := a.Step(src.now, e), b.Step(src.now, e)
			if !reflect.DeepEqual(got, twice) {
				t.Fatalf("%+v gave %+v, and then %+v", e, got, twice)
			}
			if err := consistent(a); err != nil {
				t.Fatal(err)
			}
			for _, g := range only[ReleaseHosts](got) {
				src.last = g.ID
			}
			a.Views()
			if a.Capacity() < 0 {
				t.Fatal("capacity below 0")
			}
			if src.byte() == 0 {
				saved := roundTrip(t, a.Saved())
				a, b = New(cfg, saved), New(cfg, saved)
			}
		}
	})
}

func roundTrip(t *testing.T, s Saved) *Saved {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	out := new(Saved)
	if err := json.Unmarshal(text, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// source makes events of bytes.
type source struct {
	data []byte
	now  time.Time
	last ActionID
}

func (s *source) byte() byte {
	if len(s.data) == 0 {
		return 1
	}
	b := s.data[0]
	s.data = s.data[1:]
	return b
}

func (s *source) token() string { return fmt.Sprint("t", s.byte()%4) }
func (s *source) host() string  { return fmt.Sprint("h", s.byte()%4) }

func (s *source) action() ActionID { return ActionID(s.byte()) }

func (s *source) time() time.Time {
	switch b := s.byte(); b % 4 {
	case 0:
		return time.Time{}
	case 1:
		return s.now.Add(time.Duration(int8(s.byte())) * time.Hour)
	case 2:
		return time.Unix(int64(int32(binary.LittleEndian.Uint32([]byte{b, s.byte(), s.byte(), s.byte()}))), 0).UTC()
	}
	return s.now
}

func (s *source) err() error {
	codes := []string{"", "InsufficientHostCapacity", "HostLimitExceeded", "RequestLimitExceeded", "InvalidHostID.NotFound",
		"Client.InvalidHost.Occupied", "Client.HostMinAllocationPeriodUnexpired", "IdempotentParameterMismatch", "Something"}
	i := int(s.byte()) % (len(codes) + 1)
	switch {
	case i == len(codes):
		return errors.New("reset")
	case codes[i] == "":
		return nil
	}
	e := cloud.NewError(codes[i], "because")
	e.NotBefore = s.time()
	return e
}

func (s *source) hosts() []cloud.Host {
	states := []string{cloud.HostAvailable, cloud.HostPending, cloud.HostUnderAssessment, cloud.HostPermanentFailure,
		cloud.HostReleased, cloud.HostReleasedFailure, "", "configuring"}
	var out []cloud.Host
	for range s.byte() % 6 {
		h := cloud.Host{
			ID: s.host(), Type: "mac2.metal", Zone: "a", State: states[int(s.byte())%len(states)],
			AllocationTime: s.time(), Free: int(s.byte()%4) - 1,
		}
		if s.byte()%3 == 0 {
			h.Instances = []string{"i-1"}
		}
		if s.byte()%7 == 0 {
			h.ID, h.Type, h.Zone = "", "", ""
		}
		out = append(out, h)
	}
	return out
}

func (s *source) event() Event {
	switch s.byte() % 14 {
	case 0:
		return Want{Token: s.token(), Since: s.time(), Until: s.time()}
	case 1:
		return Cancel{s.token()}
	case 2:
		return Launched{Token: s.token(), Instance: "i-1", Err: s.err()}
	case 3:
		return Described{Action: s.action(), Hosts: s.hosts(), Err: s.err()}
	case 4:
		return Described{Hosts: s.hosts(), Partial: s.byte()%2 == 0}
	case 5:
		return Described{Sent: s.time(), Hosts: s.hosts()}
	case 6:
		return Allocated{Action: s.action(), Host: s.host(), Err: s.err()}
	case 7:
		e := Released{Action: s.last, Released: []string{s.host()}, Err: s.err()}
		if err, ok := s.err().(*cloud.Error); ok { //nolint:errorlint // it is made here
			e.Refused = map[string]*cloud.Error{s.host(): err}
		}
		return e
	case 8:
		return ScrubStarted{Action: s.action(), Instance: "i-1", Err: s.err()}
	case 9:
		return ScrubEnded{Action: s.action(), Err: s.err()}
	case 10:
		return Drain{s.byte()%2 == 0}
	case 11:
		return Own{Owner: s.byte()%2 == 0}
	case 12:
		s.now = s.time()
		return Tick{}
	}
	s.now = s.now.Add(time.Duration(s.byte()) * time.Minute)
	return Look{}
}
