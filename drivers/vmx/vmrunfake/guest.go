//go:build unix

package vmrunfake

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// event is something that happens in the guest; off says that the machine is
// done.
type event func() (off bool, err error)

// plan lets happen in time what a guest does by itself.
func (m *machine) plan() chan event {
	events := make(chan event)
	later := func(after time.Duration, what event) {
		time.AfterFunc(after, func() { events <- what }) // at most one goroutine for each, until the process ends
	}
	delay := m.host.Lease
	for _, order := range m.orders {
		switch order.Do {
		case Vanish:
			later(order.after(), func() (bool, error) { die(); return true, nil })
		case PowerOff:
			later(order.after(), m.halt)
		case Reset:
			later(order.after(), m.reboot)
		case LateLease:
			delay = order.after()
		case TornLease:
			half := delay
			delay += order.after()
			later(half, func() (bool, error) { return false, m.lease(true) })
		}
	}
	if !m.ordered(NoLease) {
		later(delay, func() (bool, error) { return false, m.lease(false) })
	}
	return events
}

// leaseTime is how long a lease of VMware's DHCP server lasts.
const leaseTime = 30 * time.Minute

// leaseHead begins a file of leases.
const leaseHead = `# All times in this file are in UTC (GMT), not your local timezone.   This is
# not a bug, so please don't ask about it.
# The format of this file is documented in the dhcpd.leases(5) manual page.

`

// leaseFile is where the DHCP server of a network keeps its leases; "" for a
// network that has no such server.
func (s State) leaseFile(product, network string) string {
	net := map[string]string{"hostonly": "vmnet1", "nat": "vmnet8"}[strings.ToLower(network)]
	switch {
	case net == "":
		return ""
	case product == "fusion":
		return filepath.Join(s.Leases(), "vmnet-dhcpd-"+net+".leases")
	default:
		return filepath.Join(s.Leases(), net, "dhcpd", "dhcpd.leases")
	}
}

// lease gives the guest an address, if it is on a network that does. torn
// writes only the beginning of the block, as a reader may find it.
func (m *machine) lease(torn bool) error {
	address, err := hardware(m.config)
	network := m.config.Get("ethernet0.connectionType")
	if network == "" {
		network = "bridged"
	}
	file := m.state.leaseFile(m.product, network)
	if err != nil || address == "" || file == "" {
		return err
	}
	release, err := lock(filepath.Join(m.state.Dir, "leases.lock"), time.Minute)
	if err != nil {
		return err
	}
	defer release()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	// What is half written is written anew.
	whole := strings.TrimSuffix(string(text), tornRest.FindString(string(text)))
	if whole == "" {
		whole = leaseHead
	}
	now := time.Now().UTC()
	ip := freeAddress(whole, m.host.Subnets[strings.ToLower(network)], address, now)
	block := leaseBlock(ip, address, now)
	if torn {
		block = block[:strings.Index(block, "hardware")+len("hardware ethernet 0")]
	}
	if m.ordered(OldLease) && !torn {
		long := now.Add(-24 * time.Hour)
		block = leaseBlock(ip, "00:50:56:3f:00:01", long) + block +
			leaseBlock(ip[:strings.LastIndex(ip, ".")]+".127", address, long)
	}
	return replaceOrAppend(file, string(text), whole, block)
}

// replaceOrAppend adds the block as the server does: to the end, or in a new
// file where the old one has to lose something.
func replaceOrAppend(file, old, whole, block string) error {
	if old == whole {
		return appendTo(file, block)
	}
	return replace(file, []byte(whole+block))
}

// tornRest is a block without its end.
var tornRest = regexp.MustCompile(`(?m)^lease [^}]*\z`)

// leaseBlock is one entry of the file.
func leaseBlock(ip, address string, from time.Time) string {
	at := func(t time.Time) string { return fmt.Sprintf("%d %s", t.Weekday(), t.Format("2006/01/02 15:04:05")) }
	return fmt.Sprintf("lease %s {\n\tstarts %s;\n\tends %s;\n\thardware ethernet %s;\n\tclient-hostname \"guest\";\n}\n",
		ip, at(from), at(from.Add(leaseTime)), address)
}

// entry finds the blocks of a file.
var entry = regexp.MustCompile(
	`lease (\S+) \{\s+starts [^;]+;\s+ends \d ([^;]+);\s+hardware ethernet ([^;]+);`)

// freeAddress is the address that the guest had before, or one that nobody
// has, or the one that is free first.
func freeAddress(leases, subnet, address string, now time.Time) string {
	taken := map[string]time.Time{}
	for _, found := range entry.FindAllStringSubmatch(leases, -1) {
		ends, err := time.Parse("2006/01/02 15:04:05", found[2])
		if err != nil {
			continue
		}
		if found[3] == address && ends.After(now) {
			return found[1]
		}
		if ends.After(taken[found[1]]) {
			taken[found[1]] = ends
		}
	}
	var best string
	for host := 128; host < 255; host++ {
		ip := fmt.Sprintf("%s.%d", subnet, host)
		if taken[ip].Before(now) {
			return ip
		}
		if best == "" || taken[ip].Before(taken[best]) {
			best = ip
		}
	}
	return best
}

// generated is the address that VMware makes up for an adapter.
func generated(vmx string) string {
	sum := sha256.Sum256([]byte(vmx))
	return fmt.Sprintf("00:0c:29:%02x:%02x:%02x", sum[0], sum[1], sum[2])
}

// errNoGuest says that a test spoke to a guest that is gone.
var errNoGuest = errors.New("the virtual machine does not run")

// Halt lets the guest shut down by itself.
func (s State) Halt(vmx string) error { return s.guest(vmx, "halt") }

// Reboot lets the guest start anew by itself.
func (s State) Reboot(vmx string) error { return s.guest(vmx, "reboot") }

func (s State) guest(vmx, what string) error {
	canonical, err := filepath.EvalSymlinks(vmx)
	if err != nil {
		return err
	}
	if s.running(canonical) == nil {
		return fmt.Errorf("%s: %w", vmx, errNoGuest)
	}
	return s.tell(canonical, "guest "+what)
}
