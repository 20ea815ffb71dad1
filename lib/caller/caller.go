package caller

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// TokenLen is the length of a metadata token: 128 bits in hex.
const TokenLen = 32

// sharedDriver is the driver whose resources all have the address 127.0.0.1:
// any one of them will do (contract 17).
const sharedDriver = "test"

// ByToken returns the allocated application that the metadata token belongs
// to. While its environment is still being made the caller waits.
func (f *Finder) ByToken(ctx context.Context, caller netip.Addr, token string) (*model.Entry, error) {
	if len(token) != TokenLen {
		token = "" // belongs to nobody
	}
	return f.bySecret(ctx, caller, func(a model.Allocation) bool {
		return token != "" && subtle.ConstantTimeCompare([]byte(a.MetaToken), []byte(token)) == 1
	})
}

// ByCredential returns the allocated application whose environment has the
// credential for the proxies. While it is still being made the caller waits.
func (f *Finder) ByCredential(ctx context.Context, caller netip.Addr, user, password string) (*model.Entry, error) {
	return f.bySecret(ctx, caller, func(a model.Allocation) bool {
		wantUser, wantPassword, ok := a.ProxyCredential()
		known := subtle.ConstantTimeCompare([]byte(wantUser), []byte(user))
		right := subtle.ConstantTimeCompare([]byte(wantPassword), []byte(password))
		return ok && known&right == 1
	})
}

// bySecret returns the application of the open allocation that the secret is
// of. It looks at them all, so that its time tells nothing.
func (f *Finder) bySecret(ctx context.Context, caller netip.Addr, is func(model.Allocation) bool) (*model.Entry, error) {
	own, err := f.IsOwn(caller)
	if err != nil {
		return nil, err
	}
	if !own {
		return nil, ErrSecret
	}
	var app model.UID
	var epoch uint32
	found := false
	for _, e := range f.Store.Open() {
		for _, a := range e.Allocations {
			if a.Open() && is(a) {
				app, epoch, found = a.ApplicationUID, a.Epoch, true
			}
		}
	}
	if !found {
		return nil, ErrSecret
	}
	ctx, cancel := context.WithTimeout(ctx, SecretWait)
	defer cancel()
	return f.await(ctx, app, epoch)
}

// await returns the application once the grant is ALLOCATED.
func (f *Finder) await(ctx context.Context, app model.UID, epoch uint32) (*model.Entry, error) {
	if !f.enter() {
		return nil, ErrBusy
	}
	defer f.leave()
	for {
		changed, stopped := f.next()
		entry, err := f.Store.Application(ctx, app)
		if err != nil && ctx.Err() == nil {
			return nil, fmt.Errorf("read application %s: %w", app, err)
		}
		switch {
		case ctx.Err() != nil:
			return nil, ErrSecret
		case isAllocated(entry, epoch):
			return entry, nil
		case !mayAllocate(entry, epoch):
			return nil, ErrSecret
		case stopped:
			return nil, ErrStopping
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ErrSecret
		}
	}
}

// isAllocated reports whether the application is ALLOCATED by that grant.
func isAllocated(e *model.Entry, epoch uint32) bool {
	return e.Resource != nil && e.Fold.Status() == model.StatusAllocated && e.Fold.Allocated.Epoch == epoch
}

// mayAllocate reports whether that may still come true.
func mayAllocate(e *model.Entry, epoch uint32) bool {
	a, ok := e.Allocation(epoch)
	return ok && a.Open() && a.Failure == "" && e.Fold.Request == nil && !e.Fold.Final &&
		e.Fold.Grant != nil && e.Fold.Grant.Epoch == epoch
}

// ByAddress returns the allocated application whose environment has the
// address. On the host's own addresses only the test driver's are known, and
// the newest of them where there are several.
func (f *Finder) ByAddress(ctx context.Context, caller netip.Addr) (*model.Entry, error) {
	return f.byAddress(ctx, caller, newestShared)
}

// OnlyByAddress is ByAddress for who must not take one for another: several of
// the test driver are nobody.
func (f *Finder) OnlyByAddress(ctx context.Context, caller netip.Addr) (*model.Entry, error) {
	return f.byAddress(ctx, caller, nil)
}

// byAddress has pick choose where several match; nil takes none of them.
func (f *Finder) byAddress(
	ctx context.Context, caller netip.Addr, pick func([]*model.Entry) *model.Entry,
) (*model.Entry, error) {
	own, err := f.IsOwn(caller)
	if err != nil {
		return nil, err
	}
	matches := f.matches(func(e *model.Entry) bool {
		addr, err := netip.ParseAddr(e.Resource.IPAddr)
		return err == nil && addr.Unmap() == caller && (own && isShared(e) || !own && f.isDeclared(e, caller))
	})
	if own || len(matches) > 0 {
		return f.choose(caller, matches, pick)
	}
	return f.byNeighbor(ctx, caller, pick)
}

// matches returns this node's allocated applications for which ok holds.
func (f *Finder) matches(ok func(*model.Entry) bool) []*model.Entry {
	var found []*model.Entry
	for _, e := range f.Store.Open() {
		if e.Resource != nil && e.Resource.NodeUID == f.Node && e.Fold.Status() == model.StatusAllocated && ok(e) {
			found = append(found, e)
		}
	}
	return found
}

// choose takes the only match, or what pick says of several.
func (f *Finder) choose(
	caller netip.Addr, matches []*model.Entry, pick func([]*model.Entry) *model.Entry,
) (*model.Entry, error) {
	if len(matches) == 1 {
		return matches[0], nil
	}
	if len(matches) > 1 && pick != nil {
		if e := pick(matches); e != nil {
			return e, nil
		}
	}
	if len(matches) > 1 && f.seldom.Due("several", caller.String()) {
		f.Logger.Warn("caller not known: several resources match it", "address", caller, "resources", len(matches))
	}
	return nil, ErrUnknown
}

// newestShared is the newest where all are the test driver's, else nil.
func newestShared(matches []*model.Entry) *model.Entry {
	newest := matches[0]
	for _, e := range matches {
		if !isShared(e) {
			return nil
		}
		if e.Resource.CreatedAt.After(newest.Resource.CreatedAt) {
			newest = e
		}
	}
	return newest
}

func isShared(e *model.Entry) bool {
	driver, _, _ := strings.Cut(instanceOf(e), "/")
	return driver == sharedDriver
}

// instanceOf is the driver's instance that made the environment; empty for one
// of an adopted old database.
func instanceOf(e *model.Entry) string {
	a, _ := e.Allocation(e.Fold.Allocated.Epoch)
	return a.Definition.Driver
}

// IsOwn reports whether the address is this host's.
func (f *Finder) IsOwn(addr netip.Addr) (bool, error) {
	if addr.IsLoopback() {
		return true, nil
	}
	own, err := f.Interfaces()
	if err != nil {
		return false, fmt.Errorf("list own addresses: %w", err)
	}
	for _, p := range own {
		if p.Addr().Unmap() == addr {
			return true, nil
		}
	}
	return false, nil
}

// isDeclared reports whether the environment may be known by the address: the
// same one may be another machine's in a network elsewhere, such as of a cloud.
func (f *Finder) isDeclared(e *model.Entry, addr netip.Addr) bool {
	return contains(f.Networks(instanceOf(e)), addr)
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// byNeighbor finds the application by the hardware address behind an address
// that no resource has yet, and notes the address in the Resource.
func (f *Finder) byNeighbor(
	ctx context.Context, caller netip.Addr, pick func([]*model.Entry) *model.Entry,
) (*model.Entry, error) {
	own, err := f.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list own addresses: %w", err)
	}
	if !behindGateway(own, caller) || !contains(f.Networks(""), caller) { // strangers cost no listing
		return nil, ErrUnknown
	}
	neighbors, err := f.Neighbors(ctx)
	if err != nil {
		if f.seldom.Due("neighbors") {
			f.Logger.Warn("caller not known: no table of neighbors", "error", err)
		}
		return nil, ErrUnknown
	}
	mac := neighbors[caller]
	if mac == "" {
		return nil, ErrUnknown
	}
	sameMAC := func(e *model.Entry) bool { return NormalMAC(e.Resource.HWAddr) == mac && f.isDeclared(e, caller) }
	entry, err := f.choose(caller, f.matches(sameMAC), pick)
	if err != nil {
		return nil, err
	}
	f.learn(ctx, entry, caller)
	return entry, nil
}

// behindGateway reports whether the address lies in a network in which this
// host has an address that ends in .1, as the gateways that hypervisors make.
func behindGateway(own []netip.Prefix, addr netip.Addr) bool {
	if !addr.Is4() {
		return false
	}
	for _, p := range own {
		if p.Addr().Is4() && p.Addr().As4()[3] == 1 && p.Contains(addr) {
			return true
		}
	}
	return false
}

// learn writes the address into the Resource. The answer does not depend on
// it: the next request would find the environment the same way.
func (f *Finder) learn(ctx context.Context, entry *model.Entry, addr netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := f.Store.Update(ctx, entry.Application.UID, func(e *model.Entry) (model.Change, error) {
		if e.Resource == nil || e.Resource.UID != entry.Resource.UID || e.Resource.IPAddr == addr.String() {
			return model.Change{}, nil
		}
		r := *e.Resource
		r.IPAddr = addr.String()
		return model.Change{Resource: &r}, nil
	})
	if err != nil {
		f.Logger.Warn("address of the environment not stored", "application", entry.Application.UID, "error", err)
	}
}
