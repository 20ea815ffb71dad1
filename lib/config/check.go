package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// maxVoteTimeout leaves some of the longest round of an election, 30 s: one that
// waited for votes until the next round opens would never decide without them.
const maxVoteTimeout = 25 * time.Second

// check reports every value that the node could not work with.
func (l *loader) check() {
	c := l.cfg
	for _, k := range []struct {
		key   string
		value any
		err   error
	}{
		{"directory", c.Directory, checkDirectory(c.Directory)},
		{"api_address", c.APIAddress, checkListen(c.APIAddress)},
		{"proxy_socks_address", c.ProxySOCKSAddress, checkListen(c.ProxySOCKSAddress)},
		{"proxy_socks_handshake_timeout", c.ProxySOCKSHandshakeTimeout, checkDuration(c.ProxySOCKSHandshakeTimeout, time.Second, time.Minute)},
		{"proxy_socks_dial_timeout", c.ProxySOCKSDialTimeout, checkDuration(c.ProxySOCKSDialTimeout, time.Second, 5*time.Minute)},
		{"proxy_socks_idle_timeout", c.ProxySOCKSIdleTimeout, checkDuration(c.ProxySOCKSIdleTimeout, time.Second, 7*24*time.Hour)},
		{"proxy_socks_max_connections", c.ProxySOCKSMaxConnections, checkCount(c.ProxySOCKSMaxConnections, 1, 100_000)},
		{"proxy_socks_rate", c.ProxySOCKSRate, checkCount(c.ProxySOCKSRate, 1, 100_000)},
		{"proxy_socks_max_unidentified", c.ProxySOCKSMaxUnidentified, checkCount(c.ProxySOCKSMaxUnidentified, 1, 100_000)},
		{"proxy_ssh_address", c.ProxySSHAddress, checkListen(c.ProxySSHAddress)},
		{"proxy_ssh_access_lifetime", c.ProxySSHAccessLifetime, checkDuration(c.ProxySSHAccessLifetime, 10*time.Second, 24*time.Hour)},
		{"proxy_ssh_max_sessions", c.ProxySSHMaxSessions, checkCount(c.ProxySSHMaxSessions, 1, 100_000)},
		{"proxy_ssh_grace", c.ProxySSHGrace, checkDuration(c.ProxySSHGrace, 0, time.Hour)},
		{"proxy_ssh_recording_size", c.ProxySSHRecordingSize, checkSize(c.ProxySSHRecordingSize, 64<<10, 1<<40)},
		{"proxy_ssh_recordings_size", c.ProxySSHRecordingsSize, checkSize(c.ProxySSHRecordingsSize, 64<<10, 1<<50)},
		{"proxy_ssh_recordings_keep", c.ProxySSHRecordingsKeep, checkDuration(c.ProxySSHRecordingsKeep, 0, math.MaxInt64)},
		{"node_address", c.NodeAddress, checkNodeAddress(c.NodeAddress)},
		{"cluster_max_links", c.ClusterMaxLinks, checkLinks(c.ClusterMaxLinks)},
		{"cluster_link_bytes", c.ClusterLinkBytes, checkSize(c.ClusterLinkBytes, 64<<10, 1<<30)},
		{"cluster_proxy", "the value", checkProxy(c.ClusterProxy)},
		{"mem_target", c.MemTarget, checkSize(c.MemTarget, 0, math.MaxInt64)},
		{"node_name", c.NodeName, model.CheckNodeName(c.NodeName)},
		{"meta_address", c.MetaAddress, checkOptionalListen(c.MetaAddress)},
		{"auth_hash_memory", c.AuthHashMemory, checkSize(c.AuthHashMemory, 0, math.MaxInt64)},
		{"retention", c.Retention, checkDuration(c.Retention, 0, math.MaxInt64)},
		{"max_db_size", c.MaxDBSize, checkDBSize(c.MaxDBSize)},
		{"allocate_timeout", c.AllocateTimeout, checkDuration(c.AllocateTimeout, time.Second, math.MaxInt64)},
		{"task_timeout", c.TaskTimeout, checkDuration(c.TaskTimeout, time.Second, math.MaxInt64)},
		{"starvation_after", c.StarvationAfter, checkDuration(c.StarvationAfter, 0, math.MaxInt64)},
		{"vote_timeout", c.VoteTimeout, checkDuration(c.VoteTimeout, 100*time.Millisecond, maxVoteTimeout)},
		{"election.safety", c.Election.Safety, checkSafety(c.Election.Safety)},
		{"audit_file_size", c.AuditFileSize, checkSize(c.AuditFileSize, 64<<10, 1<<40)},
		{"api_max_connections", c.APIMaxConnections, checkCount(c.APIMaxConnections, 10, 1_000_000)},
		{"api_header_timeout", c.APIHeaderTimeout, checkDuration(c.APIHeaderTimeout, time.Second, time.Hour)},
		{"api_read_timeout", c.APIReadTimeout, checkDuration(c.APIReadTimeout, time.Second, time.Hour)},
		{"api_write_timeout", c.APIWriteTimeout, checkDuration(c.APIWriteTimeout, time.Second, time.Hour)},
		{"api_idle_timeout", c.APIIdleTimeout, checkDuration(c.APIIdleTimeout, time.Second, 24*time.Hour)},
		{"api_max_header_size", c.APIMaxHeaderSize, checkSize(c.APIMaxHeaderSize, 4<<10, 1<<20)},
		{"log_file", c.LogFile, checkLogFile(c.LogFile)},
		{"log_file_size", c.LogFileSize, checkSize(c.LogFileSize, 1<<20, 1<<40)},
		{"log_file_keep", c.LogFileKeep, checkKeep(c.LogFileKeep)},
	} {
		if k.err != nil {
			l.fail(k.key, "got %q: %v", fmt.Sprint(k.value), k.err)
		}
	}
	l.checkTLSNames()
	l.checkDrivers()
	l.doubt()
}

// doubt warns about what works, but hardly as meant.
func (l *loader) doubt() {
	if host, port, err := net.SplitHostPort(l.cfg.NodeAddress); err == nil {
		if ip, err := netip.ParseAddr(host); port == "0" || (err == nil && ip.IsUnspecified()) {
			l.warn("node_address: nobody can reach " + l.cfg.NodeAddress + "; give the address that others use")
		}
	}
	if least := yamlconf.Size(64 << 20); l.cfg.MemTarget > 0 && l.cfg.MemTarget < least {
		l.warn(fmt.Sprintf("mem_target: %v is less than an idle node takes; it will be busy collecting garbage", l.cfg.MemTarget))
	}
}

func checkDirectory(s string) error {
	if s == "" || strings.ContainsRune(s, 0) {
		return errors.New("want the path of a folder, such as fish_data")
	}
	return nil
}

// splitAddress takes host:port apart; the port must be a number.
func splitAddress(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", errors.New("want host:port, such as 127.0.0.1:8001 or [::1]:8001")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", errors.New("want a port from 0 to 65535 after the colon")
	}
	return host, nil
}

func checkListen(s string) error {
	host, err := splitAddress(s)
	if err == nil && host != "" {
		err = checkHost(host)
	}
	return err
}

func checkOptionalListen(s string) error {
	if s == "" {
		return nil
	}
	return checkListen(s)
}

// checkNodeAddress needs a host: others dial it, and a folder and a certificate carry it.
func checkNodeAddress(s string) error {
	host, err := splitAddress(s)
	if err != nil {
		return err
	}
	if host == "" {
		return errors.New("want the host that others reach this node by before the colon")
	}
	return checkHost(host)
}

// checkHost takes an IP address or a DNS name: it also becomes part of a folder's name.
func checkHost(host string) error {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?$`).MatchString(host) {
		return errors.New("want an IP address or a DNS name as host")
	}
	return nil
}

func checkSize(s, least, most yamlconf.Size) error {
	if s < least || s > most {
		return fmt.Errorf("want a size from %v to %v", least, most)
	}
	return nil
}

func checkDBSize(s yamlconf.Size) error {
	if least := yamlconf.Size(16 << 20); s != 0 && s < least {
		return fmt.Errorf("want 0 for no limit, or at least %v: an almost empty database takes some of it", least)
	}
	return nil
}

func checkLinks(n uint8) error {
	if n < 2 || n > 64 {
		return errors.New("want an integer from 2 to 64")
	}
	return nil
}

// checkProxy never repeats what was given: there may be a password in it.
func checkProxy(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "socks5" && u.Scheme != "socks5h" && u.Scheme != "http" && u.Scheme != "https") {
		return errors.New("want the URL of a proxy, such as socks5://user:password@host:1080")
	}
	return nil
}

func checkCount(n, least, most uint32) error {
	if n < least || n > most {
		return fmt.Errorf("want an integer from %d to %d", least, most)
	}
	return nil
}

func checkDuration(d, least, most time.Duration) error {
	switch {
	case d >= least && d <= most:
		return nil
	case most == math.MaxInt64:
		return fmt.Errorf("want a duration of at least %v", least)
	default:
		return fmt.Errorf("want a duration from %v to %v", least, most)
	}
}

func checkSafety(s string) error {
	if s != "strict" && s != "available" {
		return errors.New("want strict or available")
	}
	return nil
}

func checkLogFile(s string) error {
	if strings.ContainsRune(s, 0) || strings.HasSuffix(s, "/") {
		return errors.New("want the path of a file, such as fish.log, or nothing")
	}
	return nil
}

func checkKeep(n uint16) error {
	if n < 1 || n > 1000 {
		return errors.New("want an integer from 1 to 1000")
	}
	return nil
}

// checkTLSNames takes what can stand in a certificate.
func (l *loader) checkTLSNames() {
	for i, name := range l.cfg.TLSNames {
		if ip, err := netip.ParseAddr(name); err == nil && ip.Zone() == "" {
			continue
		}
		if host := strings.TrimPrefix(name, "*."); strings.HasSuffix(host, ".") || checkHost(host) != nil || strings.Contains(host, "%") {
			l.fail(fmt.Sprintf("tls_names[%d]", i), "got %q: want an IP address or a DNS name, such as ci.example.com or *.example.com", name)
		}
	}
}

// checkDrivers holds the names to what a label can name and a folder can be called.
func (l *loader) checkDrivers() {
	valid := regexp.MustCompile(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?$`)
	dots := regexp.MustCompile(`(^|/)\.{1,2}(/|$)`)
	first := map[string]int{}
	for i, e := range l.cfg.Drivers {
		key := fmt.Sprintf("drivers[%d].name", i)
		where := key
		if l.doc.Line(key) == 0 { // the name is missing: point to the entry
			where = fmt.Sprintf("drivers[%d]", i)
		}
		if !valid.MatchString(e.Name) || dots.MatchString(e.Name) {
			l.fail(where, "got the name %q: want <driver> or <driver>/<instance>, each of letters, digits, `_`, `.` and `-`", e.Name)
			continue
		}
		if line, twice := first[e.Name]; twice {
			l.fail(key, "%q is configured twice, first in line %d: name the second one %s/<instance>", e.Name, line, e.Driver())
		} else {
			first[e.Name] = l.doc.Line(key)
		}
		if cfg := strings.TrimSpace(string(e.Cfg)); cfg != "" && cfg[0] != '{' {
			l.fail(fmt.Sprintf("drivers[%d].cfg", i), "want a mapping of the driver's own keys")
		}
	}
}
