// Package leases finds the address of a virtual machine by the hardware
// address of its network card: in the files in which DHCP servers keep their
// leases, and in the neighbour table of this machine.
package leases

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxFile bounds what is read of a file, at its end: newer leases come later.
const maxFile = 4 << 20

// Lease is what a DHCP server gave to somebody.
type Lease struct {
	IP netip.Addr
	HW string // as of Normal
	// Ends is zero where it does not, or the file does not tell.
	Ends time.Time
}

// Normal writes a hardware address with lower-case octets of two digits, which
// macOS shortens; what is none is empty.
func Normal(hw string) string {
	octets := strings.FieldsFunc(hw, func(r rune) bool { return r == ':' || r == '-' })
	if len(octets) != 6 {
		return ""
	}
	out := make(net.HardwareAddr, 6)
	for i, o := range octets {
		n, err := strconv.ParseUint(o, 16, 8)
		if err != nil {
			return ""
		}
		out[i] = byte(n)
	}
	return out.String()
}

// Finder looks in these places.
type Finder struct {
	// Files are of VMware's DHCP server or of Apple's; those that are not there
	// are passed over.
	Files []string
	// Neighbors is the neighbour table; nil has none.
	Neighbors func(ctx context.Context) (string, error)
}

// Find returns the address of a hardware address as of now; the zero Addr where
// nobody knows it. An error says that a place could not be looked at, and that
// the others do not know it.
func (f Finder) Find(ctx context.Context, hw string, now time.Time) (netip.Addr, error) {
	hw = Normal(hw)
	var all []Lease
	var errs []error
	for _, path := range f.Files {
		text, err := tail(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("read DHCP leases: %w", err))
		}
		all = append(all, Parse(text)...)
	}
	if ip := Pick(all, hw, now); ip.IsValid() || f.Neighbors == nil {
		return ip, errors.Join(errs...)
	}
	text, err := f.Neighbors(ctx)
	if ip := parseNeighbors(text)[hw]; ip.IsValid() && !given(all, ip, now) {
		return ip, nil
	}
	return netip.Addr{}, errors.Join(append(errs, err)...)
}

// given reports whether an address is leased, as of now. One that the neighbour
// table still has with a former owner of it is not that one's any more.
func given(all []Lease, ip netip.Addr, now time.Time) bool {
	for _, l := range slices.Backward(all) {
		if l.IP == ip {
			return !l.over(now)
		}
	}
	return false
}

// tail reads a file, or its end.
func tail(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // read only
	if info, err := file.Stat(); err == nil && info.Size() > maxFile {
		if _, err := file.Seek(-maxFile, io.SeekEnd); err != nil {
			return "", err
		}
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile))
	return string(text), err
}

// Pick returns the address that the hardware address has now. all is in the
// order of its files, which are logs: of several leases of one address the
// last counts, as an address moves on to others; of several addresses of one
// card the one that is given for longest, as a lease that is used is renewed.
func Pick(all []Lease, hw string, now time.Time) netip.Addr {
	owner := map[netip.Addr]Lease{}
	for _, l := range all {
		owner[l.IP] = l
	}
	var best Lease
	for _, l := range all {
		if l.HW != hw || hw == "" || owner[l.IP] != l || l.over(now) {
			continue
		}
		if !best.IP.IsValid() || l.Ends.IsZero() || !best.Ends.IsZero() && !l.Ends.Before(best.Ends) {
			best = l
		}
	}
	return best.IP
}

func (l Lease) over(now time.Time) bool { return !l.Ends.IsZero() && l.Ends.Before(now) }

// Parse reads leases as dhcpd writes them (`lease ADDRESS { ... }`), which
// VMware's server does, and as Apple's bootpd does (`{ ip_address=... }`). What
// is not understood, such as an entry that is just being written, is passed
// over.
func Parse(text string) []Lease {
	var all []Lease
	var one Lease
	open := false
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, maxFile+1)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch {
		case strings.HasSuffix(line, "{"):
			one, open = Lease{}, true
			if words := strings.Fields(line); len(words) == 3 && words[0] == "lease" {
				one.IP, _ = netip.ParseAddr(words[1])
			}
		case line == "}":
			if open && one.IP.IsValid() && one.HW != "" {
				all = append(all, one)
			}
			open = false
		case open:
			one.read(line)
		}
	}
	return all
}

func (l *Lease) read(line string) {
	if key, value, apple := strings.Cut(line, "="); apple && !strings.Contains(key, " ") {
		l.readApple(key, value)
		return
	}
	words := strings.Fields(strings.TrimSuffix(line, ";"))
	switch {
	case len(words) == 3 && words[0] == "hardware":
		l.HW = Normal(words[2])
	case len(words) == 4 && words[0] == "ends":
		if at, err := time.Parse("2006/01/02 15:04:05", words[2]+" "+words[3]); err == nil { // in UTC
			l.Ends = at
		}
	}
}

// readApple reads one line of a bootpd lease; `lease` is its end, in seconds.
func (l *Lease) readApple(key, value string) {
	switch key {
	case "ip_address":
		l.IP, _ = netip.ParseAddr(value)
	case "hw_address": // "1,0:50:56:1:2:3", with the kind of network in front
		if _, hw, ok := strings.Cut(value, ","); ok {
			l.HW = Normal(hw)
		}
	case "lease":
		if n, err := strconv.ParseInt(value, 0, 64); err == nil {
			l.Ends = time.Unix(n, 0)
		}
	}
}

// parseNeighbors reads Linux' /proc/net/arp and what `arp -an` prints, as pairs
// of a hardware address and an address in each line. Entries that wait for an
// answer have zeros or a word instead.
func parseNeighbors(text string) map[string]netip.Addr {
	found := map[string]netip.Addr{}
	for line := range strings.Lines(text) {
		var ip netip.Addr
		hw := ""
		for _, word := range strings.Fields(line) {
			if a, err := netip.ParseAddr(strings.Trim(word, "()")); err == nil && !ip.IsValid() && a.Is4() {
				ip = a
			} else if n := Normal(word); n != "" && hw == "" {
				hw = n
			}
		}
		if ip.IsValid() && hw != "" && hw != "00:00:00:00:00:00" {
			found[hw] = ip
		}
	}
	return found
}
