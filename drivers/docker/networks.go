package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/aquarium-fish/aquarium-fish/drivers/turns"
)

// The names of networks: <prefix><label's network>, of which two mean something.
const (
	networkPrefix = "aquarium-"
	hostOnly      = "hostonly" // the default: this machine and nothing else
	nat           = "nat"      // the world outside as well
)

// bridgeDriver is the engine's name of the kind of network that is made here.
const bridgeDriver = "bridge"

// networks are the bridges of environments. They are shared by all nodes and
// instances of an engine, made when they are needed and removed by who leaves
// them last.
type networks struct {
	engine   *client.Client
	engineID string
	owner    owner
	// uncut is a context for a call that is seen to its end.
	uncut func(context.Context) (context.Context, context.CancelFunc)
	log   *slog.Logger
	turns *turns.Turns // of names: who makes or removes one

	mu     sync.Mutex
	known  map[string]*bridge // by name
	hidden map[string]string  // by interface: the network that the engine keeps it for and shows to nobody
}

// bridge is a network that is there as far as this process knows.
type bridge struct {
	id       string
	subnets  []netip.Prefix
	gateway  netip.Addr
	internal bool
	ours     bool // made by a driver like this one, on whatever node
	users    int  // allocations on their way to a container that runs
}

func newNetworks(
	engine *client.Client, engineID string, o owner, uncut func(context.Context) (context.Context, context.CancelFunc), log *slog.Logger,
) *networks {
	return &networks{
		engine: engine, engineID: engineID, owner: o, uncut: uncut, log: log, turns: turns.New(),
		known: map[string]*bridge{}, hidden: map[string]string{},
	}
}

// load learns what others and earlier processes made.
func (n *networks) load(ctx context.Context) error {
	list, err := n.engine.NetworkList(ctx, client.NetworkListOptions{Filters: client.Filters{}.Add("name", networkPrefix)})
	if err != nil {
		return fmt.Errorf("list networks: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, item := range list.Items {
		if n.known[item.Name] == nil && strings.HasPrefix(item.Name, networkPrefix) { // the filter takes it anywhere in a name
			n.known[item.Name] = bridgeOf(item.Network)
		}
	}
	return nil
}

// bridgeOf reads a network of the engine. Only the addresses of a bridge are of
// this machine alone: the gateway of another kind, such as macvlan, is a
// stranger's, and so may be who calls from its subnet.
func bridgeOf(item network.Network) *bridge {
	b := &bridge{id: item.ID, internal: item.Internal, ours: item.Labels[labelScheme] != ""}
	if item.Driver != bridgeDriver {
		return b
	}
	for _, c := range item.IPAM.Config {
		if c.Subnet.IsValid() {
			b.subnets = append(b.subnets, c.Subnet)
		}
		switch {
		case c.Gateway.Is4():
			b.gateway = c.Gateway
		case c.Subnet.Addr().Is4() && !b.gateway.IsValid(): // the first one, where nobody said another
			b.gateway = c.Subnet.Masked().Addr().Next()
		}
	}
	return b
}

// prefixes are the addresses of all networks that are known.
func (n *networks) prefixes() []netip.Prefix {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []netip.Prefix
	for _, name := range slices.Sorted(maps.Keys(n.known)) {
		all = append(all, n.known[name].subnets...)
	}
	return all
}

// use returns the network, made if need be. Until release this process does not
// remove it; other processes may, which shows when a container starts.
func (n *networks) use(ctx context.Context, name string) (b bridge, release func(), err error) {
	done, err := n.turns.Take(ctx, name)
	if err != nil {
		return bridge{}, nil, err
	}
	defer done()
	known := n.get(name)
	if known == nil || checkPromise(name, known) != nil { // which an admin may have mended
		if known, err = n.ensure(ctx, name); err != nil {
			return bridge{}, nil, err
		}
	}
	if err := checkPromise(name, known); err != nil {
		return bridge{}, nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known[name] = known
	known.users++
	return *known, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		known.users--
	}, nil
}

func (n *networks) get(name string) *bridge {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known[name]
}

// gone reports whether a network is there no more, and forgets it then.
func (n *networks) gone(ctx context.Context, name, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	_, err := n.engine.NetworkInspect(ctx, id, client.NetworkInspectOptions{})
	if err == nil || !cerrdefs.IsNotFound(err) {
		return false, err
	}
	n.forget(name, id)
	return true, nil
}

func (n *networks) forget(name, id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if b := n.known[name]; b != nil && b.id == id {
		delete(n.known, name)
	}
}

// ensure finds the network or makes it. Of several processes that make it at
// once one succeeds, as no two networks may have a bridge of the same name; the
// others find it a moment later.
func (n *networks) ensure(ctx context.Context, name string) (*bridge, error) {
	var by refusal
	for began, wait := time.Now(), 5*time.Millisecond; ; wait = min(2*wait, time.Second) {
		b, err := n.look(ctx, name)
		if b != nil || err != nil {
			return b, err
		}
		iface, err := n.create(ctx, name)
		if err == nil {
			if b, err = n.look(ctx, name); b != nil || err != nil {
				return b, err
			}
			err = errAgain // who took it for unused has removed it
		}
		if noPoolLeft(err) {
			return nil, fmt.Errorf("make network %s: the engine has no addresses left: remove networks that nobody uses "+
				"(`docker network prune`), or give it more with default-address-pools in its daemon.json: %w", name, err)
		}
		now := time.Now()
		if by = by.next(iface, rival(err), now); by.lasts(now) {
			n.hide(name, by)
		}
		if errors.Is(err, errNoInterface) || by.lost(now) || now.Sub(began) > mostPatience || pause(ctx, wait) != nil {
			return nil, fmt.Errorf("make network %s: %w", name, err)
		}
	}
}

// look finds a network by its name; nil where there is none.
func (n *networks) look(ctx context.Context, name string) (*bridge, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	found, err := n.engine.NetworkInspect(ctx, name, client.NetworkInspectOptions{})
	switch {
	case err == nil && found.Network.Name == name:
		return bridgeOf(found.Network.Network), nil
	case err == nil, cerrdefs.IsNotFound(err): // an ID may begin like a name
		return nil, nil //nolint:nilnil // that is the answer
	}
	return nil, fmt.Errorf("look for network %s: %w", name, err)
}

// checkPromise refuses a network of somebody else's that breaks what its name promises.
func checkPromise(name string, b *bridge) error {
	if name == networkPrefix+hostOnly && !b.internal {
		return fmt.Errorf("network %s is there and leads outside: make it anew with --internal, or remove it", name)
	}
	return nil
}

// noPoolLeft tells the one failure that only an admin can mend. Engines give it
// no code of its own.
func noPoolLeft(err error) bool {
	text := err.Error()
	return strings.Contains(text, "non-overlapping IPv4 address pool") || strings.Contains(text, "predefined address pools")
}

// recipe is how a network is made. Only `nat` leads outside. The environments of
// the two general networks are of people who know nothing of each other, and do
// not reach each other; those of a network with a name of its own do.
func (n *networks) recipe(name, iface string) client.NetworkCreateOptions {
	options := map[string]string{"com.docker.network.bridge.name": iface}
	if name == networkPrefix+hostOnly || name == networkPrefix+nat {
		options["com.docker.network.bridge.enable_icc"] = "false"
	}
	return client.NetworkCreateOptions{
		Driver: bridgeDriver, Internal: name != networkPrefix+nat, Options: options, Labels: n.owner.labels(),
	}
}

// prune removes the networks that were made by drivers like this one and that no
// container uses. Which one uses it, the engine knows. One that it can not remove
// is left to the next prune: nobody's environment may hang on another's network.
func (n *networks) prune(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	if err := n.load(ctx); err != nil {
		return err
	}
	n.mu.Lock()
	names := slices.Sorted(maps.Keys(n.known))
	n.mu.Unlock()
	var errs []error
	for _, name := range names {
		errs = append(errs, n.pruneOne(ctx, name))
	}
	return errors.Join(errs...)
}

// sweep prunes again and again in the time after a start: what the engine had
// begun for a process that was killed comes to its end only then, and an
// environment may not come and go for hours.
func (n *networks) sweep(ctx context.Context) {
	for after := time.Second; after < makeTimeout; after *= 2 {
		if pause(ctx, after) != nil {
			return
		}
		if err := n.prune(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("networks that nobody uses can not be removed yet", "error", err)
		}
	}
}

func (n *networks) pruneOne(ctx context.Context, name string) error {
	done, err := n.turns.Take(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	b := n.unused(name)
	if b == nil {
		return nil
	}
	_, err = n.engine.NetworkRemove(ctx, b.id, client.NetworkRemoveOptions{})
	switch {
	case err == nil, cerrdefs.IsNotFound(err):
		n.forget(name, b.id)
		return nil
	case cerrdefs.IsPermissionDenied(err), cerrdefs.IsConflict(err): // somebody uses it
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("remove network %s: %w", name, err)
	}
	n.log.Warn("network that nobody uses can not be removed, it is tried again", "network", name, "error", err)
	return nil
}

// unused is a network of ours that nobody of this process needs.
func (n *networks) unused(name string) *bridge {
	n.mu.Lock()
	defer n.mu.Unlock()
	if b := n.known[name]; b != nil && b.ours && b.users == 0 {
		return b
	}
	return nil
}
