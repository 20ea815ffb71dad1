package socksproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	// maxAddresses bounds the addresses of a name that are tried.
	maxAddresses = 8
	// leastTry is how long one of them is tried at least, if there is as much
	// time: less is too short for a line to the other side of the world.
	leastTry = 2 * time.Second
)

// Resolver looks names up: *net.Resolver.
type Resolver interface {
	// LookupNetIP returns the addresses of a name.
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// reacher connects to what mappings lead to.
type reacher struct {
	resolver Resolver
	own      func() ([]netip.Prefix, error)
	networks func() []netip.Prefix // of environments
	network  network
	dialer   net.Dialer
	timeout  time.Duration
}

// request is one destination, with what its decision depends on.
type request struct {
	mappings    []model.ServiceMapping
	application model.UID
	location    string
	to          Destination
}

// reach decides, and connects to exactly the address that was checked. The
// error is a *refusal.
func (r *reacher) reach(ctx context.Context, q request) (*net.TCPConn, Decision, error) {
	d := Decide(q.mappings, q.application, q.location, q.to)
	switch {
	case !d.Mapped || q.to.Port == 0:
		return nil, d, notMapped(q.to)
	case d.Fault != nil:
		return nil, d, notAllowed("the mapping of "+q.to.String()+" leads nowhere: an admin has to write it anew", d.Fault)
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	addrs, err := r.addresses(ctx, q, d)
	if err != nil {
		return nil, d, err
	}
	conn, err := r.dialAny(ctx, addrs, d.To.Port)
	if err != nil {
		return nil, d, unreachable(q.to, err)
	}
	return conn, d, nil
}

// addresses are those of the decision that may be connected to.
func (r *reacher) addresses(ctx context.Context, q request, d Decision) ([]netip.Addr, error) {
	all := []netip.Addr{d.To.Addr}
	if !d.To.Addr.IsValid() {
		var err error
		if all, err = r.resolver.LookupNetIP(ctx, "ip", d.To.Name); err != nil {
			return nil, unreachable(q.to, fmt.Errorf("resolve %s: %w", d.To.Name, err))
		}
	}
	own, err := r.own()
	if err != nil {
		return nil, unreachable(q.to, fmt.Errorf("list own addresses: %w", err))
	}
	here := local{own, r.networks()}
	var good []netip.Addr
	for _, a := range all {
		a = a.Unmap()
		if r.network.mayReach(a, here, d, q.mappings, q.application, q.location) && !slices.Contains(good, a) {
			good = append(good, a)
		}
	}
	if len(good) == 0 {
		return nil, notAllowed("the mapping of "+q.to.String()+" leads to an address that is not everybody's: "+
			"map that address as a service, too; to the node and its environments only mappings lead that name no application", fmt.Errorf("%s is %v", d.To, all))
	}
	return good[:min(len(good), maxAddresses)], nil
}

// dialAny connects to the first that answers, each in its share of the time.
func (r *reacher) dialAny(ctx context.Context, addrs []netip.Addr, port uint16) (*net.TCPConn, error) {
	var errs []error
	for i, a := range addrs {
		conn, err := r.dial(ctx, netip.AddrPortFrom(a, port), len(addrs)-i)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// dial tries one address; left are those that are still to be tried.
func (r *reacher) dial(ctx context.Context, to netip.AddrPort, left int) (*net.TCPConn, error) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		share := max(time.Until(deadline)/time.Duration(left), leastTry)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, share)
		defer cancel()
	}
	conn, err := r.dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the address
	}
	return conn.(*net.TCPConn), nil // of a dial for "tcp"
}
