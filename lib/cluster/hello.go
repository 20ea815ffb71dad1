package cluster

import (
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// The bounds of who may be a neighbour.
const (
	// maxClock is how far two clocks may be apart.
	maxClock = time.Minute
	// maxAbsence is how long a node may be away: what was deleted meanwhile
	// is remembered a little longer than that.
	maxAbsence = 365 * 24 * time.Hour
)

// view is what a node knows when it looks at a hello.
type view struct {
	mine  wire.Hello
	now   time.Time // time of day
	known []Known
	twin  func(node model.UID, boot uint64) bool // another process of the node is alive
	owner func(name string) (model.UID, bool)    // the reachable member of this name
}

// check returns why there can be no link with the sender of a hello; nil if
// nothing is against it. Each text tells both sides what to do. That both are
// of one cluster TLS has proved; the UIDs in the hellos differ while a CA is
// being replaced, as they are those of the oldest CA that each still trusts.
func (v view) check(h wire.Hello) *wire.Refuse {
	for _, rule := range []func(wire.Hello) *wire.Refuse{v.checkSelf, v.checkProtocol, v.checkClock, v.checkKnown, v.checkTwin, v.checkName} {
		if r := rule(h); r != nil {
			return r
		}
	}
	return nil
}

func refuse(code wire.Code, format string, args ...any) *wire.Refuse {
	return &wire.Refuse{Code: code, Text: fmt.Sprintf(format, args...)}
}

func (v view) checkSelf(h wire.Hello) *wire.Refuse {
	switch {
	case h.Node != v.mine.Node:
		return nil
	case h.Boot == v.mine.Boot:
		return refuse(wire.CodeSelf, "node %q dialled itself: nothing to do, its own address may stay in cluster_join", h.Name)
	}
	return twinText(h)
}

func twinText(h wire.Hello) *wire.Refuse {
	return refuse(wire.CodeTwin, "two running processes use the key of node %q (%s): stop one of them; a copied machine needs a key and a name of its own "+
		"(aquarium-fish cluster join). After a crash this ends by itself in some seconds", h.Name, h.Node)
}

func (v view) checkProtocol(h wire.Hello) *wire.Refuse {
	if h.ProtocolMin <= v.mine.ProtocolMax && v.mine.ProtocolMin <= h.ProtocolMax {
		return nil
	}
	return refuse(wire.CodeProtocol, "node %q (%s) speaks protocol %d to %d, node %q (%s) %d to %d: upgrade the older one",
		h.Name, h.Program, h.ProtocolMin, h.ProtocolMax, v.mine.Name, v.mine.Program, v.mine.ProtocolMin, v.mine.ProtocolMax)
}

func (v view) checkClock(h wire.Hello) *wire.Refuse {
	off := h.Time().Sub(v.now)
	if off.Abs() <= maxClock {
		return nil
	}
	return clocksApart(off, h.Name, v.mine.Name)
}

// clocksApart says so of a neighbour whose clock is off ahead of this node's.
func clocksApart(off time.Duration, theirs, mine string) *wire.Refuse {
	ahead, behind := theirs, mine
	if off < 0 {
		ahead, behind = behind, ahead
	}
	return refuse(wire.CodeClock, "the clock of node %q is %s ahead of that of node %q, at most %s is allowed: set the wrong one (let NTP do it)",
		ahead, off.Abs().Round(time.Second), behind, maxClock)
}

func (v view) checkKnown(h wire.Hello) *wire.Refuse {
	for _, k := range v.known {
		switch {
		case k.Node != h.Node:
		case k.Retired:
			return refuse(wire.CodeRetired, "node %q (%s) was retired: to use the machine again, let it join anew with a fresh key (aquarium-fish cluster join)", h.Name, h.Node)
		case !k.Seen.IsZero() && v.now.Sub(k.Seen) > maxAbsence:
			return refuse(wire.CodeAbsent, "nodes %q and %q have not met for %d days, at most %d are allowed: move the database of the one that was away aside, and let it join anew",
				h.Name, v.mine.Name, int(v.now.Sub(k.Seen).Hours()/24), int(maxAbsence.Hours()/24))
		}
	}
	return nil
}

func (v view) checkTwin(h wire.Hello) *wire.Refuse {
	if v.twin(h.Node, h.Boot) {
		return twinText(h)
	}
	return nil
}

func (v view) checkName(h wire.Hello) *wire.Refuse {
	owner, taken := v.owner(h.Name)
	if h.Name == v.mine.Name {
		owner, taken = v.mine.Node, true
	}
	for _, k := range v.known {
		if k.Name == h.Name && !k.Retired && k.Node != h.Node {
			owner, taken = k.Node, true
		}
	}
	if !taken || owner == h.Node {
		return nil
	}
	return refuse(wire.CodeName, "the name %q belongs to node %s, not to %s: give one of them another name, or retire the one that is gone (aquarium-fish cluster retire)",
		h.Name, owner, h.Node)
}
