package socksproxy

import (
	"bytes"
	"cmp"
	"net/netip"
	"strconv"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Destination is where somebody wants to.
type Destination struct {
	// Addr is the address; invalid where Name says it.
	Addr netip.Addr
	// Name is a name in the form of model.NormalName.
	Name string
	Port uint16
}

// ParseDestination takes a host as a client writes it: a name, or an IP address
// in any spelling of netip. A v4 address in v6 is that v4 address.
func ParseDestination(host string, port uint16) Destination {
	text := host
	if len(text) > 2 && text[0] == '[' && text[len(text)-1] == ']' {
		text = text[1 : len(text)-1]
	}
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return Destination{Addr: addr.Unmap(), Port: port}
	}
	return Destination{Name: model.NormalName(host), Port: port}
}

// String is host:port.
func (d Destination) String() string {
	if d.Addr.IsValid() {
		return netip.AddrPortFrom(d.Addr, d.Port).String()
	}
	return d.Name + ":" + strconv.Itoa(int(d.Port))
}

// sameHost compares all but the port. What is no name and no address is the
// same as nothing: an address with a zone means another host on each machine.
func (d Destination) sameHost(o Destination) bool {
	return d.Addr == o.Addr && d.Name == o.Name && (d.Addr.IsValid() || d.Name != "" && !strings.Contains(d.Name, "%"))
}

// Decision is what the mappings say of one destination.
type Decision struct {
	// Mapped says that there is one for it.
	Mapped bool
	// Mapping is the one that counts, if there is one.
	Mapping model.ServiceMapping
	// To is where it leads; its Name is still to be resolved.
	To Destination
	// Fault says why a mapping leads nowhere: its redirect is none.
	Fault error
}

// Decide finds the mapping for a destination of an application's environment
// on a node at the location, which may be empty. The closest one counts: for
// that application and location, for the application, for the location, for
// all; of several that are as close the one that was written last.
func Decide(mappings []model.ServiceMapping, application model.UID, location string, d Destination) Decision {
	m, ok := closest(mappings, application, location, d)
	if !ok {
		return Decision{}
	}
	to, err := model.ParseRedirect(m.Redirect)
	if err != nil { // of an old database, or of another version
		return Decision{Mapped: true, Mapping: m, Fault: err}
	}
	return Decision{
		Mapped: true, Mapping: m,
		To: Destination{Addr: to.Addr, Name: to.Name, Port: cmp.Or(to.Port, d.Port)},
	}
}

func closest(
	mappings []model.ServiceMapping, application model.UID, location string, d Destination,
) (found model.ServiceMapping, ok bool) {
	best := 0
	for _, m := range mappings {
		rank := closeness(m, application, location)
		if rank == 0 || rank < best || !ParseDestination(m.Service, 0).sameHost(d) {
			continue
		}
		if rank > best || later(m, found) {
			found, best, ok = m, rank, true
		}
	}
	return found, ok
}

// closeness is how closely the mapping is for the environment: 0 is not at all.
func closeness(m model.ServiceMapping, application model.UID, location string) int {
	rank := 1
	if m.ApplicationUID != model.NilUID {
		if m.ApplicationUID != application {
			return 0
		}
		rank += 2
	}
	if m.LocationName != "" {
		if m.LocationName != location {
			return 0
		}
		rank++
	}
	return rank
}

// later orders the mappings of one rank; the same on every node.
func later(a, b model.ServiceMapping) bool {
	return cmp.Or(cmp.Compare(a.HLC, b.HLC), bytes.Compare(a.UID[:], b.UID[:])) > 0
}
