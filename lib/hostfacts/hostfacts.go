// Package hostfacts describes the machine that the node runs on, for the Node
// object of the API (contract 7).
//
// The JSON has the shapes of gopsutil v3. The v4 that is linked has the same
// names, which a test holds fast: a new one would break strict clients.
package hostfacts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
)

// DefaultTimeout bounds the whole collection. All of it takes a few
// milliseconds on a sound machine, and a node that is up beats a complete
// description of it.
const DefaultTimeout = 200 * time.Millisecond

// root is the one disk that is described. Others may be network mounts that
// hang for ever.
const root = "/"

// Definition is what Collect found. What could not be found out is empty, but
// always of the right shape.
type Definition struct {
	CPU    []cpu.InfoStat            `json:"cpu"`
	Disks  map[string]disk.UsageStat `json:"disks"`
	Host   host.InfoStat             `json:"host"`
	Memory mem.VirtualMemoryStat     `json:"memory"`
	Nets   []net.InterfaceStat       `json:"nets"`
}

// JSON encodes the definition for model.Node.
func (d Definition) JSON() (json.RawMessage, error) {
	raw, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode host facts: %w", err)
	}
	return raw, nil
}

// probe finds out one part and returns how to put it into a definition.
type probe struct {
	name string
	find func(context.Context) (put func(*Definition), err error)
}

// Collect asks the system all at once, for no longer than the timeout. What
// fails or is late is logged and left empty.
func Collect(ctx context.Context, timeout time.Duration, log *slog.Logger) Definition {
	return collect(ctx, timeout, log, systemProbes())
}

func systemProbes() []probe {
	return []probe{
		{"cpu", probeCPU}, {"disks", probeDisks}, {"host", probeHost}, {"memory", probeMemory}, {"nets", probeNets},
	}
}

func collect(ctx context.Context, timeout time.Duration, log *slog.Logger, probes []probe) Definition {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d := Definition{CPU: []cpu.InfoStat{}, Disks: map[string]disk.UsageStat{root: {Path: root}}, Nets: []net.InterfaceStat{}}
	var mu sync.Mutex // of d and the log's order
	var all sync.WaitGroup
	for _, p := range probes {
		all.Go(func() {
			put, err := bounded(ctx, p.find)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				log.Warn("host facts not found out", "part", p.name, "error", err)
				return
			}
			put(&d)
		})
	}
	all.Wait()
	return d
}

// bounded returns when ctx is done even where the system call does not: a
// statfs of a dead disk can not be called off. Only in that case a goroutine
// is left to it; it touches nothing once it comes back.
func bounded(ctx context.Context, find func(context.Context) (func(*Definition), error)) (func(*Definition), error) {
	type answer struct {
		put func(*Definition)
		err error
	}
	found := make(chan answer, 1)
	go func() {
		put, err := find(ctx)
		found <- answer{put, err}
	}()
	select {
	case a := <-found:
		return a.put, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func probeCPU(ctx context.Context) (func(*Definition), error) {
	list, err := cpu.InfoWithContext(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Flags == nil {
			list[i].Flags = []string{}
		}
	}
	return func(d *Definition) { d.CPU = append(d.CPU, list...) }, nil
}

func probeDisks(ctx context.Context) (func(*Definition), error) {
	usage, err := disk.UsageWithContext(ctx, root)
	if err != nil {
		return nil, err
	}
	if usage == nil {
		return nil, errors.New("the system does not tell")
	}
	return func(d *Definition) { d.Disks[root] = *usage }, nil
}

func probeHost(ctx context.Context) (func(*Definition), error) {
	info, err := host.InfoWithContext(ctx)
	if err != nil {
		return nil, err
	}
	return func(d *Definition) { d.Host = *info }, nil
}

func probeMemory(ctx context.Context) (func(*Definition), error) {
	memory, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return nil, err
	}
	return func(d *Definition) { d.Memory = *memory }, nil
}

func probeNets(ctx context.Context) (func(*Definition), error) {
	list, err := net.InterfacesWithContext(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Flags == nil {
			list[i].Flags = []string{}
		}
		if list[i].Addrs == nil {
			list[i].Addrs = net.InterfaceAddrList{}
		}
	}
	return func(d *Definition) { d.Nets = append(d.Nets, list...) }, nil
}
