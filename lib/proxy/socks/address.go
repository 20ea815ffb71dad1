package socksproxy

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// class is how far an address is from everybody's.
type class int

// The classes, each more trusted by those who listen there.
const (
	public  class = iota
	private       // of the site's own network
	inner         // of the node itself, of its link, or no address of a host
)

// innerRanges are of this host, of its link, of many hosts at once or of none,
// and the addresses at which clouds tell an instance its secrets.
func innerRanges() []netip.Prefix {
	return prefixes(
		"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
		"::/128", "::1/128", "fe80::/10", "ff00::/8",
		"100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32", "fd20:ce::254/128",
	)
}

// privateRanges are RFC 1918, 6598, 6890, 2544, 4193 and the old site-local ones.
func privateRanges() []netip.Prefix {
	return prefixes(
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15",
		"fc00::/7", "fec0::/10",
	)
}

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		list[i] = netip.MustParsePrefix(t)
	}
	return list
}

// network is what is known of addresses.
type network struct {
	inner, private []netip.Prefix
}

func newNetwork() network { return network{innerRanges(), privateRanges()} }

// local is what only this node has.
type local struct {
	own          []netip.Prefix // its addresses
	environments []netip.Prefix // the networks of its environments
}

// classify says what the address is, on a node that has here.
func (n network) classify(addr netip.Addr, here local) class {
	addr = addr.WithZone("").Unmap()
	found := n.plain(addr, here)
	for _, in := range embedded(addr) {
		found = max(found, n.plain(in, here))
	}
	return found
}

func (n network) plain(addr netip.Addr, here local) class {
	contains := func(p netip.Prefix) bool { return p.Contains(addr) }
	isOwn := func(p netip.Prefix) bool { return p.Addr().WithZone("").Unmap() == addr }
	switch {
	case !addr.IsValid(), slices.ContainsFunc(n.inner, contains),
		slices.ContainsFunc(here.own, isOwn), slices.ContainsFunc(here.environments, contains):
		return inner
	case slices.ContainsFunc(n.private, contains):
		return private
	}
	return public
}

// embedded are the v4 addresses that a router on the way may make of a v6 one:
// v4-compatible, v4-translated, NAT64, 6to4 and Teredo.
func embedded(addr netip.Addr) []netip.Addr {
	if !addr.Is6() {
		return nil
	}
	b := addr.As16()
	v4 := func(at int) netip.Addr { return netip.AddrFrom4([4]byte(b[at : at+4])) }
	switch head, middle := binary.BigEndian.Uint32(b[:4]), binary.BigEndian.Uint64(b[4:12]); {
	case head == 0 && (middle == 0 || middle == 0xffff0000), head == 0x0064ff9b:
		return []netip.Addr{v4(12)}
	case head>>16 == 0x2002:
		return []netip.Addr{v4(2)}
	case head == 0x20010000:
		client := v4(12).As4()
		for i := range client {
			client[i] ^= 0xff
		}
		return []netip.Addr{v4(4), netip.AddrFrom4(client)}
	}
	return nil
}

// mayReach says whether an address that a decision led to may be connected to.
//
// One that stands in a mapping itself may, unless only admins may write of it.
// One that a name led to may if it is everybody's: the name's owner decides
// where it leads, and is not to open the site's network or the node to anybody.
// For those the address itself has to be mapped as a service.
func (n network) mayReach(
	addr netip.Addr, here local, d Decision,
	mappings []model.ServiceMapping, application model.UID, location string,
) bool {
	byOwner := d.Mapping.ApplicationUID != model.NilUID // who is no admin may have written it
	c := n.classify(addr, here)
	switch {
	case c == inner && byOwner:
		return false
	case c == public, d.To.Addr.IsValid():
		return true
	}
	m, ok := closest(mappings, application, location, Destination{Addr: addr.WithZone("").Unmap()})
	return ok && (c != inner || m.ApplicationUID == model.NilUID)
}
