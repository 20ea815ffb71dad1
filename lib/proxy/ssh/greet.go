package sshproxy

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/cpu"
)

const (
	// offerTime is how long the client's list of algorithms is waited for. All
	// known clients send it right behind their version; for one that waits for
	// ours nothing is chosen.
	offerTime = 500 * time.Millisecond
	// maxGreeting bounds what is read of a client before its handshake: its
	// version, with the lines that it may send before, and one packet.
	maxGreeting = 64 << 10
	// maxOffer bounds that packet, as crypto/ssh and OpenSSH do.
	maxOffer = 35_000

	offerMessage = 20 // RFC 4253, 7.1
)

// greet exchanges versions with a client and looks which ciphers it offers. It
// returns the connection as crypto/ssh expects it, as if nothing had been said,
// and the ciphers to offer; nil: all that there are.
//
// By the protocol the client's first choice counts, and that of OpenSSH's is
// ChaCha20-Poly1305, for which Go has no assembly on amd64: a third of a copy's
// CPU time. A client that knows AES-GCM as well gets that, where this machine has
// instructions for it; nobody is locked out.
func greet(conn net.Conn) (net.Conn, []string) {
	g := &greeted{Conn: conn, said: []byte(ServerVersion + "\r\n")}
	if _, err := conn.Write(g.said); err != nil {
		return conn, nil // it tells again
	}
	var ciphers []string
	if g.readVersion() {
		limit := time.Now().Add(offerTime)
		_ = conn.SetReadDeadline(limit) // one that is closed tells at the next use
		ciphers = preferred(g.readOffer())
	}
	g.rest = g.read.Bytes()
	return g, ciphers
}

// greeted is a connection after greet.
type greeted struct {
	net.Conn

	said []byte // what was written already, and is not again
	read bytes.Buffer
	rest []byte // of what was read already
}

// Read implements net.Conn.
func (g *greeted) Read(p []byte) (int, error) {
	if len(g.rest) > 0 {
		n := copy(p, g.rest)
		g.rest = g.rest[n:]
		return n, nil
	}
	g.rest = nil
	return g.Conn.Read(p) //nolint:wrapcheck // a wrapper adds nothing
}

// Write implements net.Conn.
func (g *greeted) Write(p []byte) (int, error) {
	if len(g.said) > 0 && bytes.HasPrefix(p, g.said) {
		n := len(g.said)
		g.said = nil
		if n == len(p) {
			return n, nil
		}
		m, err := g.Conn.Write(p[n:])
		return n + m, err //nolint:wrapcheck // a wrapper adds nothing
	}
	return g.Conn.Write(p) //nolint:wrapcheck // a wrapper adds nothing
}

// more reads on until there are n bytes, and reports whether there are.
func (g *greeted) more(n int) bool {
	for g.read.Len() < n {
		if _, err := io.CopyN(&g.read, g.Conn, int64(n-g.read.Len())); err != nil {
			return false // it tells again
		}
	}
	return true
}

// readVersion reads up to the end of the line with the client's version.
func (g *greeted) readVersion() bool {
	start := 0
	for n := 1; n <= maxGreeting-maxOffer && g.more(n); n++ {
		text := g.read.Bytes()
		if text[n-1] != '\n' {
			continue
		}
		if bytes.HasPrefix(text[start:], []byte("SSH-")) {
			return true
		}
		start = n
	}
	return false
}

// readOffer reads the packet behind the version; nil if it is not what it has
// to be, which crypto/ssh will say.
func (g *greeted) readOffer() []byte {
	at := g.read.Len()
	if !g.more(at + 5) {
		return nil
	}
	head := g.read.Bytes()[at:]
	size, padding := binary.BigEndian.Uint32(head), int(head[4])
	if size > maxOffer || int(size) < padding+2 || !g.more(at+4+int(size)) {
		return nil
	}
	return g.read.Bytes()[at+5 : at+4+int(size)-padding]
}

// preferred are the ciphers to choose from, of what a client offers.
func preferred(offer []byte) []string {
	if len(offer) == 0 || offer[0] != offerMessage || !aesInHardware() {
		return nil
	}
	var msg struct {
		Cookie                               [16]byte
		Kex, HostKeys, ToServer, ToClient    []string
		MACToServer, MACToClient             []string
		CompressionToServer, CompressionToUs []string
		LanguageToServer, LanguageToClient   []string
		FirstFollows                         bool
		Reserved                             uint32
	}
	if ssh.Unmarshal(offer[1:], &msg) != nil {
		return nil
	}
	return slices.DeleteFunc([]string{ssh.CipherAES128GCM, ssh.CipherAES256GCM}, func(c string) bool {
		return !slices.Contains(msg.ToServer, c) || !slices.Contains(msg.ToClient, c)
	})
}

// aesInHardware reports whether AES-GCM is quick here.
func aesInHardware() bool {
	return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ || cpu.ARM64.HasAES && cpu.ARM64.HasPMULL
}
