package app

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/lifecycle"
	"github.com/aquarium-fish/aquarium-fish/lib/loop"
	"github.com/aquarium-fish/aquarium-fish/lib/maintenance"
	"github.com/aquarium-fish/aquarium-fish/lib/meta"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// The functions here fit one part's output to another's input; none decides
// anything.

// entries are the configured driver instances as the registry takes them.
func entries(cfg *config.Config) []drivers.Entry {
	list := make([]drivers.Entry, len(cfg.Drivers))
	for i, e := range cfg.Drivers {
		list[i] = drivers.Entry{Name: e.Name, Cfg: []byte(e.Cfg), Line: e.Line}
	}
	return list
}

// driverOf looks an instance up, or says why it is not there.
func driverOf(r *drivers.Registry) func(name string) (drivers.Driver, string) {
	return func(name string) (drivers.Driver, string) {
		if d, ok := r.Get(name); ok {
			return d, ""
		}
		return nil, r.Reason(name)
	}
}

// wanted says what a node keeps for an instance, once there is who knows.
type wanted struct {
	life atomic.Pointer[lifecycle.Manager]
}

// of is drivers.Config.Wanted of an instance.
func (w *wanted) of(instance string) (names map[string]bool, whole bool) {
	life := w.life.Load()
	if life == nil {
		return nil, false
	}
	return life.Wanted(instance)
}

// instances are the names of all configured instances, ready or not.
func instances(r *drivers.Registry) func() []string {
	return func() []string {
		var names []string
		for _, s := range r.Status() {
			names = append(names, s.Name)
		}
		return names
	}
}

// metadataNetworks are the networks that a driver's instance declares; those of
// all where the name is empty.
func metadataNetworks(r *drivers.Registry) func(instance string) []netip.Prefix {
	return func(instance string) []netip.Prefix {
		names := []string{instance}
		if instance == "" {
			names = instances(r)()
		}
		var all []netip.Prefix
		for _, name := range names {
			d, _ := r.Get(name)
			if n, ok := d.(drivers.MetadataNetworks); ok {
				all = append(all, n.MetadataNetworks()...)
			}
		}
		return all
	}
}

// metadataURL is where an environment that shares this host's network asks for
// its metadata. Listeners on all addresses are reached by loopback; where no
// certificate can name the address, by the one that others know the node by.
func metadataURL(bound net.Addr, nodeAddress string, named func(netip.Addr) bool, log *slog.Logger) func(token string) string {
	host, port, _ := net.SplitHostPort(bound.String()) // of a bound TCP listener: well-formed
	ip, err := netip.ParseAddr(host)
	if err == nil && ip.IsUnspecified() {
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		host = ip.String()
	}
	if outside, _, splitErr := net.SplitHostPort(nodeAddress); err == nil && splitErr == nil && !named(ip) {
		host = outside
		log.Warn("environments read their metadata by the address of the node: its certificate does not name "+
			"the one it listens on, and there is no CA key to sign another", "address", ip, "node_address", nodeAddress)
	}
	base := "https://" + net.JoinHostPort(host, port)
	return func(token string) string { return base + meta.TokenPath(token) }
}

// boundTo says where a listener is bound, which those are told who are to reach
// it; ok is false where there is none, as its port was taken.
func boundTo(l *net.TCPListener) func() (address netip.AddrPort, ok bool) {
	return func() (netip.AddrPort, bool) {
		if l == nil {
			return netip.AddrPort{}, false
		}
		address := l.Addr().(*net.TCPAddr).AddrPort() //nolint:forcetypeassert // of a TCP listener
		return address, address.IsValid()
	}
}

// changesOf waits for the next change of any application, for one who waits.
func (a *App) changesOf(db *store.Store) func(ctx context.Context) error {
	changes := db.Subscribe(store.KindApplication)
	a.cleanups.add("feed of applications", func(context.Context) error { changes.Close(); return nil })
	return nextOf(changes)
}

func nextOf(changes *store.Subscription) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-changes.C():
			changes.Take()
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// forwardEvents tells those who wait for room or for a driver that there may
// be some: wake is for those who decide what this node takes on, and fetches.
func forwardEvents(
	ctx context.Context, r *drivers.Registry, k *maintenance.Keeper, life *lifecycle.Manager, wake func(), m *member,
) error {
	driversChanged, stop := r.Subscribe()
	defer stop()
	life.DriversChanged() // one may have come between the start and the subscription
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-driversChanged:
			life.DriversChanged()
			wake()
		case <-k.Changed():
			life.LookAgain()
			wake()
			m.Touch()
		case <-life.Idle():
			k.RunningChanged()
		}
	}
}

// pulsePeriod is how often a node gives a sign of life (contract 12).
const pulsePeriod = 10 * time.Second

// pulse is the node's sign of life: the last time at which its loop ran and
// its database took writes. A node that hangs or can not write falls behind,
// although its sockets may still answer.
type pulse struct {
	writable func() error
	at       atomic.Pointer[time.Time]
}

func newPulse(writable func() error) *pulse {
	p := &pulse{writable: writable}
	p.beat()
	return p
}

func (p *pulse) beat() {
	if p.writable() == nil {
		now := time.Now().UTC()
		p.at.Store(&now)
	}
}

func (p *pulse) last() time.Time {
	if at := p.at.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

func (p *pulse) run(ctx context.Context) error {
	loop.Every(ctx, pulsePeriod, func(context.Context) { p.beat() })
	return nil
}
