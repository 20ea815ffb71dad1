package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// interfaces bounds how many an engine may keep for networks that it shows to
	// nobody, before one of that name can not be made any more.
	interfaces = 8
	// lostPatience is how long a network is looked for that somebody else makes.
	lostPatience = 2500 * time.Millisecond
	// hiddenAfter is how long the engine has to refuse an interface for a network
	// that it does not show. One that is just being made shows within a second, on
	// a busy machine within a few.
	hiddenAfter = 10 * time.Second
	// mostPatience bounds all of it: it is tried with each interface, if need be.
	mostPatience = (interfaces + 1) * hiddenAfter
)

// errNoInterface says that the engine keeps all interfaces of a network.
var errNoInterface = errors.New("the engine keeps all interfaces that it may have for networks that it does not show, as one that was killed " +
	"while it made them: mend the engine's record of its networks")

// bridgeName is the interface of a network: the engine refuses a second network
// with it, and several engines of one machine do not share it. 15 bytes are what
// the kernel allows. The first is everybody's; the others are for where the engine
// keeps those before it for networks that it shows to nobody.
func (n *networks) bridgeName(name string, which int) string {
	text := n.engineID + " " + name
	if which > 0 {
		text += " " + strconv.Itoa(which)
	}
	sum := sha256.Sum256([]byte(text))
	return "aq-" + hex.EncodeToString(sum[:6])
}

// create makes the network with the first of its interfaces that is not kept for
// a hidden one. It begins with the first each time, so that processes that know
// of different hidden ones do not make two networks.
func (n *networks) create(ctx context.Context, name string) (iface string, err error) {
	call, cancel := n.uncut(ctx)
	defer cancel()
	for which := range interfaces {
		iface = n.bridgeName(name, which)
		if _, err = n.engine.NetworkCreate(call, name, n.recipe(name, iface)); err == nil || !n.hides(iface, rival(err)) {
			return iface, err
		}
	}
	return "", fmt.Errorf("%w: %w", errNoInterface, err)
}

// rival is the network for which the engine refuses its interface to another
// one; empty for other failures. Engines give it no code of its own.
func rival(err error) string {
	before, after, found := strings.Cut(err.Error(), "conflicts with network ")
	if !found || !strings.Contains(before, "cannot create network") || !strings.Contains(after, "same bridge name") {
		return ""
	}
	id, _, _ := strings.Cut(after, " ")
	return id
}

// refusal is how long the engine has refused an interface for one and the same
// network.
type refusal struct {
	iface, rival string
	since        time.Time
}

func (r refusal) next(iface, rival string, now time.Time) refusal {
	if r.iface == iface && r.rival == rival {
		return r
	}
	return refusal{iface, rival, now}
}

// lost reports whether a network can not be made that nobody else makes either.
func (r refusal) lost(now time.Time) bool { return r.rival == "" && now.Sub(r.since) > lostPatience }

// lasts reports whether the network is hidden for which the interface is refused.
func (r refusal) lasts(now time.Time) bool { return r.rival != "" && now.Sub(r.since) >= hiddenAfter }

// hide notes that the engine keeps an interface for a network that it will never
// show: it was killed between its two notes of one, and reads only the first.
func (n *networks) hide(name string, r refusal) {
	n.mu.Lock()
	n.hidden[r.iface] = r.rival
	n.mu.Unlock()
	n.log.Warn("the engine keeps an interface for a network that it does not show, as one that was killed while it made it: "+
		"another interface is used", "network", name, "interface", r.iface, "kept_for", r.rival)
}

func (n *networks) hides(iface, rival string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return rival != "" && n.hidden[iface] == rival
}
