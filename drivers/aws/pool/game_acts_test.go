package pool

import (
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// do carries an action out: some time later, with an answer or without.
func (g *game) do(n *node, a Action) {
	switch a := a.(type) {
	case Grant:
		g.seen["grant"]++
		g.granted(n, a)
	case Refuse:
		g.seen["refuse"]++
		delete(g.open, a.Token)
	case Alarm:
		g.seen["alarm"]++
	case Describe:
		g.call(n, "list", func() Event { return Described{Action: a.ID, Hosts: g.w.list()} },
			func(err error) Event { return Described{Action: a.ID, Err: err} })
	case AllocateHost:
		limit := n.cfg.Max
		g.call(n, "allocate", func() Event { return g.allocate(a, limit) }, func(err error) Event { return Allocated{Action: a.ID, Err: err} })
	case ReleaseHosts:
		g.call(n, "release", func() Event {
			released, refused := g.w.release(a.Hosts)
			return Released{Action: a.ID, Released: released, Refused: refused}
		}, func(err error) Event { return Released{Action: a.ID, Err: err} })
	case StartScrub:
		g.call(n, "scrub", func() Event {
			id, err := g.w.launch(a.Host, a.ClientToken, true)
			return ScrubStarted{Action: a.ID, Instance: id, Err: err}
		}, func(err error) Event { return ScrubStarted{Action: a.ID, Err: err} })
	case EndScrub:
		g.call(n, "end scrub", func() Event { return ScrubEnded{Action: a.ID, Err: g.w.terminate(a.Instance)} },
			func(err error) Event { return ScrubEnded{Action: a.ID, Err: err} })
	}
}

// allocate allocates a host, and checks the maximum at the moment that it is made.
func (g *game) allocate(a AllocateHost, limit int) Event {
	before := len(g.w.live())
	id, err := g.w.allocate(a)
	if after := len(g.w.live()); after > before && after > limit {
		g.fatalf("%d hosts, and the maximum is %d", after, limit)
	}
	return Allocated{Action: a.ID, Host: id, Err: err}
}

// call does something at AWS within half a minute, and tells the answer.
func (g *game) call(n *node, what string, do func() Event, fail func(error) Event) {
	g.seen[what]++
	life := n.life
	tell := func(e Event) {
		g.after(g.w.between(0, 20*time.Second), func() {
			if n.life != life {
				return
			}
			if d, ok := e.(Described); ok && d.Err == nil {
				n.counted = max(n.counted, d.Action)
			}
			g.step(n, e)
		})
	}
	g.after(g.w.between(0, 20*time.Second), func() {
		switch {
		case n.life != life && g.dice.IntN(2) == 0: // killed before it was sent
		case g.w.outage, g.w.chance(0.02):
			tell(fail(errUnsure))
		case g.w.chance(0.02):
			tell(fail(cloud.NewError("RequestLimitExceeded", "too many")))
		case g.w.chance(0.08):
			g.seen["lost answer"]++
			do()
			if g.dice.IntN(3) > 0 {
				tell(fail(errUnsure))
			}
		default:
			tell(do())
		}
	})
}

// granted is what a driver does with its host.
func (g *game) granted(n *node, a Grant) {
	delete(g.open, a.Token)
	p := g.promises[a.Token]
	if p == nil || p.host != a.Host || p.over {
		p = &promise{token: a.Token, host: a.Host}
		g.promises[a.Token] = p
	}
	p.until = a.Until.Add(-n.clock)
	life := n.life
	switch {
	case g.w.chance(0.05): // the driver is killed
	case g.w.chance(0.1):
		g.after(g.w.between(0, time.Minute), func() {
			if n.life == life && !p.sent {
				p.over = true
				g.step(n, Cancel{a.Token})
			}
		})
	default:
		g.after(g.w.between(0, 5*time.Minute), func() {
			if p.sent || p.over || p.until.Before(g.w.now) {
				return
			}
			p.sent = true
			g.launch(n, p, life)
		})
	}
}

// launch launches a token's instance, and tells.
func (g *game) launch(n *node, p *promise, life int) {
	e := Launched{Token: p.token, Err: errUnsure}
	if !g.w.outage {
		e.Instance, e.Err = g.w.launch(p.host, p.token, false)
		if e.Err != nil {
			p.over = true
		}
		if g.w.chance(0.1) {
			e.Instance, e.Err = "", errUnsure
		}
	}
	g.after(g.w.between(0, 10*time.Second), func() {
		if e.Err != nil && !cloud.Undone(e.Err) {
			p.over, p.sent = true, false // whatever became of it, the instance says
		}
		p.sent = false
		if e.Err == nil {
			p.over = true // from here on, the instance counts
		}
		if n.life == life && !g.w.chance(0.05) {
			g.step(n, e)
		}
	})
}

// agenda is what happens later.
type agenda []appointment

type appointment struct {
	at    time.Time
	order int
	do    func()
}

// Len implements heap.Interface.
func (a agenda) Len() int { return len(a) }

// Less implements heap.Interface.
func (a agenda) Less(i, j int) bool {
	if c := a[i].at.Compare(a[j].at); c != 0 {
		return c < 0
	}
	return a[i].order < a[j].order
}

// Swap implements heap.Interface.
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }

// Push implements heap.Interface.
func (a *agenda) Push(x any) { *a = append(*a, x.(appointment)) }

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	*a = (*a)[:last]
	return x
}
