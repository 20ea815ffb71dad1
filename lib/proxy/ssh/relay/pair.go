package relay

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// pair is a channel: the one that a side opened, and ours to the other side.
type pair struct {
	of           *Relay
	opener, peer *half
	session      bool // of a shell, a command or a subsystem

	begun    chan struct{} // closed when data may pass
	beginOne sync.Once
	// finished says that the target told how the session ended: what follows is
	// no loss.
	finished atomic.Bool
	told     chan struct{} // closed when that was passed on
	tellOne  sync.Once

	terminal *Terminal // what the client asked for; used by its requests alone
	granted  atomic.Bool
	tap      atomic.Pointer[tap]
}

// half is one end of a pair.
type half struct {
	*end

	channel  ssh.Channel
	requests <-chan *ssh.Request
	streamed chan struct{} // closed when all data that came from it was passed on
	passed   chan struct{} // closed when its requests were, too
	asked    chan struct{} // closed when it asks no more
	idle     chan struct{} // has its one element while no request of it is to be answered
	unheard  chan struct{} // has an element when data that came from it was not taken any more

	// errors guards the extended stream towards it, to which two may write: what
	// its counterpart says there, and Tell. shut: nothing follows there.
	errors sync.Mutex
	shut   bool
}

func newPair(r *Relay, opener, peer *end, kind string) *pair {
	return &pair{
		of: r, session: kind == "session", begun: make(chan struct{}), told: make(chan struct{}),
		opener: newHalf(opener), peer: newHalf(peer),
	}
}

func newHalf(e *end) *half {
	h := &half{
		end: e, streamed: make(chan struct{}), passed: make(chan struct{}), unheard: make(chan struct{}, 1),
		asked: make(chan struct{}), idle: make(chan struct{}, 1),
	}
	h.idle <- struct{}{}
	return h
}

// passed is closed when all that came from one side was passed on.
func (p *pair) passed(from *end) <-chan struct{} {
	if p.opener.end == from {
		return p.opener.passed
	}
	return p.peer.passed
}

// relay opens the channel on the other side, and relays until both are closed.
func (p *pair) relay(asked ssh.NewChannel) {
	if !p.connect(asked) {
		close(p.opener.passed)
		close(p.peer.passed)
		return
	}
	p.of.channels.Add(1)
	if !p.session {
		p.begin() // only a session is told first what is to receive the data
	}
	var work sync.WaitGroup
	for _, d := range []struct{ from, to *half }{{p.opener, p.peer}, {p.peer, p.opener}} {
		work.Go(func() { p.stream(d.from, d.to) })
		work.Go(func() { p.requests(d.from, d.to) })
	}
	work.Wait()
	if t := p.tap.Load(); t != nil {
		t.close()
	}
}

// connect opens the channel on the other side, and answers who asked for it as
// that one does.
func (p *pair) connect(asked ssh.NewChannel) bool {
	kind := asked.ChannelType()
	if strings.HasPrefix(kind, "forwarded-") {
		p.of.afterForwards()
	}
	channel, requests, err := p.peer.open(kind, asked.ExtraData())
	if err != nil {
		reason, message := ssh.ConnectionFailed, "the other side has gone"
		if refused, ok := errors.AsType[*ssh.OpenChannelError](err); ok {
			reason, message = refused.Reason, refused.Message
		}
		_ = asked.Reject(reason, message) // or it has ended
		return false
	}
	p.peer.channel, p.peer.requests = channel, requests
	p.opener.channel, p.opener.requests, err = asked.Accept()
	if err != nil { // its connection has ended
		go ssh.DiscardRequests(requests) // ends with the connection, which ends now
		_ = channel.Close()
		return false
	}
	return true
}

func (p *pair) begin() { p.beginOne.Do(func() { close(p.begun) }) }

// requests relays what one side asks about the channel, and its close at the
// end.
func (p *pair) requests(from, to *half) {
	defer close(from.passed)
	for req := range from.requests {
		<-from.idle
		p.request(from, to, req)
		from.idle <- struct{}{}
	}
	close(from.asked)
	<-to.idle // what it asked last is answered before it hears of the close
	to.idle <- struct{}{}
	p.begin() // nothing comes any more for which data would have to wait
	p.drain(from, to)
	if !p.cut(from) {
		_ = to.channel.Close() // or it is closed
	}
}

// request relays one request, and its answer.
func (p *pair) request(from, to *half, req *ssh.Request) {
	p.before(from, req)
	terminal := req.Type == "pty-req" && from.end == p.of.client
	// Whether there is a terminal has to be known also if the client does not ask.
	answered := req.WantReply || terminal
	ok, _, err := p.of.ask(answered, func() (bool, []byte, error) {
		ok, err := to.channel.SendRequest(req.Type, answered, req.Payload)
		return ok, nil, err
	})
	if from.end == p.of.target && tellsEnd(req.Type) {
		p.tellOne.Do(func() { close(p.told) })
	}
	ok = ok && err == nil
	if ok && terminal {
		ok = p.openTerminal()
	}
	_ = req.Reply(ok, nil) // or it has ended
	if p.session && startsSession(req.Type) && (ok || !req.WantReply) {
		p.begin()
	}
}

// drain waits until what came from a side that has closed the channel was
// passed on. A client may take its time: its user reads page by page. What runs
// at the target has to learn in the end that nobody hears it any more, although
// it takes nothing.
func (p *pair) drain(from, to *half) {
	if to.end == p.of.client {
		<-from.streamed
		return
	}
	select {
	case <-from.streamed:
		return
	case <-to.unheard:
	}
	late := time.AfterFunc(closeTime, func() { _ = to.channel.Close() }) // or it is closed
	defer late.Stop()
	<-from.streamed
}

// before notes what a request says.
func (p *pair) before(from *half, req *ssh.Request) {
	switch {
	case from.end == p.of.target && tellsEnd(req.Type):
		p.finished.Store(true)
	case from.end != p.of.client:
	case req.Type == "pty-req":
		p.terminal = parseTerminal(req.Payload)
	case req.Type == "window-change":
		p.resize(req.Payload)
	}
}

// startsSession reports whether a request makes something run that takes the
// data: what comes before it has been granted, OpenSSH's server throws away.
func startsSession(request string) bool {
	return request == "shell" || request == "exec" || request == "subsystem"
}

// tellsEnd reports whether a request tells how a session ended.
func tellsEnd(request string) bool { return request == "exit-status" || request == "exit-signal" }

// awaitEnd keeps the end of a session's output back for how the session ended,
// which servers tell before it or after. A client that has ended its input closes
// the channel at once when the output ends, and crypto/ssh agrees to that without
// asking: the exit status would find no channel any more. A client whose input is
// open waits for it, and may have a use for the end of the output meanwhile.
func (p *pair) awaitEnd(from, to *half) {
	limit := time.NewTimer(endTime)
	defer limit.Stop()
	select {
	case <-p.told:
		return
	case <-from.asked:
		return
	case <-limit.C:
	}
	select {
	case <-to.streamed:
	default:
		return
	}
	select {
	case <-p.told:
	case <-from.asked:
	}
}

// cut reports whether the stream of a side ended because its connection did,
// in the middle of it. Some servers close the connection right behind the end of
// a session, so what they told of that counts, unless the connection broke: how a
// command ended is told before the last of its output.
func (p *pair) cut(from *half) bool {
	return from.Wire.Over() && (!p.finished.Load() || from.end == p.of.target && from.Wire.broken())
}
