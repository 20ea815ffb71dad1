package meta

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// tokenLen is the length of a metadata token: 128 bits in hex.
const tokenLen = 32

// sharedDriver is the driver whose resources all have the address 127.0.0.1:
// any one of them will do (contract 17).
const sharedDriver = "test"

// byToken returns the allocated application that the token belongs to. While
// its environment is still being made the request waits.
func (h *Handler) byToken(ctx context.Context, caller netip.Addr, token string) (*model.Entry, error) {
	own, err := h.isOwn(caller)
	if err != nil {
		return nil, err
	}
	if !own {
		return nil, errUnknownToken
	}
	app, epoch, ok := findToken(h.Store.Open(), token)
	if !ok {
		return nil, errUnknownToken
	}
	ctx, cancel := context.WithTimeout(ctx, tokenWait)
	defer cancel()
	return h.await(ctx, app, epoch)
}

// findToken compares every token in the same time, and looks at them all.
func findToken(entries []*model.Entry, token string) (app model.UID, epoch uint32, ok bool) {
	if len(token) != tokenLen {
		return app, 0, false
	}
	for _, e := range entries {
		for _, a := range e.Allocations {
			if a.Open() && subtle.ConstantTimeCompare([]byte(a.MetaToken), []byte(token)) == 1 {
				app, epoch, ok = a.ApplicationUID, a.Epoch, true
			}
		}
	}
	return app, epoch, ok
}

// await returns the application once the grant is ALLOCATED.
func (h *Handler) await(ctx context.Context, app model.UID, epoch uint32) (*model.Entry, error) {
	if !h.enter() {
		return nil, errBusy
	}
	defer h.leave()
	for {
		changed, stopped := h.next()
		entry, err := h.Store.Application(ctx, app)
		if err != nil && ctx.Err() == nil {
			return nil, fmt.Errorf("read application %s: %w", app, err)
		}
		switch {
		case ctx.Err() != nil:
			return nil, errUnknownToken
		case isAllocated(entry, epoch):
			return entry, nil
		case !mayAllocate(entry, epoch):
			return nil, errUnknownToken
		case stopped:
			return nil, errStopping
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, errUnknownToken
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

// byAddress returns the allocated application whose environment has the
// address. On the host's own addresses only the test driver's are known.
func (h *Handler) byAddress(ctx context.Context, caller netip.Addr) (*model.Entry, error) {
	own, err := h.isOwn(caller)
	if err != nil {
		return nil, err
	}
	matches := h.matches(func(e *model.Entry) bool {
		addr, err := netip.ParseAddr(e.Resource.IPAddr)
		return err == nil && addr.Unmap() == caller && (!own || isShared(e))
	})
	if own {
		return h.choose(caller, matches)
	}
	if !h.isDeclared(caller) {
		return nil, errUnknownCaller
	}
	if len(matches) > 0 {
		return h.choose(caller, matches)
	}
	return h.byNeighbor(ctx, caller)
}

// matches returns this node's allocated applications for which ok holds.
func (h *Handler) matches(ok func(*model.Entry) bool) []*model.Entry {
	var found []*model.Entry
	for _, e := range h.Store.Open() {
		if e.Resource != nil && e.Resource.NodeUID == h.Node && e.Fold.Status() == model.StatusAllocated && ok(e) {
			found = append(found, e)
		}
	}
	return found
}

// choose takes the only match, or the newest where all are the test driver's.
func (h *Handler) choose(caller netip.Addr, matches []*model.Entry) (*model.Entry, error) {
	var newest *model.Entry
	for _, e := range matches {
		if len(matches) > 1 && !isShared(e) {
			if h.notes.due("several", caller.String()) {
				h.Logger.Warn("metadata refused: several resources match one caller",
					"address", caller, "resources", len(matches))
			}
			return nil, errUnknownCaller
		}
		if newest == nil || e.Resource.CreatedAt.After(newest.Resource.CreatedAt) {
			newest = e
		}
	}
	if newest == nil {
		return nil, errUnknownCaller
	}
	return newest, nil
}

func isShared(e *model.Entry) bool {
	a, ok := e.Allocation(e.Fold.Allocated.Epoch)
	if !ok {
		return false
	}
	driver, _, _ := strings.Cut(a.Definition.Driver, "/")
	return driver == sharedDriver
}

// isOwn reports whether the address is this host's.
func (h *Handler) isOwn(addr netip.Addr) (bool, error) {
	if addr.IsLoopback() {
		return true, nil
	}
	own, err := h.Interfaces()
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

func (h *Handler) isDeclared(addr netip.Addr) bool {
	for _, p := range h.Networks() {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// byNeighbor finds the application by the hardware address behind an address
// that no resource has yet, and notes the address in the Resource.
func (h *Handler) byNeighbor(ctx context.Context, caller netip.Addr) (*model.Entry, error) {
	own, err := h.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list own addresses: %w", err)
	}
	if !behindGateway(own, caller) {
		return nil, errUnknownCaller
	}
	neighbors, err := h.Neighbors(ctx)
	if err != nil {
		if h.notes.due("neighbors") {
			h.Logger.Warn("metadata refused: no table of neighbors", "error", err)
		}
		return nil, errUnknownCaller
	}
	mac := neighbors[caller]
	if mac == "" {
		return nil, errUnknownCaller
	}
	entry, err := h.choose(caller, h.matches(func(e *model.Entry) bool { return NormalMAC(e.Resource.HWAddr) == mac }))
	if err != nil {
		return nil, err
	}
	h.learn(ctx, entry, caller)
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
func (h *Handler) learn(ctx context.Context, entry *model.Entry, addr netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := h.Store.Update(ctx, entry.Application.UID, func(e *model.Entry) (model.Change, error) {
		if e.Resource == nil || e.Resource.UID != entry.Resource.UID || e.Resource.IPAddr == addr.String() {
			return model.Change{}, nil
		}
		r := *e.Resource
		r.IPAddr = addr.String()
		return model.Change{Resource: &r}, nil
	})
	if err != nil {
		h.Logger.Warn("address of the environment not stored", "application", entry.Application.UID, "error", err)
	}
}
