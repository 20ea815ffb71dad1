package auth

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// Rate allows Burst at once and one more each Every.
type Rate struct {
	Burst int
	Every time.Duration
}

// Limits bound failed attempts. Zero rates take the defaults named.
type Limits struct {
	// Login bounds the failures of one user name from one address. 10 at
	// once, then one each 10 s: a person who mistypes never meets it.
	Login Rate
	// Address bounds the failures from one address, which may be the gateway
	// of a whole site. 100 at once, then 2 a second.
	Address Rate
	// LoginPass and AddressPass bound the hashes that a full limit still
	// grants to credentials asked for more than once (DESIGN.md). 2 at once,
	// then one each 2 s; 8 at once, then 2 a second.
	LoginPass, AddressPass Rate
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		rate  *Rate
		value Rate
	}{
		{&l.Login, Rate{10, 10 * time.Second}}, {&l.Address, Rate{100, 500 * time.Millisecond}},
		{&l.LoginPass, Rate{2, 2 * time.Second}}, {&l.AddressPass, Rate{8, 500 * time.Millisecond}},
	} {
		if d.rate.Burst <= 0 || d.rate.Every <= 0 {
			*d.rate = d.value
		}
	}
	return l
}

// limiterKeys bounds the keys of one limiter: 16 bytes each and the map.
const limiterKeys = 16_384

// limiter counts by key. It stores for each key the time at which the key is
// clean again (the "theoretical arrival time" of GCRA): one number stands for
// count and age.
type limiter struct {
	rate  Rate
	clean map[uint64]time.Time
}

func newLimiter(r Rate) *limiter { return &limiter{rate: r, clean: map[uint64]time.Time{}} }

// wait is how long the key has to wait for its next turn; 0 is none.
func (l *limiter) wait(key uint64, now time.Time) time.Duration {
	clean, ok := l.clean[key]
	if !ok {
		return 0
	}
	return max(0, clean.Sub(now)-time.Duration(l.rate.Burst-1)*l.rate.Every)
}

func (l *limiter) charge(key uint64, now time.Time) {
	clean, ok := l.clean[key]
	if !ok && len(l.clean) >= limiterKeys {
		l.evict(now)
	}
	if clean.Before(now) {
		clean = now
	}
	// Never further than full, lest granted passes lengthen the wait for ever.
	full := now.Add(time.Duration(l.rate.Burst) * l.rate.Every)
	if clean = clean.Add(l.rate.Every); clean.After(full) {
		clean = full
	}
	l.clean[key] = clean
}

// refund takes a charge back.
func (l *limiter) refund(key uint64, now time.Time) {
	clean, ok := l.clean[key]
	if !ok {
		return
	}
	if clean = clean.Add(-l.rate.Every); clean.After(now) {
		l.clean[key] = clean
		return
	}
	delete(l.clean, key)
}

// evict drops clean keys among a few, or else the one that is clean first.
func (l *limiter) evict(now time.Time) {
	const sample = 16
	var first uint64
	var when time.Time
	n := 0
	for key, clean := range l.clean {
		if n == 0 || clean.Before(when) {
			first, when = key, clean
		}
		if clean.Before(now) {
			delete(l.clean, key)
		}
		if n++; n == sample {
			break
		}
	}
	delete(l.clean, first)
}

// source is where an attempt comes from, as the limits count it.
type source struct {
	address string
	login   uint64 // the address with the user name
	host    uint64 // the address
}

// Network is what peers are counted by: the address of an IPv4 peer, also where
// it is written in IPv6, and the /64 of an IPv6 peer, which it may choose its
// addresses from.
func Network(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		return netip.PrefixFrom(addr, 64).Masked().String()
	}
	return addr.String()
}

// source tells the keys of a peer and a name.
func (a *Authenticator) source(remote, name string) source {
	host := remote
	addr, err := netip.ParseAddr(remote)
	if err != nil {
		var port netip.AddrPort
		port, err = netip.ParseAddrPort(remote)
		addr = port.Addr()
	}
	if err == nil {
		host = Network(addr)
	}
	var h maphash.Hash
	h.SetSeed(a.seed)
	_, _ = h.WriteString(host)
	s := source{address: host, host: h.Sum64()}
	_ = h.WriteByte(0)
	_, _ = h.WriteString(name)
	s.login = h.Sum64()
	return s
}

// limits are the four counters of a gate.
type limits struct{ login, host, loginPass, hostPass *limiter }

func newLimits(l Limits) limits {
	return limits{newLimiter(l.Login), newLimiter(l.Address), newLimiter(l.LoginPass), newLimiter(l.AddressPass)}
}

// wait is how long the source is limited; 0 is not at all.
func (l limits) wait(s source, now time.Time) time.Duration {
	return max(l.login.wait(s.login, now), l.host.wait(s.host, now))
}

// fail counts a failure.
func (l limits) fail(s source, now time.Time) {
	l.login.charge(s.login, now)
	l.host.charge(s.host, now)
}

// passWait is how long a limited source has to wait for its next pass.
func (l limits) passWait(s source, now time.Time) time.Duration {
	return max(l.loginPass.wait(s.login, now), l.hostPass.wait(s.host, now))
}
