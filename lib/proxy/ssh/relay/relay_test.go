package relay

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"
)

// command accepts the next session at the target and returns it when it is to
// run something, with the request for that not answered yet.
func (r *rig) command() (ssh.Channel, <-chan *ssh.Request, *ssh.Request) {
	r.t.Helper()
	asked := <-r.channels
	ch, requests, err := asked.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	for req := range requests {
		if startsSession(req.Type) {
			return ch, requests, req
		}
		_ = req.Reply(true, nil)
	}
	r.t.Fatal("nothing was to run")
	return nil, nil, nil
}

func exit(ch ssh.Channel, code uint32) {
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{code}))
}

func session(t *testing.T, c *ssh.Client) *ssh.Session {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRunsACommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, far{})
		defer r.stop()
		var out, errs bytes.Buffer
		input := bytes.Repeat([]byte("in"), 1<<20)
		go func() {
			ch, requests, req := r.command()
			_ = req.Reply(true, nil)
			go ssh.DiscardRequests(requests)
			if got, err := io.ReadAll(ch); err != nil || !bytes.Equal(got, input) { // its end comes while output is still to go
				t.Errorf("stdin has %d bytes, %v, want %d", len(got), err, len(input))
			}
			_, _ = ch.Stderr().Write(bytes.Repeat([]byte("e"), 3<<20)) // more than a window
			_, _ = ch.Write(bytes.Repeat([]byte("o"), 3<<20))
			exit(ch, 7)
			_ = ch.Close()
		}()
		s := session(t, r.client)
		s.Stdin, s.Stdout, s.Stderr = bytes.NewReader(input), &out, &errs
		err := s.Run("run")
		if status, ok := errors.AsType[*ssh.ExitError](err); !ok || status.ExitStatus() != 7 {
			t.Errorf("Run() = %v, want exit status 7", err)
		}
		if out.Len() != 3<<20 || errs.Len() != 3<<20 {
			t.Errorf("got %d bytes of output and %d of errors, want 3 MiB of each", out.Len(), errs.Len())
		}
		in, back := r.relay.Bytes()
		if in != int64(len(input)) || back != 6<<20 {
			t.Errorf("Bytes() = %d, %d, want %d, %d", in, back, len(input), 6<<20)
		}
	})
}

func TestRefusedCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, far{})
		defer r.stop()
		go func() {
			ch, requests, req := r.command()
			_ = req.Reply(false, nil)
			ssh.DiscardRequests(requests) // until the client closes
			_ = ch.Close()
		}()
		s := session(t, r.client)
		if err := s.Start("run"); err == nil {
			t.Error("a command that the target refuses has started")
		}
		_ = s.Close()
	})
}

// OpenSSH's server throws away what comes before it knows what is to run.
func TestInputWaitsForTheCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, far{})
		defer r.stop()
		go func() { // as OpenSSH does, which does not wait for the answer
			ch, requests, err := r.client.OpenChannel("session", nil)
			if err != nil {
				t.Error(err)
				return
			}
			go ssh.DiscardRequests(requests)
			go func() { _, _ = ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{"run"})) }()
			_, _ = ch.Write([]byte("early"))
		}()
		ch, requests, req := r.command()
		got := make(chan string, 1)
		go func() {
			data, _ := io.ReadAll(io.LimitReader(ch, 5))
			got <- string(data)
		}()
		synctest.Wait() // nothing moves any more
		select {
		case early := <-got:
			t.Errorf("%q came before the command was granted", early)
		default:
		}
		_ = req.Reply(true, nil)
		go ssh.DiscardRequests(requests)
		if data := <-got; data != "early" {
			t.Errorf("got %q after it", data)
		}
		_ = ch.Close()
	})
}

// Servers that are no OpenSSH close the connection right behind the last channel.
func TestTargetThatEndsAtOnceLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, far{})
		defer r.stop()
		var out bytes.Buffer
		go func() {
			ch, requests, req := r.command()
			_ = req.Reply(true, nil)
			go ssh.DiscardRequests(requests)
			_, _ = ch.Write(bytes.Repeat([]byte("o"), 1<<20))
			exit(ch, 3)
			_ = ch.Close()
			_ = r.target.Close()
		}()
		s := session(t, r.client)
		s.Stdout = &slowWriter{w: &out}
		err := s.Run("run")
		if status, ok := errors.AsType[*ssh.ExitError](err); !ok || status.ExitStatus() != 3 || out.Len() != 1<<20 {
			t.Errorf("Run() = %v and %d bytes, want exit status 3 and 1 MiB", err, out.Len())
		}
	})
}

// slowWriter takes a second for each write.
type slowWriter struct{ w io.Writer }

func (s *slowWriter) Write(p []byte) (int, error) {
	time.Sleep(time.Second)
	return s.w.Write(p)
}

// Half a file must not look like a whole one, on either side.
func TestLostConnectionIsNoEnd(t *testing.T) {
	lost := map[string]func(r *rig){
		"target": func(r *rig) { _ = r.targetWire.Close() },
		"client": func(r *rig) { _ = r.clientWire.Close() },
	}
	for name, lose := range lost {
		for _, kind := range []string{"session", "direct-tcpip"} {
			t.Run(name+" of "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, Options{}, far{})
					defer r.stop()
					near, nearRequests, far, farRequests := r.channel(kind)
					go ssh.DiscardRequests(nearRequests)
					go ssh.DiscardRequests(farRequests)
					from, to, wire := near, far, r.targetWire
					if name == "target" {
						from, to, wire = far, near, r.clientWire
					}
					_, _ = from.Write([]byte("half"))
					synctest.Wait()
					lose(r)
					got, err := io.ReadAll(to)
					if string(got) != "half" || err != nil {
						t.Errorf("got %q, %v, want what came before", got, err)
					}
					if !wire.Over() {
						t.Error("the end looks like that of the stream, not of the connection")
					}
				})
			})
		}
	}
}

// channel opens a channel through the relay; a session runs something.
func (r *rig) channel(kind string) (near ssh.Channel, nearRequests <-chan *ssh.Request, far ssh.Channel, farRequests <-chan *ssh.Request) {
	r.t.Helper()
	var open sync.WaitGroup
	open.Go(func() {
		var err error
		if near, nearRequests, err = r.client.OpenChannel(kind, nil); err != nil {
			r.t.Errorf("open channel: %v", err)
			return
		}
		if kind == "session" {
			if ok, err := near.SendRequest("shell", true, nil); !ok || err != nil {
				r.t.Errorf("start shell: %v, %v", ok, err)
			}
		}
	})
	if kind == "session" {
		var req *ssh.Request
		far, farRequests, req = r.command()
		_ = req.Reply(true, nil)
	} else {
		var err error
		if far, farRequests, err = (<-r.channels).Accept(); err != nil {
			r.t.Fatal(err)
		}
	}
	open.Wait()
	return near, nearRequests, far, farRequests
}

func TestEndOfOneDirectionLeavesTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, far{})
		defer r.stop()
		near, nearRequests, far, farRequests := r.channel("direct-tcpip")
		go ssh.DiscardRequests(nearRequests)
		go ssh.DiscardRequests(farRequests)
		_ = near.CloseWrite()
		if got, err := io.ReadAll(far); err != nil || len(got) > 0 {
			t.Errorf("target got %q, %v", got, err)
		}
		_, _ = far.Write([]byte("late"))
		_ = far.Close()
		if got, err := io.ReadAll(near); err != nil || string(got) != "late" {
			t.Errorf("client got %q, %v", got, err)
		}
		if r.clientWire.Over() || r.targetWire.Over() {
			t.Error("a connection has ended with the channel")
		}
	})
}

func TestRefusedChannelKeepsItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, far{})
		defer r.stop()
		go func() { _ = (<-r.channels).Reject(ssh.Prohibited, "not here") }()
		_, _, err := r.client.OpenChannel("direct-tcpip", []byte("where"))
		refused, ok := errors.AsType[*ssh.OpenChannelError](err)
		if !ok || refused.Reason != ssh.Prohibited || refused.Message != "not here" {
			t.Errorf("OpenChannel() = %v, want the target's words", err)
		}
	})
}

func TestTooManyChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{MaxChannels: 2}, far{})
		defer r.stop()
		for range 2 {
			_, _, far, _ := r.channel("direct-tcpip")
			defer far.Close()
		}
		_, _, err := r.client.OpenChannel("direct-tcpip", nil)
		if refused, ok := errors.AsType[*ssh.OpenChannelError](err); !ok || refused.Reason != ssh.ResourceShortage {
			t.Errorf("OpenChannel() = %v, want a shortage", err)
		}
	})
}

// Any data in any pieces on many channels at once arrives as it was.
func TestManyChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, far{})
		defer r.stop()
		var work sync.WaitGroup
		for i := range 16 {
			near, nearRequests, far, farRequests := r.channel("direct-tcpip")
			go ssh.DiscardRequests(nearRequests)
			go ssh.DiscardRequests(farRequests)
			for _, d := range []struct{ from, to ssh.Channel }{{near, far}, {far, near}} {
				data := make([]byte, 1+rand.IntN(1<<19))
				for j := range data {
					data[j] = byte(i + j)
				}
				work.Go(func() {
					for rest := data; len(rest) > 0; {
						n := min(len(rest), 1+rand.IntN(100_000))
						if _, err := d.from.Write(rest[:n]); err != nil {
							t.Errorf("write: %v", err)
							return
						}
						rest = rest[n:]
					}
					_ = d.from.CloseWrite()
				})
				work.Go(func() {
					if got, err := io.ReadAll(d.to); err != nil || !bytes.Equal(got, data) {
						t.Errorf("got %d bytes, %v, want %d", len(got), err, len(data))
					}
				})
			}
		}
		work.Wait()
	})
}

// What a user has not read yet stays, however long it takes: a page by page look
// at the output of a command that has ended.
func TestSlowReaderGetsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, far{})
		defer r.stop()
		const size = 7 << 19 // more than a window and less than two
		go func() {
			ch, requests, req := r.command()
			_ = req.Reply(true, nil)
			go ssh.DiscardRequests(requests)
			_, _ = ch.Write(make([]byte, size))
			exit(ch, 0)
			_ = ch.Close()
		}()
		s := session(t, r.client)
		out, err := s.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start("run"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n, err := io.Copy(io.Discard, out); n != size || err != nil {
			t.Errorf("got %d bytes, %v, want %d", n, err, size)
		}
		if err := s.Wait(); err != nil {
			t.Errorf("Wait() = %v", err)
		}
	})
}

// A target whose client has closed the channel hears of it, also if it talks and
// does not listen.
func TestTargetThatOnlyTalksIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, far{})
		defer r.stop()
		near, nearRequests, far, farRequests := r.channel("direct-tcpip")
		go ssh.DiscardRequests(nearRequests)
		go func() { _, _ = near.Write(make([]byte, 6<<20)) }() // more than two windows take
		synctest.Wait()
		_ = near.Close()
		began := time.Now()
		go func() {
			for {
				if _, err := far.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		}()
		ssh.DiscardRequests(farRequests) // until the channel is closed
		if took := time.Since(began); took > closeTime {
			t.Errorf("ended after %v, want %v", took, closeTime)
		}
	})
}

// stuck is a connection of crypto/ssh after a fault of its protocol, with more
// behind it than it takes in: nothing comes any more, and nobody is told.
type stuck struct{ ssh.Conn }

func (stuck) Wait() error { select {} }

func TestFaultOfTheProtocolEndsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, clientFar := stuckSide(t)
		target, targetFar := stuckSide(t)
		r := New(Options{Client: client, Target: target})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.Run()
		}()
		synctest.Wait()
		_ = targetFar.Close()
		<-ended
		_ = clientFar.Close()
	})
}

// stuckSide is one whose connection never tells that it has ended.
func stuckSide(t *testing.T) (Side, ssh.Conn) {
	t.Helper()
	a, b := pipe()
	far := make(chan ssh.Conn, 1)
	go func() {
		conn, channels, requests := dialed(t, NewWire(a))
		go ssh.DiscardRequests(requests)
		go func() {
			for c := range channels {
				_ = c.Reject(ssh.Prohibited, "")
			}
		}()
		far <- conn
	}()
	s := served(t, b, newKey(t))
	s.Conn = stuck{s.Conn}
	return s, <-far
}

// What is quickly done is over before its request is answered, but not heard of
// before.
func TestAnswerComesBeforeTheClose(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, Options{}, far{})
			defer r.stop()
			go func() {
				ch, requests, req := r.command()
				go ssh.DiscardRequests(requests)
				_ = req.Reply(true, nil)
				_, _ = ch.Write([]byte("done"))
				exit(ch, 0)
				_ = ch.Close()
			}()
			if out, err := session(t, r.client).Output("true"); string(out) != "done" || err != nil {
				t.Fatalf("Output() = %q, %v", out, err)
			}
		})
	}
}

// OpenSSH closes a channel whose input it has ended as soon as the output ends,
// and its server tells after that how the command did.
func TestExitStatusAfterTheOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, far{})
		defer r.stop()
		near, nearRequests, far, farRequests := r.channel("session")
		go ssh.DiscardRequests(farRequests)
		_ = near.CloseWrite()
		go func() {
			_, _ = io.ReadAll(far)
			_ = far.CloseWrite()
			time.Sleep(time.Minute)
			exit(far, 3)
			_ = far.Close()
		}()
		_, _ = io.ReadAll(near)
		_ = near.Close()
		heard := false
		for req := range nearRequests {
			heard = heard || req.Type == "exit-status"
		}
		if !heard {
			t.Error("the client did not hear how the command ended")
		}
	})
}

// A command that has nothing more to say may still listen.
func TestEndOfOutputOfACommandThatListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{}, far{})
		defer r.stop()
		near, nearRequests, far, farRequests := r.channel("session")
		go ssh.DiscardRequests(farRequests)
		go ssh.DiscardRequests(nearRequests)
		_ = far.CloseWrite()
		_, _ = io.ReadAll(near) // its end is what the input waits for
		_, _ = near.Write([]byte("now"))
		_ = near.CloseWrite()
		if got, err := io.ReadAll(far); string(got) != "now" || err != nil {
			t.Errorf("the command got %q, %v", got, err)
		}
	})
}
