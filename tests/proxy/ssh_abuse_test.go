//go:build linux

package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
)

// tolerable is how much more memory strangers may make a node take.
const tolerable = 96 << 20

// TestSSHStrangers: whoever can not log in keeps nobody from it, takes little, and leaves nothing.
func TestSSHStrangers(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	address := accessTo(r.node.Client, r.app).Address
	before, least := memory(t, r.node.PID()), goroutines(t, r.node.Client)
	inside := dial(t, r.login(t))

	var connections []net.Conn
	for i := range 1000 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		connections = append(connections, conn)
		// Some say nothing, some the beginning, some nonsense.
		switch i % 4 {
		case 1:
			_, err = io.WriteString(conn, "SSH-2.0-")
		case 2:
			_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		case 3:
			_, err = io.WriteString(conn, "SSH-2.0-x\r\n\xff\xff\xff\xff\xff")
		}
		_ = err // it may have been sent away already
	}
	if took := memory(t, r.node.PID()) - before; took > tolerable {
		t.Errorf("1000 strangers take %d MB", took>>20)
	}
	if got := enter(t, r.login(t)); got != in {
		t.Errorf("somebody with good credentials among 1000 strangers: %+v", got)
	}
	if err := through(inside, 1, 4<<20); err != nil {
		t.Errorf("a session among 1000 strangers: %v", err)
	}
	for _, conn := range connections {
		_ = conn.Close()
	}
	_ = inside.Close()
	backTo(t, r.node.Client, least)
}

// TestSSHSlowHandshake: who takes for ever is sent away.
func TestSSHSlowHandshake(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	conn, err := net.Dial("tcp", accessTo(r.node.Client, r.app).Address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, conn) // until it is closed
	}()
	drip := time.NewTicker(100 * time.Millisecond)
	defer drip.Stop()
	for begun := time.Now(); ; {
		select {
		case <-gone:
			return
		case <-drip.C:
			_, _ = io.WriteString(conn, "x") // in a line that never ends; or it is gone
			if time.Since(begun) > sshTime {
				t.Fatalf("who sends a byte each 100 ms is still served after %v", time.Since(begun))
			}
		}
	}
}

// TestSSHGuessing: wrong credentials are counted, guessers are slowed down, and good credentials count also then.
func TestSSHGuessing(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	address := accessTo(r.node.Client, r.app).Address
	before, least := memory(t, r.node.PID()), goroutines(t, r.node.Client)
	var mu sync.Mutex
	asked, sentAway := 0, 0
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 50 {
				tries := 0
				guess := ssh.RetryableAuthMethod(ssh.PasswordCallback(func() (string, error) {
					tries++
					return strings.Repeat("y", 64), nil
				}), 100)
				c, err := ssh.Dial("tcp", address, &ssh.ClientConfig{
					User: "admin", Auth: []ssh.AuthMethod{guess}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: sshTime,
				})
				if err == nil {
					_ = c.Close()
					t.Error("a wrong password is let in")
				}
				mu.Lock()
				asked += tries
				if tries <= 1 {
					sentAway++
				}
				mu.Unlock()
			}
		})
	}
	work.Wait()
	if sentAway < 150 {
		t.Errorf("%d of 200 connections of a guesser were sent away after one try, %d tries were answered", sentAway, asked)
	}
	if got := enter(t, r.login(t)); got != in {
		t.Errorf("good credentials from the address of a guesser: %+v", got)
	}
	if took := memory(t, r.node.PID()) - before; took > tolerable {
		t.Errorf("a guesser takes %d MB", took>>20)
	}
	if log, _ := r.node.Lines(); strings.Contains(strings.Join(log, "\n"), strings.Repeat("y", 64)) {
		t.Error("the log has a password")
	}
	backTo(t, r.node.Client, least)
}

// TestSSHForged: a client that is let in and talks nonsense gets the answers that the environment gives, harms nobody
// else, and can not make the node fall.
func TestSSHForged(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	neighbour := dial(t, r.login(t))
	least := goroutines(t, r.node.Client)
	var answers [2][]string
	for i, direct := range []bool{true, false} {
		way := *r
		way.direct = direct
		answers[i] = way.forge(t)
	}
	if diff := cmp.Diff(answers[0], answers[1]); diff != "" {
		t.Errorf("answers (-directly +through the proxy):\n%s", diff)
	}
	if err := through(neighbour, 1, 1<<20); err != nil {
		t.Errorf("another session: %v", err)
	}
	if got := enter(t, r.login(t)); got != in {
		t.Errorf("the next one: %+v", got)
	}
	backTo(t, r.node.Client, least)
}

// forge sends what no sane client does, each in a connection of its own as a server may end it, and returns the answers.
func (r *rig) forge(t *testing.T) (answers []string) {
	t.Helper()
	long := strings.Repeat("x", 30_000)
	for _, channel := range []struct {
		kind string
		data []byte
	}{
		{"nonsense", nil}, {"", nil}, {long, []byte(long)}, {"direct-tcpip", []byte{0, 0, 0, 1}}, {"direct-tcpip", nil},
		{"direct-streamlocal@openssh.com", []byte{255, 255, 255, 255}}, {"forwarded-tcpip", []byte("x")}, {"x11", nil},
		{"auth-agent@openssh.com", nil}, {"tun@openssh.com", []byte("x")}, {"session", []byte(long)},
	} {
		answers = append(answers, fmt.Sprintf("channel %.20s: %s", channel.kind, r.forgeChannel(t, channel.kind, channel.data)))
	}
	for _, request := range []struct {
		kind    string
		payload []byte
	}{
		{"pty-req", []byte{0, 0}}, {"pty-req", nil}, {"window-change", []byte{1}}, {"exec", []byte{255, 255, 255, 255}},
		{"exec", nil}, {"env", []byte("x")}, {"signal", nil}, {"subsystem", []byte{0, 0, 0, 200}}, {"exit-status", []byte{0, 0, 0, 1}},
		{"exit-signal", nil}, {"x11-req", []byte{1}}, {"auth-agent-req@openssh.com", []byte(long)}, {"eow@openssh.com", nil}, {long, []byte(long)}, {"", nil},
	} {
		answers = append(answers, fmt.Sprintf("request %.20s: %s", request.kind, r.forgeRequest(t, request.kind, request.payload)))
	}
	for _, global := range []struct {
		kind    string
		payload []byte
	}{
		{"tcpip-forward", nil}, {"tcpip-forward", []byte{0, 0, 0, 9, 'x'}}, {"cancel-tcpip-forward", []byte{1}},
		{"streamlocal-forward@openssh.com", nil}, {"cancel-streamlocal-forward@openssh.com", []byte("x")}, {"nonsense", []byte(long)}, {"", nil},
		{"no-more-sessions@openssh.com", nil},
	} {
		answers = append(answers, fmt.Sprintf("global %.20s: %s", global.kind, r.forgeGlobal(t, global.kind, global.payload)))
	}
	return answers
}

func (r *rig) forgeChannel(t *testing.T, kind string, data []byte) string {
	t.Helper()
	c := dial(t, r.login(t))
	defer func() { _ = c.Close() }() // it may be closed
	channel, requests, err := c.OpenChannel(kind, data)
	if err != nil {
		return outcome(c, err)
	}
	go ssh.DiscardRequests(requests)
	_ = channel.Close()
	return "opened"
}

func (r *rig) forgeRequest(t *testing.T, kind string, payload []byte) string {
	t.Helper()
	c := dial(t, r.login(t))
	defer func() { _ = c.Close() }() // it may be closed
	channel, requests, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(requests)
	ok, err := channel.SendRequest(kind, true, payload)
	if err != nil || !ok {
		return outcome(c, err)
	}
	return "granted"
}

func (r *rig) forgeGlobal(t *testing.T, kind string, payload []byte) string {
	t.Helper()
	c := dial(t, r.login(t))
	defer func() { _ = c.Close() }() // it may be closed
	ok, answer, err := c.SendRequest(kind, true, payload)
	if err != nil || !ok {
		return outcome(c, err)
	}
	return fmt.Sprintf("granted, %q", answer)
}

// outcome is what came of something that was not granted. Where the environment ends the connection, the proxy says no
// before it does.
func outcome(c *ssh.Client, err error) string {
	ended, opened := make(chan struct{}), make(chan error, 1)
	go func() {
		_ = c.Wait() // why is not of interest
		close(ended)
	}()
	go func() { // which the library may have wait for ever on a connection that has just ended
		channel, requests, err := c.OpenChannel("session", nil)
		if err == nil {
			go ssh.DiscardRequests(requests)
			_ = channel.Close() // only whether it opens was asked
		}
		opened <- err
	}()
	select {
	case <-ended:
		return "the connection ends"
	case openErr := <-opened:
		if openErr != nil {
			return "the connection ends"
		}
	}
	if refused := (*ssh.OpenChannelError)(nil); errors.As(err, &refused) {
		return fmt.Sprintf("refused: %v %s", refused.Reason, refused.Message)
	}
	return "not granted"
}
