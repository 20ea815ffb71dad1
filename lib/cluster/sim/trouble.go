package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"time"
)

// resend is how long TCP waits before it sends a lost packet again, at first.
const resend = 200 * time.Millisecond

// trouble is what makes a network a bad one.
type trouble struct {
	mu     sync.Mutex
	dice   *rand.Rand // guarded by mu; nil: none
	loss   float64    // guarded by mu
	jitter time.Duration
}

// Disturb makes the network lose this share of all packets, which TCP sends
// again after a while, and lets each message take up to jitter longer. Order
// within a stream stays, as TCP keeps it. 0, 0 ends it.
func (n *Network) Disturb(loss float64, jitter time.Duration, seed uint64) {
	n.trouble.mu.Lock()
	defer n.trouble.mu.Unlock()
	n.trouble.dice, n.trouble.loss, n.trouble.jitter = rand.New(rand.NewPCG(seed, 77)), loss, jitter //nolint:gosec // a simulation
}

// extra is how much longer than usual the next message takes.
func (t *trouble) extra() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dice == nil {
		return 0
	}
	var d time.Duration
	if t.jitter > 0 {
		d = time.Duration(t.dice.Int64N(int64(t.jitter)))
	}
	for again := resend; again < dead && t.dice.Float64() < t.loss; again *= 2 {
		d += again
	}
	return d
}

// Freeze stops a machine: nothing leaves it, nothing reaches it.
func (n *Network) Freeze(address string) { n.freeze(address, true) }

// Thaw ends Freeze.
func (n *Network) Thaw(address string) { n.freeze(address, false) }

func (n *Network) freeze(address string, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.frozen[address] = on
}

// Slow lets no rows pass from one address to another, as where one side is far
// behind with them; all else does. Fast ends it.
func (n *Network) Slow(from, to string) { n.set(n.slow, from, to, true) }

// Fast ends Slow.
func (n *Network) Fast(from, to string) { n.set(n.slow, from, to, false) }

// carries reports whether rows that from sends reach to.
func (n *Network) carries(from, to string) bool {
	n.mu.Lock()
	slow := n.slow[[2]string{from, to}]
	n.mu.Unlock()
	return !slow && n.passes(from, to)
}

// Newer makes the transport one of a later program: each message has a field
// that this version does not know, and is followed by a message that it does
// not know.
func (t *Transport) Newer() { t.newer = true }

// tomorrow is the number of fields and messages that there are not yet.
const tomorrow = 9999

// later returns the message as a later program would send it.
func later(data []byte) []byte {
	_, n := binary.Uvarint(data)
	out := append([]byte(nil), data...)
	if n <= 0 || n >= len(out) || out[n] < 0xa0 || out[n] >= 0xb7 { // no CBOR map with room for a pair in its first byte
		return out
	}
	out[n]++
	return append(out, 0x19, tomorrow>>8, tomorrow&0xff, 0x01)
}

// unknown is a message of a later program.
func unknown() []byte { return append(binary.AppendUvarint(nil, tomorrow), 0xa0) }
