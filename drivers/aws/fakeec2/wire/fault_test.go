package wire_test

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wire"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2/wiretest"
)

// add adds a fault that can not be wrong.
func add(t *testing.T, s *wiretest.Server, f wire.Fault) {
	t.Helper()
	if err := s.Fault(f); err != nil {
		t.Fatal(err)
	}
}

// whole reports whether a text is whole XML.
func whole(text string) bool {
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault wire.Fault
		done  bool // the backend is asked
		fails bool // the client gets no whole answer over HTTP
		want  func(status int, body string) bool
	}{
		{"cut before", wire.Fault{Do: wire.Cut}, false, true, nil},
		{"cut after", wire.Fault{Do: wire.Cut, After: true}, true, true, nil},
		{"hang before", wire.Fault{Do: wire.Hang}, false, true, nil},
		{"hang after", wire.Fault{Do: wire.Hang, After: true}, true, true, nil},
		{"torn", wire.Fault{Do: wire.Tear}, true, true, nil},
		{"refused", wire.Fault{Do: wire.Refuse, Status: 503, Code: "RequestLimitExceeded", Message: "slow down"}, false, false,
			func(status int, body string) bool {
				return status == 503 && whole(body) && strings.Contains(body, "<Code>RequestLimitExceeded</Code><Message>slow down<")
			}},
		{"refused without a word", wire.Fault{Do: wire.Refuse, Status: 500}, false, false,
			func(status int, body string) bool { return status == 500 && body == "" }},
		{"refused after", wire.Fault{Do: wire.Refuse, Status: 500, After: true}, true, false,
			func(status int, body string) bool { return status == 500 && body == "" }},
		{"garbled", wire.Fault{Do: wire.Garble}, true, false, func(status int, body string) bool { return status == 200 && !whole(body) }},
		{"dripping", wire.Fault{Do: wire.Drip, Pause: time.Microsecond}, true, false, func(status int, body string) bool { return status == 200 && whole(body) }},
		{"nothing", wire.Fault{}, true, false, func(status int, body string) bool { return status == 200 && whole(body) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			s := unsigned(t, w)
			var hooked atomic.Int32
			tt.fault.Hook = func(c wire.Call) {
				hooked.Add(1)
				if c.Action != "DeleteVolume" {
					t.Errorf("the hook gets %+v", c)
				}
			}
			add(t, s, tt.fault)
			ctx, cancel := t.Context(), func() {}
			if tt.fault.Do == wire.Hang { // nothing else ends it
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
			}
			defer cancel()
			status, body, err := send(ctx, s.URL, "Action", "DeleteVolume", "VolumeId", "vol-1")
			if (err != nil) != tt.fails {
				t.Errorf("the client got %d %q, %v", status, body, err)
			}
			if tt.want != nil && !tt.want(status, body) {
				t.Errorf("the client got %d %q", status, body)
			}
			if done := len(w.heard()) == 1; done != tt.done {
				t.Errorf("done is %v, want %v", done, tt.done)
			}
			if n := hooked.Load(); n != 1 {
				t.Errorf("the hook was called %d times", n)
			}
			if c := s.Calls()[0]; tt.fault.Do != wire.Nothing && !strings.HasPrefix(c.Fault, string(tt.fault.Do)) {
				t.Errorf("the journal has %+v", c)
			}
		})
	}
}

// TestFaultsAreCounted is of which requests a fault comes to.
func TestFaultsAreCounted(t *testing.T) {
	s := unsigned(t, newWorld())
	add(t, s, wire.Fault{Action: "DeleteVolume", Skip: 2, Count: 2, Do: wire.Refuse, Status: 500})
	add(t, s, wire.Fault{Do: wire.Refuse, Status: 503, Match: func(c wire.Call) bool { return c.Params["VolumeId"] == "vol-9" }})
	var got []int
	for _, id := range []string{"vol-1", "vol-1", "vol-1", "vol-9", "vol-9", "vol-1"} {
		status, _ := post(t, s.URL, "Action", "DeleteVolume", "VolumeId", id)
		got = append(got, status)
	}
	status, _ := post(t, s.URL, "Action", "DeleteSnapshot", "SnapshotId", "snap-1")
	if want := []int{200, 200, 500, 500, 503, 200, 200}; !slices.Equal(append(got, status), want) {
		t.Errorf("answered with %v %d, want %v", got, status, want)
	}
	s.ClearFaults()
	if status, _ := post(t, s.URL, "Action", "DeleteVolume", "VolumeId", "vol-9"); status != 200 {
		t.Errorf("after ClearFaults: %d", status)
	}
}

func TestFaultsThatCanNotBeMeant(t *testing.T) {
	h := wire.New(newWorld(), wire.Options{})
	for _, f := range []wire.Fault{
		{Do: "explode"}, {Do: wire.Refuse}, {Do: wire.Refuse, Status: 200}, {Do: wire.Cut, Count: -1}, {Do: wire.Cut, Skip: -1}, {Do: wire.Drip, Pause: -1},
	} {
		if err := h.Fault(f); err == nil {
			t.Errorf("%+v was taken", f)
		}
	}
}

// TestCloseEndsWhatHangs would end by the test's own deadline if it did not.
func TestCloseEndsWhatHangs(t *testing.T) {
	s := unsigned(t, newWorld())
	entered := make(chan struct{})
	add(t, s, wire.Fault{Do: wire.Hang, Hook: func(wire.Call) { close(entered) }})
	go func() {
		<-entered
		s.Close()
	}()
	if _, _, err := send(t.Context(), s.URL, "Action", "DescribeVpcs"); err == nil {
		t.Error("what hangs was answered")
	}
}

// TestCloseEndsTheBackend: so does a backend that waits for its context.
func TestCloseEndsTheBackend(t *testing.T) {
	w := &waiting{newWorld(), make(chan struct{})}
	s := unsigned(t, w)
	go func() {
		<-w.entered
		s.Close()
	}()
	if _, _, err := send(t.Context(), s.URL, "Action", "DeleteVolume", "VolumeId", "vol-1"); err == nil {
		t.Error("what hangs was answered")
	}
}

// waiting is a backend whose DeleteVolume takes as long as it may.
type waiting struct {
	*world
	entered chan struct{}
}

func (w *waiting) DeleteVolume(ctx context.Context, _ string) error {
	close(w.entered)
	<-ctx.Done()
	return ctx.Err()
}

// TestBackendsErrors is of how an error of the backend goes over the wire.
func TestBackendsErrors(t *testing.T) {
	unsure := cloud.NewError("InvalidParameterValue", "who knows")
	unsure.Unsure = true
	for _, tt := range []struct {
		name   string
		err    error
		status int // 0: the connection is cut
	}{
		{"client's", cloud.NewError("InvalidSnapshot.InUse", "it is in use by ami-1 & <others>"), 400},
		{"throttled", cloud.NewError("RequestLimitExceeded", "slow"), 503},
		{"zone is empty", cloud.NewError("InsufficientInstanceCapacity", "no"), 500},
		{"host is full", cloud.NewError("InsufficientCapacityOnHost", "no"), 400},
		{"quota", cloud.NewError("VcpuLimitExceeded", "no"), 400},
		{"not allowed", cloud.NewError("UnauthorizedOperation", "no"), 403},
		{"broken", cloud.NewError("InternalError", "no"), 500},
		{"unsure", unsure, 500},
		{"none of the service", errors.New("connection reset"), 0},
		{"deadline", context.DeadlineExceeded, 0},
		{"never sent", cloud.NotSent(errors.New("connection refused")), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.fail = map[string]error{"DeleteSnapshot": tt.err}
			s := unsigned(t, w)
			status, body, err := send(t.Context(), s.URL, "Action", "DeleteSnapshot", "SnapshotId", "snap-1")
			if tt.status == 0 {
				if err == nil {
					t.Errorf("answered with %d %s", status, body)
				}
				return
			}
			var read struct {
				Code    string `xml:"Errors>Error>Code"`
				Message string `xml:"Errors>Error>Message"`
			}
			if err := xml.Unmarshal([]byte(body), &read); err != nil {
				t.Fatal(err, body)
			}
			want, _ := errors.AsType[*cloud.Error](tt.err)
			if status != tt.status || read.Code != want.Code || read.Message != want.Message {
				t.Errorf("answered with %d %+v, want %d %v", status, read, tt.status, want)
			}
		})
	}
}

// TestClientLeaves: what was begun is done, as at the real service.
func TestClientLeaves(t *testing.T) {
	w := &slow{newWorld(), make(chan struct{}), make(chan struct{}), make(chan error, 1)}
	s := unsigned(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	sent := make(chan error, 1)
	go func() {
		_, _, err := send(ctx, s.URL, "Action", "DeleteVolume", "VolumeId", "vol-1")
		sent <- err
	}()
	<-w.entered
	cancel()
	if err := <-sent; err == nil {
		t.Error("a client that left got an answer")
	}
	s.Disconnect()
	close(w.left)
	if err := <-w.ended; err != nil {
		t.Errorf("the backend's context ended with its client: %v", err)
	}
}

// slow is a backend whose DeleteVolume waits for its client to leave.
type slow struct {
	*world
	entered, left chan struct{}
	ended         chan error // what its context says then
}

func (s *slow) DeleteVolume(ctx context.Context, _ string) error {
	close(s.entered)
	<-s.left
	s.ended <- ctx.Err()
	return nil
}

// TestOtherMethods: only POST is served.
func TestOtherMethods(t *testing.T) {
	s := unsigned(t, newWorld())
	resp, err := http.Get(s.URL + "/?Action=DescribeVpcs&Version=2016-11-15")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET is answered with %d", resp.StatusCode)
	}
}
