package relay

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
)

func TestRequestsAboutTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var heard []string // by the client
		r := newRig(t, Options{}, far{requests: func(requests <-chan *ssh.Request) {
			for req := range requests {
				mu.Lock()
				heard = append(heard, req.Type)
				mu.Unlock()
				_ = req.Reply(req.Type == "known", []byte("from the client"))
			}
		}})
		defer r.stop()
		var asked []string
		go func() {
			for req := range r.requests {
				asked = append(asked, req.Type)
				_ = req.Reply(req.Type == "known", []byte("from the target"))
			}
		}()
		for _, side := range []struct {
			conn ssh.Conn
			says string
		}{{r.client, "from the target"}, {r.target, "from the client"}} {
			if ok, payload, err := side.conn.SendRequest("known", true, nil); !ok || string(payload) != side.says || err != nil {
				t.Errorf("SendRequest(known) = %v, %q, %v, want %q", ok, payload, err, side.says)
			}
			if ok, _, err := side.conn.SendRequest("keepalive@openssh.com", true, nil); ok || err != nil {
				t.Errorf("SendRequest(keepalive) = %v, %v, want the refusal of the other side", ok, err)
			}
		}
		// Whose host keys they are is between each side and us.
		_, _, _ = r.target.SendRequest("hostkeys-00@openssh.com", false, []byte("keys of the target"))
		if ok, _, err := r.client.SendRequest("hostkeys-prove-00@openssh.com", true, nil); ok || err != nil {
			t.Errorf("SendRequest(hostkeys-prove) = %v, %v, want a refusal", ok, err)
		}
		synctest.Wait()
		want := []string{"known", "keepalive@openssh.com"}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("the target was asked (-want +got):\n%s", diff)
		}
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff(want, heard); diff != "" {
			t.Errorf("the client was asked (-want +got):\n%s", diff)
		}
	})
}

// A client has to know which forward a channel belongs to before it comes.
func TestForwardedChannelComesAfterTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, came := time.Now(), make(chan time.Duration, 1)
		r := newRig(t, Options{}, far{channels: func(channels <-chan ssh.NewChannel) {
			for c := range channels {
				came <- time.Since(began)
				_ = c.Reject(ssh.Prohibited, "seen")
			}
		}})
		defer r.stop()
		go func() {
			req := <-r.requests
			opened := make(chan struct{})
			go func() { // a connection comes in at once, before the answer is on its way
				defer close(opened)
				_, _, _ = r.target.OpenChannel("forwarded-tcpip", nil)
			}()
			time.Sleep(time.Second)
			_ = req.Reply(true, []byte{0, 0, 0, 80})
			<-opened
		}()
		if ok, payload, err := r.client.SendRequest("tcpip-forward", true, nil); !ok || len(payload) != 4 || err != nil {
			t.Errorf("SendRequest() = %v, %v, %v", ok, payload, err)
		}
		if at := <-came; at < time.Second {
			t.Errorf("the channel came after %v, before the answer", at)
		}
	})
}

// memory is a recording in memory.
type memory struct {
	mu     sync.Mutex
	events []string
	fail   error
}

func (m *memory) add(event string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, event)
	return m.fail
}
func (m *memory) Output(_ time.Time, data []byte) error { return m.add("output " + string(data)) }
func (m *memory) Resize(_ time.Time, cols, rows uint32) error {
	return m.add("resize " + string(rune('0'+cols)) + " " + string(rune('0'+rows)))
}
func (m *memory) Close() error { return m.add("close") }

// terminal is a shell in a terminal of 8 columns and 2 rows.
func (r *rig) terminal() (near ssh.Channel, far ssh.Channel) {
	r.t.Helper()
	var open sync.WaitGroup
	open.Go(func() {
		ch, requests, err := r.client.OpenChannel("session", nil)
		if err != nil {
			r.t.Error(err)
			return
		}
		go ssh.DiscardRequests(requests)
		near = ch
		pty := ssh.Marshal(struct {
			Term                      string
			Cols, Rows, Width, Height uint32
			Modes                     string
		}{"xterm", 8, 2, 0, 0, ""})
		if ok, err := ch.SendRequest("pty-req", true, pty); !ok || err != nil {
			r.t.Errorf("terminal not granted: %v, %v", ok, err)
		}
		if ok, err := ch.SendRequest("shell", true, nil); !ok || err != nil {
			r.t.Errorf("shell not granted: %v, %v", ok, err)
		}
	})
	far, requests, req := r.command()
	go ssh.DiscardRequests(requests)
	_ = req.Reply(true, nil)
	open.Wait()
	return near, far
}

func TestTerminalIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		var asked Terminal
		r := newRig(t, Options{Record: func(terminal Terminal) (Recording, error) { asked = terminal; return m, nil }}, far{})
		defer r.stop()
		near, far := r.terminal()
		_, _ = near.Write([]byte("a password"))
		size := ssh.Marshal(struct{ Cols, Rows, Width, Height uint32 }{9, 3, 0, 0})
		_, _ = near.SendRequest("window-change", false, size)
		synctest.Wait()
		_, _ = far.Write([]byte("seen"))
		_ = far.Close()
		synctest.Wait()
		if want := (Terminal{"xterm", 8, 2}); asked != want {
			t.Errorf("recording of %v, want %v", asked, want)
		}
		if diff := cmp.Diff([]string{"resize 9 3", "output seen", "close"}, m.events); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestRecordingThatFailsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []error
		full := errors.New("disk full")
		r := newRig(t, Options{
			Record: func(Terminal) (Recording, error) { return &memory{fail: full}, nil },
			Failed: func(err error) { told = append(told, err) },
		}, far{})
		defer r.stop()
		_, far := r.terminal()
		_, _ = far.Write([]byte("one"))
		_, _ = far.Write([]byte("two"))
		synctest.Wait()
		if len(told) != 1 || !errors.Is(told[0], full) {
			t.Errorf("told %v, want the failure once", told)
		}
	})
}

func TestNoTerminalWithoutItsRecording(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		r := newRig(t, Options{
			Record: func(Terminal) (Recording, error) { return nil, errors.New("no room") },
			Failed: func(err error) { failed <- err },
		}, far{})
		defer r.stop()
		go func() {
			ch, requests, err := (<-r.channels).Accept()
			if err != nil {
				t.Error(err)
				return
			}
			for req := range requests {
				_ = req.Reply(true, nil)
			}
			_ = ch.Close()
		}()
		ch, requests, err := r.client.OpenChannel("session", nil)
		if err != nil {
			t.Fatal(err)
		}
		go ssh.DiscardRequests(requests)
		if ok, err := ch.SendRequest("pty-req", true, nil); ok || err != nil {
			t.Errorf("terminal granted: %v, %v", ok, err)
		}
		if err := <-failed; err == nil || !strings.Contains(err.Error(), "no room") {
			t.Errorf("told %v", err)
		}
		_ = ch.Close()
	})
}

// What is told reaches terminals and nothing else: a file that is copied has no
// room for messages.
func TestTellReachesTerminalsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, far{})
		defer r.stop()
		near, _ := r.terminal()
		plain, plainRequests, _, farRequests := r.channel("session")
		go ssh.DiscardRequests(plainRequests)
		go ssh.DiscardRequests(farRequests)
		r.relay.Tell("the end is near")
		got := make([]byte, 15)
		if _, err := near.Stderr().Read(got); err != nil || string(got) != "the end is near" {
			t.Errorf("the terminal shows %q, %v", got, err)
		}
		var data [1]byte
		read := make(chan error, 2)
		go func() { _, err := plain.Read(data[:]); read <- err }()
		go func() { _, err := plain.Stderr().Read(data[:]); read <- err }()
		synctest.Wait()
		select {
		case err := <-read:
			t.Errorf("something came to the session without a terminal: %v", err)
		default:
		}
	})
}

func TestLostTargetIsToldWhileATerminalRuns(t *testing.T) {
	for name, terminal := range map[string]bool{"terminal": true, "none": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				r := newRig(t, Options{Lost: func() { calls++ }}, far{})
				defer r.stop()
				if terminal {
					r.terminal()
				} else {
					_, a, _, b := r.channel("session")
					go ssh.DiscardRequests(a)
					go ssh.DiscardRequests(b)
				}
				_ = r.targetWire.Close()
				<-r.ended
				if want := map[bool]int{true: 1}[terminal]; calls != want {
					t.Errorf("Lost called %d times, want %d", calls, want)
				}
			})
		})
	}
}

// A client that does not ask whether it got a terminal is recorded as well.
func TestTerminalThatIsNotAskedForIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		r := newRig(t, Options{Record: func(Terminal) (Recording, error) { return m, nil }}, far{})
		defer r.stop()
		go func() {
			ch, requests, req := r.command()
			go ssh.DiscardRequests(requests)
			_ = req.Reply(true, nil)
			_, _ = ch.Write([]byte("secret"))
			_ = ch.Close()
		}()
		ch, requests, err := r.client.OpenChannel("session", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ch.SendRequest("pty-req", false, ssh.Marshal(struct {
			Term                      string
			Cols, Rows, Width, Height uint32
			Modes                     string
		}{"xterm", 8, 2, 0, 0, ""})); err != nil {
			t.Error(err)
		}
		if _, err := ch.SendRequest("shell", false, nil); err != nil {
			t.Error(err)
		}
		ssh.DiscardRequests(requests) // until it is closed
		synctest.Wait()
		if diff := cmp.Diff([]string{"output secret", "close"}, m.events); diff != "" {
			t.Errorf("recorded (-want +got):\n%s", diff)
		}
	})
}
