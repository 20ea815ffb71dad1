package farm

import (
	"fmt"
	"os/exec"
	"time"
)

// rule drops packets that come in at a node from another one.
type rule struct {
	from, to int
	share    float64 // of the packets; 1 is all
}

func (r rule) arguments() []string {
	args := []string{"INPUT", "-s", host(r.from)}
	if r.share < 1 {
		args = append(args, "-m", "statistic", "--mode", "random", "--probability", fmt.Sprint(r.share))
	}
	return append(args, "-j", "DROP")
}

// iptables runs it in the name space where the packets come in.
func (n *Namespaces) iptables(change string, r rule) {
	n.t.Helper()
	args := append([]string{"--net=" + n.file(r.to), "--", "iptables", "-w", "10", change}, r.arguments()...)
	n.check(output(exec.Command("nsenter", args...)))
}

func (n *Namespaces) set(r rule) {
	n.t.Helper()
	if !n.broken[r] {
		n.iptables("-A", r)
		n.broken[r] = true
	}
}

// network of the farm, if it can be broken.
func (f *Farm) breakable() *Namespaces {
	f.t.Helper()
	n, ok := f.network.(*Namespaces)
	if !ok {
		f.t.Fatal("only a farm with Options.Namespaces can be broken")
	}
	return n
}

// Cut drops everything between two nodes, silently.
func (f *Farm) Cut(a, b int) {
	f.t.Helper()
	f.CutOneWay(a, b)
	f.CutOneWay(b, a)
}

// CutOneWay drops what one node sends to another; the other way all gets
// through.
func (f *Farm) CutOneWay(from, to int) {
	f.t.Helper()
	f.breakable().set(rule{from, to, 1})
}

// Lose drops that share of the packets between two nodes, both ways, by
// chance: 0.2 is every fifth.
func (f *Farm) Lose(a, b int, share float64) {
	f.t.Helper()
	f.breakable().set(rule{a, b, share})
	f.breakable().set(rule{b, a, share})
}

// Isolate cuts a node off from all others.
func (f *Farm) Isolate(node int) {
	f.t.Helper()
	for other := range f.Members {
		if other != node && f.topology.Sees(node, other) {
			f.Cut(node, other)
		}
	}
}

// Heal ends all cuts and losses.
func (f *Farm) Heal() {
	f.t.Helper()
	n := f.breakable()
	for r := range n.broken {
		n.iptables("-D", r)
		delete(n.broken, r)
	}
}

// Delay sets what a packet takes one way between two nodes. Their link was
// made with a delay.
func (f *Farm) Delay(a, b int, delay time.Duration) {
	f.t.Helper()
	for l, w := range f.breakable().wires {
		if l.has(a, b) {
			w.delay.Store(int64(delay))
			return
		}
	}
	f.t.Fatalf("the link between %d and %d was made without a delay", a, b)
}
