package model

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Location is a place that nodes are in, such as an office or a region. Any
// node writes it; the last writer wins.
type Location struct {
	Name        string
	Description string
	CreatedAt   time.Time
	HLC         HLC
}

// Validate checks what a client may set.
func (l Location) Validate() error {
	if l.Name == "" {
		return errors.New("name can't be empty")
	}
	return nil
}

// ServiceMapping redirects a service name to an address for the environments
// of one application, of one location, or of all where both are unset. Any
// node writes it; the last writer wins.
type ServiceMapping struct {
	UID            UID
	ApplicationUID UID // NilUID: any application
	LocationName   string
	Service        string
	Redirect       string
	CreatedAt      time.Time
	HLC            HLC
}

// Validate checks what a client may set.
func (m ServiceMapping) Validate() error {
	switch {
	case m.Service == "":
		return errors.New("service can't be empty")
	case m.Redirect == "":
		return errors.New("redirect can't be empty")
	}
	if err := checkService(m.Service); err != nil {
		return err
	}
	_, err := ParseRedirect(m.Redirect)
	return err
}

// maxService is what SOCKS5 has room for.
const maxService = 255

// checkService refuses what no client ever asks for: it would be mapped and
// never found. Any other text may be a name of somebody's.
func checkService(service string) error {
	if len(service) > maxService {
		return fmt.Errorf("service is longer than a name can be, %d bytes", maxService)
	}
	if addr, err := netip.ParseAddr(service); err == nil && addr.Zone() == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(service)
	strange := func(r rune) bool { return r == '%' || unicode.IsSpace(r) || unicode.IsControl(r) }
	if err == nil && port != "" || strings.Contains(service, "://") || strings.ContainsFunc(service, strange) || NormalName(service) == "" {
		return fmt.Errorf("service %q: want the name or the IP address alone, all ports of it are mapped", service)
	}
	if strings.ContainsAny(service, "*?/") {
		return fmt.Errorf("service %q: want one name or one IP address, there are no patterns and no networks: map each", service)
	}
	return nil
}

// Redirect is where a ServiceMapping leads.
type Redirect struct {
	// Addr is the address; invalid where Name says it.
	Addr netip.Addr
	// Name is a DNS name in lower case without a dot at the end; empty where Addr is valid.
	Name string
	// Port takes the place of the one that was asked for; 0 keeps that.
	Port uint16
}

// ParseRedirect reads a name or an IP address, alone or as host:port or
// [v6]:port. The error says what to write.
func ParseRedirect(text string) (Redirect, error) {
	var r Redirect
	host := text
	if _, err := netip.ParseAddr(text); err != nil {
		if h, p, err := net.SplitHostPort(text); err == nil {
			port, err := strconv.ParseUint(p, 10, 16)
			if err != nil || port == 0 {
				return Redirect{}, badRedirect(text)
			}
			host, r.Port = h, uint16(port)
		} else if len(text) > 2 && text[0] == '[' && text[len(text)-1] == ']' {
			host = text[1 : len(text)-1]
		}
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" {
		r.Addr = addr.Unmap()
		return r, nil
	}
	r.Name = NormalName(host)
	if !isName(r.Name) {
		return Redirect{}, badRedirect(text)
	}
	return r, nil
}

func badRedirect(text string) error {
	return fmt.Errorf("redirect %q: want a DNS name or an IP address, alone or with a port, such as mirror.lab:8080 or [2001:db8::1]:80", text)
}

// NormalName is a DNS name as names are compared: in lower case, without the
// dot at the end.
func NormalName(name string) string {
	lower := func(r rune) rune {
		if 'A' <= r && r <= 'Z' { // no other letters: DNS knows none
			r += 'a' - 'A'
		}
		return r
	}
	return strings.Map(lower, strings.TrimSuffix(name, "."))
}

// isName reports whether it can be a DNS name. What resolvers read as an
// address in an old spelling (0x7f.1, 2130706433) is none: it ends in a number.
func isName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	return last[0] < '0' || last[0] > '9'
}
