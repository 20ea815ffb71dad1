package relay

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// drainTime is how long what a side sent before its connection ended is
	// still passed on: at most two megabytes for each channel, which the other
	// side may take slowly.
	drainTime = 2 * time.Minute
	// closeTime is how long what a client sent before it closed the channel waits
	// for a target that does not take it, and talks to nobody meanwhile.
	closeTime = time.Minute
	// DefaultMaxChannels is how many channels one connection has at most. Tools
	// that open many (editors, forwarded browsers) stay below a hundred; each
	// may hold four megabytes of what its receiver does not take.
	DefaultMaxChannels = 256
)

// Side is one of the two connections.
type Side struct {
	Conn     ssh.Conn
	Channels <-chan ssh.NewChannel
	Requests <-chan *ssh.Request
	Wire     *Wire
}

// Options is what a Relay needs.
type Options struct {
	// Client opened its connection to us, Target had ours opened to it.
	Client, Target Side
	// MaxChannels bounds the open channels. Default: DefaultMaxChannels.
	MaxChannels int
	// Record is told of each terminal that the target has granted; nil: nobody
	// wants to know. After an error nothing runs in the terminal.
	Record func(Terminal) (Recording, error)
	// Failed is told once of a recording that can not be written any more; the
	// owner of the connections ends them.
	Failed func(error)
	// Lost is called when the target's connection has ended while something runs
	// in a terminal, before the client's is closed; nil: nobody wants to know.
	Lost func()
}

// Relay is the pair of connections.
type Relay struct {
	client, target *end
	maxChannels    int
	record         func(Terminal) (Recording, error)
	failed         func(error)
	failure        sync.Once
	gone           func()
	cut            chan struct{} // closed by Cut
	cutOnce        sync.Once

	in, out  atomic.Int64 // payload bytes from the client, and to it
	channels atomic.Int64 // ever opened

	// forwards holds its one element while no answer to a request for a forward
	// is on its way: the channels of a forward come after it.
	forwards chan struct{}

	mu    sync.Mutex
	pairs map[*pair]struct{} // guarded by mu: those that are open or being opened
}

// end is a side in use.
type end struct {
	Side

	of     *Relay
	silent chan struct{} // closed when no channel comes any more
	over   chan struct{} // closed when its connection has ended
	carved *atomic.Int64 // counts what comes from it
}

// New makes a relay of connections that are logged in; nothing moves before Run.
func New(o Options) *Relay {
	if o.MaxChannels <= 0 {
		o.MaxChannels = DefaultMaxChannels
	}
	o.Client.Wire.Free()
	o.Target.Wire.Free()
	r := &Relay{maxChannels: o.MaxChannels, record: o.Record, failed: o.Failed, gone: o.Lost, pairs: map[*pair]struct{}{}}
	r.cut, r.forwards = make(chan struct{}), make(chan struct{}, 1)
	r.forwards <- struct{}{}
	r.client = &end{Side: o.Client, of: r, silent: make(chan struct{}), over: make(chan struct{}), carved: &r.in}
	r.target = &end{Side: o.Target, of: r, silent: make(chan struct{}), over: make(chan struct{}), carved: &r.out}
	return r
}

// Run relays until both connections have ended, which the end of either leads
// to, and nothing of it runs any more. Who wants an earlier end calls Cut.
func (r *Relay) Run() {
	var work sync.WaitGroup
	for _, d := range []struct{ from, to *end }{{r.client, r.target}, {r.target, r.client}} {
		work.Go(func() { r.globals(d.from, d.to) })
		work.Go(func() { r.accept(d.from, d.to) })
		work.Go(func() { r.follow(d.from, d.to) })
	}
	work.Wait()
}

// Bytes returns how much payload came from the client and went to it so far.
func (r *Relay) Bytes() (in, out int64) { return r.in.Load(), r.out.Load() }

// Channels returns how many channels were opened so far.
func (r *Relay) Channels() int64 { return r.channels.Load() }

// follow ends the connection of one side after that of the other, when what
// came from it has been passed on.
func (r *Relay) follow(from, to *end) {
	// Conn.Wait may never return: after a fault of the protocol crypto/ssh waits for
	// a reader that waits for it, if enough came behind the fault.
	<-from.silent
	_ = from.Conn.Close() // it may have ended by itself
	from.Wire.End()
	close(from.over)
	patience := time.NewTimer(drainTime)
	defer patience.Stop()
	pairs := r.open()
	if from == r.target && r.gone != nil && slices.ContainsFunc(pairs, (*pair).inTerminal) {
		r.gone()
	}
	for _, p := range pairs {
		select {
		case <-p.passed(from):
		case <-to.over:
			return
		case <-patience.C:
			_ = to.Conn.Close() // it takes nothing
			return
		}
	}
	_ = to.Conn.Close() // it may have gone by itself
}

// open are the pairs that are there now.
func (r *Relay) open() []*pair {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*pair, 0, len(r.pairs))
	for p := range r.pairs {
		all = append(all, p)
	}
	return all
}

// enter counts a pair in, unless there are too many.
func (r *Relay) enter(p *pair) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pairs) >= r.maxChannels {
		return false
	}
	r.pairs[p] = struct{}{}
	return true
}

func (r *Relay) leave(p *pair) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pairs, p)
}

// accept relays the channels that one side opens.
func (r *Relay) accept(from, to *end) {
	var work sync.WaitGroup
	for channel := range from.Channels {
		p := newPair(r, from, to, channel.ChannelType())
		if !r.enter(p) {
			_ = channel.Reject(ssh.ResourceShortage, "too many channels are open on this connection") // or it has ended
			continue
		}
		work.Go(func() {
			defer r.leave(p)
			p.relay(channel)
		})
	}
	close(from.silent)
	work.Wait()
}

// lost ends all after a recording that can not be written.
func (r *Relay) lost(err error) {
	r.failure.Do(func() {
		if r.failed != nil {
			r.failed(err)
		}
	})
}
