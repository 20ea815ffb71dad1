package vmx

import (
	"net"
	"net/netip"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// MetadataNetworks implements drivers.MetadataNetworks: those of the config,
// else those of the interfaces that VMware made on this machine.
func (d *driver) MetadataNetworks() []netip.Prefix {
	if len(d.settings.networks) > 0 {
		return d.settings.networks
	}
	all, err := net.Interfaces()
	if err != nil {
		d.log.Warn("could not look for VMware's networks; set metadata_networks", "error", err)
		return nil
	}
	var found []netip.Prefix
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil || !vmnet(i.Name) {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && gateway(p) {
				found = append(found, p.Masked())
			}
		}
	}
	return found
}

// vmnet tells the interfaces of virtual networks: VMware's own, and the bridges
// that macOS makes for it since its version 11.
func vmnet(name string) bool {
	return strings.HasPrefix(name, "vmnet") || strings.HasPrefix(name, "bridge1")
}

// gateway reports whether an address ends in .1, as that of a host in a network
// of its virtual machines does (contract 17).
func gateway(p netip.Prefix) bool {
	a := p.Addr()
	return a.Is4() && a.As4()[3] == 1 && p.Bits() >= 16 && p.Bits() < 31 && !a.IsLoopback()
}

var _ drivers.MetadataNetworks = (*driver)(nil)
