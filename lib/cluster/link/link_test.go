package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

func TestLinkCarriesMessagesBothWays(t *testing.T) {
	a, b, here, there := pair(t)
	if !here.Outgoing() || there.Outgoing() || here.Protocol() != 1 || there.Protocol() != 1 {
		t.Errorf("outgoing = %v, %v, protocol = %d, %d", here.Outgoing(), there.Outgoing(), here.Protocol(), there.Protocol())
	}
	if here.Peer().Node != b.id.UID || there.Peer().Node != a.id.UID || there.Peer().Name != "a" {
		t.Errorf("peers = %v, %v", here.Peer(), there.Peer())
	}
	origin := replica.Origin{Node: a.id.UID, Incarnation: 1}
	for _, way := range []struct {
		name     string
		from, to *Link
	}{{"to the accepting side", here, there}, {"to the dialling side", there, here}} {
		for i := range 100 {
			want := any(wire.Advert{Vector: replica.Vector{origin: uint64(i + 1)}})
			if err := way.from.Send(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			got, err := way.to.Receive(t.Context())
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Fatalf("%s: Receive = %v, %v, diff %s", way.name, got, err, diff)
			}
		}
		sendRows(t, way.from, way.to, origin, 50)
	}
	if here.RTT() <= 0 || here.RTT() > time.Second {
		t.Errorf("RTT = %v", here.RTT())
	}
	s := here.Stats()
	t.Logf("data: %d bytes became %d (%.1f : 1); link sent %d, received %d; RTT %v",
		s.Data, s.DataCompressed, float64(s.Data)/float64(s.DataCompressed), s.Sent, s.Received, here.RTT())
	if s.DataCompressed == 0 || s.DataCompressed*3 > s.Data {
		t.Errorf("%d bytes of rows became %d, want less than a third", s.Data, s.DataCompressed)
	}
}

// sendRows sends batches of rows as a busy node would.
func sendRows(t *testing.T, from, to *Link, origin replica.Origin, batches int) {
	t.Helper()
	var seq uint64
	for range batches {
		batch := replica.Batch{Origin: origin, From: seq}
		for range 9 {
			seq++
			key := origin.Node
			key[12], key[13], key[14], key[15] = byte(seq), byte(seq>>8), byte(seq*37), byte(seq*101)
			batch.Rows = append(batch.Rows, replica.Row{
				Kind: replica.KindApplicationState, Key: key[:],
				Version: replica.Version{HLC: 1 << 40, Origin: origin, Seq: seq},
				Body: fmt.Appendf(nil, `{"UID":"%s","created_at":"2026-11-22T09:%02d:%02d.%06dZ","application_UID":"%s","status":"ALLOCATED","description":"Driver allocated the resource"}`,
					key, seq%60, seq%59, seq*7919%1000000, key),
			})
		}
		batch.To = seq
		want := any(wire.Rows{Batch: batch})
		if err := from.SendData(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		got, err := to.ReceiveData(t.Context())
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("ReceiveData = %v, diff %s", err, diff)
		}
	}
}

func TestCloseTellsTheNeighbourWhy(t *testing.T) {
	for _, dialler := range []bool{true, false} {
		t.Run(fmt.Sprintf("dialler=%v", dialler), func(t *testing.T) {
			a, b, here, there := pair(t)
			closer, other := here, there
			if !dialler {
				closer, other = there, here
			}
			begin := time.Now()
			closer.Close(wire.CodeRedundant, "you are one too many")
			if took := time.Since(begin); took > 500*time.Millisecond {
				t.Errorf("Close took %v", took)
			}
			for _, l := range []*Link{closer, other} {
				var no *Refused
				if err := awaitDone(t, l); !errors.As(err, &no) || no.Code != wire.CodeRedundant || no.Text != "you are one too many" {
					t.Errorf("Err() = %v", err)
				} else if no.Remote != (l == other) {
					t.Errorf("Remote = %v", no.Remote)
				}
			}
			a.log.await(t, "link ended", "you are one too many")
			b.log.await(t, "link ended", "you are one too many")
			if err := closer.Send(t.Context(), wire.Advert{}); err == nil {
				t.Error("Send works after the end")
			}
			if _, err := other.ReceiveData(t.Context()); err == nil {
				t.Error("ReceiveData works after the end")
			}
			if _, err := other.OpenRelay(t.Context(), a.id.UID, 1); err == nil {
				t.Error("OpenRelay works after the end")
			}
		})
	}
}

func TestStopTellsAllNeighboursAndLeavesNothing(t *testing.T) {
	f := newFarm(t)
	hub := f.start(f.identity("hub"))
	var leaves []*Link
	for i := range 6 {
		n := f.start(f.identity(fmt.Sprintf("leaf%d", i)))
		here, _ := n.dial(t, hub)
		leaves = append(leaves, here)
	}
	begin := time.Now()
	hub.stop()
	took := time.Since(begin)
	t.Logf("stop of 6 links took %v", took)
	if took > time.Second {
		t.Errorf("stop took %v", took)
	}
	for _, l := range leaves {
		var no *Refused
		if err := awaitDone(t, l); !errors.As(err, &no) || no.Code != wire.CodeStopping {
			t.Errorf("Err() = %v", err)
		}
	}
	if left := leftovers(5 * time.Second); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	n := f.start(f.identity("late"))
	_, err := n.Dial(t.Context(), hub.addr, nil, n.hello())
	var no *Refused
	if !errors.As(err, &no) || no.Code != wire.CodeStopping {
		t.Errorf("Dial of a stopped node = %v", err)
	}
	if _, err := hub.Dial(t.Context(), n.addr, nil, hub.hello()); err == nil {
		t.Error("a stopped node dials")
	}
}

// halfMade is a connection of a link that is just being made when something
// happens.
type halfMade struct {
	net.Conn
	happens func()
}

func (c halfMade) SyscallConn() (syscall.RawConn, error) {
	c.happens()
	return nil, errors.ErrUnsupported
}

// TestStopWhileALinkIsMade: the stop of a node finds no link of which half is
// missing yet.
func TestStopWhileALinkIsMade(t *testing.T) {
	f := newFarm(t)
	n := f.start(f.identity("one"))
	here, there := net.Pipe()
	defer there.Close()
	happened := false
	l, err := n.Transport.start(halfMade{here, func() {
		happened = true
		stopped := make(chan struct{})
		go func() {
			n.stop()
			close(stopped)
		}()
		select {
		case <-stopped:
		case <-time.After(time.Second): // it waits for this link
		}
	}}, identity{}, begun{peer: n.hello(), outgoing: true})
	if !happened {
		t.Skip("nothing is asked of the connection on this platform")
	}
	var no *Refused
	if !errors.As(err, &no) {
		t.Errorf("start() = %v, %v, want that the node stops", l, err)
	}
	if _, err := there.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is open")
	}
	if left := leftovers(5 * time.Second); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

// TestOnePortServesAll has HTTP/1.1, HTTP/2 and links on one port at once, each for
// longer than the server's time-outs.
func TestOnePortServesAll(t *testing.T) {
	a, b, here, there := pair(t)
	pool := b.id.CAPool()
	begin := time.Now()
	var clients sync.WaitGroup
	for _, h2 := range []bool{false, true} {
		clients.Go(func() {
			transport := &http.Transport{ForceAttemptHTTP2: h2, TLSClientConfig: &tls.Config{RootCAs: pool}}
			if !h2 {
				transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
			}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			want := map[bool]string{false: "ok HTTP/1.1", true: "ok HTTP/2.0"}[h2]
			for time.Since(begin) < serverTimeout+500*time.Millisecond {
				time.Sleep(10 * time.Millisecond) // it is not about how many
				resp, err := client.Get("https://" + b.addr + "/")
				if err != nil {
					t.Errorf("get: %v", err)
					return
				}
				body, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if string(body) != want {
					t.Errorf("answer = %q, want %q", body, want)
				}
			}
		})
	}
	clients.Wait()
	for range 10 {
		if err := here.Send(t.Context(), wire.Advert{}); err != nil {
			t.Fatal(err)
		}
		if _, err := there.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := here.Err(); err != nil {
		t.Errorf("the link ended: %v", err)
	}
	back, _ := b.dial(t, a)
	back.Close(wire.CodeDuplicate, "enough")
}

func TestSendWaitsWhileTheQueueIsFullAndThenGivesUp(t *testing.T) {
	_, _, here, there := pair(t, limits(func(l *Limits) { l.Queue, l.Send = 4, 500*time.Millisecond }))
	message := wire.Ballots{Batches: make([]byte, 400_000)}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	short, cancelShort := context.WithCancel(t.Context())
	cancelShort()
	var err error
	sent := 0
	for err == nil { // nobody receives: inbox, window, queue fill; then Send waits, then the link ends
		err = here.Send(ctx, message)
		sent++
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the link did not end after %d messages", sent)
	}
	if !strings.Contains(err.Error(), "took no control message for 500ms") {
		t.Errorf("Send = %v", err)
	}
	if sent > 16 {
		t.Errorf("%d messages of 400 KB were taken: no back-pressure", sent)
	}
	if err := here.Send(short, message); err == nil {
		t.Error("Send works after the end")
	}
	awaitDone(t, here)
	awaitDone(t, there)
}

func TestSendDataWaitsForASlowNeighbour(t *testing.T) {
	_, _, here, there := pair(t)
	row := replica.Row{Kind: 1, Key: []byte("k"), Body: noise(256 << 10), Version: replica.Version{Seq: 1, Origin: replica.Origin{Node: here.Peer().Node}}}
	message := wire.Rows{Batch: replica.Batch{Origin: row.Version.Origin, To: 1, Rows: []replica.Row{row}}}
	sent, given := 0, 0
	for sent == 0 || given == 0 { // on a slow machine the first one may be given up too
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err := here.SendData(ctx, message)
		cancel()
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			given++
		case err != nil:
			t.Fatal(err)
		default:
			sent++
		}
		if given > 20 {
			break
		}
	}
	if sent == 0 || sent > 8 { // 512 KB of window and what the reader holds
		t.Errorf("%d frames of 256 KB were taken by a neighbour that reads none", sent)
	}
	if err := here.Send(t.Context(), wire.Advert{}); err != nil { // control goes on
		t.Error(err)
	}
	if _, err := there.Receive(t.Context()); err != nil {
		t.Error(err)
	}
	for range sent + 1 { // a frame whose sender gave up comes too, whole
		if _, err := there.ReceiveData(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
