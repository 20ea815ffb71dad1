package aws

import (
	"context"
	"errors"
	"sync"
)

// fakeHosts is one pool of hosts that are there already, given out in order.
type fakeHosts struct {
	kind string   // of instances
	zone string   // of all
	ids  []string // hosts

	mu       sync.Mutex
	reserved map[string]string // host by token
	broken   map[string]bool   // hosts that took none
	machines map[string]string // instance by host
}

var errPoolEmpty = errors.New("no host is free")

func (f *fakeHosts) Reserve(_ context.Context, pool, token string, _ []string) (host, zone string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if pool != "mac" {
		return "", "", errNoPool(pool)
	}
	if host, had := f.reserved[token]; had {
		return host, f.zone, nil
	}
	for _, id := range f.ids {
		if !f.broken[id] && !f.taken(id) {
			if f.reserved == nil {
				f.reserved = map[string]string{}
			}
			f.reserved[token] = id
			return id, f.zone, nil
		}
	}
	return "", "", errPoolEmpty
}

func (f *fakeHosts) taken(id string) bool {
	for _, host := range f.reserved {
		if host == id {
			return true
		}
	}
	return false
}

func (f *fakeHosts) Launched(_ context.Context, _, token, instance string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	host := f.reserved[token]
	if f.machines == nil {
		f.machines = map[string]string{}
	}
	f.machines[host] = instance
}

func (f *fakeHosts) Failed(_ context.Context, _, token string, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	host := f.reserved[token]
	if f.broken == nil {
		f.broken = map[string]bool{}
	}
	f.broken[host] = true
	delete(f.reserved, token)
}

func (f *fakeHosts) Released(_ context.Context, _, token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.reserved, token)
}

func (f *fakeHosts) Free(pool string, _ []string) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if pool != "mac" {
		return 0, errNoPool(pool)
	}
	return len(f.ids) - len(f.reserved) - len(f.broken), nil
}

func (f *fakeHosts) Type(pool string) (string, error) {
	if pool != "mac" {
		return "", errNoPool(pool)
	}
	return f.kind, nil
}
