package caller

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// neighborTTL spares the system from an ARP listing per request of a
	// caller that nobody knows.
	neighborTTL = 2 * time.Second
	// neighborTimeout bounds one listing.
	neighborTimeout = 3 * time.Second
)

// NormalMAC writes a hardware address in lower case, each octet with two
// digits: some systems leave leading zeros out. Empty if it is none.
func NormalMAC(mac string) string {
	octets := strings.FieldsFunc(mac, func(r rune) bool { return r == ':' || r == '-' })
	if len(octets) != 6 {
		return ""
	}
	for i, o := range octets {
		if len(o) == 1 {
			octets[i] = "0" + o
		}
	}
	hw, err := net.ParseMAC(strings.Join(octets, ":"))
	if err != nil {
		return ""
	}
	return hw.String()
}

// parseProcARP reads Linux' /proc/net/arp. Entries without an answer have
// flags 0x0.
func parseProcARP(text string) map[netip.Addr]string {
	table := make(map[netip.Addr]string)
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 4 || fields[2] == "0x0" {
			continue
		}
		note(table, fields[0], fields[3])
	}
	return table
}

// parseARP reads the lines of `arp -an`:
//
//	? (192.168.64.2) at 2:0:5e:0:1:a on bridge100 ifscope [bridge]
func parseARP(text string) map[netip.Addr]string {
	table := make(map[netip.Addr]string)
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 4 || fields[2] != "at" {
			continue
		}
		note(table, strings.Trim(fields[1], "()"), fields[3])
	}
	return table
}

func note(table map[netip.Addr]string, address, mac string) {
	addr, err := netip.ParseAddr(address)
	normal := NormalMAC(mac)
	if err != nil || normal == "" || normal == "00:00:00:00:00:00" {
		return
	}
	table[addr.Unmap()] = normal
}

// SystemInterfaces lists the host's own addresses with their networks.
func SystemInterfaces() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list interface addresses: %w", err)
	}
	var own []netip.Prefix
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil {
			own = append(own, p)
		}
	}
	return own, nil
}

// neighborCache shares one listing among all that ask within its time.
type neighborCache struct {
	list   func(context.Context) (map[netip.Addr]string, error)
	flight singleflight.Group

	mu    sync.Mutex
	table map[netip.Addr]string // guarded by mu
	until time.Time             // guarded by mu
}

func newNeighborCache(list func(context.Context) (map[netip.Addr]string, error)) *neighborCache {
	return &neighborCache{list: list}
}

func (c *neighborCache) get(ctx context.Context) (map[netip.Addr]string, error) {
	if table, ok := c.fresh(); ok {
		return table, nil
	}
	v, err, _ := c.flight.Do("", func() (any, error) {
		// Not the first caller's patience: others wait for the same listing.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), neighborTimeout)
		defer cancel()
		table, err := c.list(ctx)
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.table, c.until = table, time.Now().Add(neighborTTL)
		return table, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(map[netip.Addr]string), nil
}

func (c *neighborCache) fresh() (map[netip.Addr]string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.table, c.table != nil && time.Now().Before(c.until)
}
