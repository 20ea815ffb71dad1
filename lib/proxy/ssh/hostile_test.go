package sshproxy

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// hostile is a client that sends what it likes, as no library would let it. It
// speaks as much of SSH (RFC 4253) as is needed for that, and reads no answers.
type hostile struct {
	net.Conn

	in       *bufio.Reader
	sequence uint32
	stream   cipher.Stream // nil before keys are exchanged
	mac      []byte
}

const (
	msgServiceRequest = 5
	msgKexInit        = 20
	msgNewKeys        = 21
	msgECDHInit       = 30
	msgAuthRequest    = 50
	msgData           = 94

	helloOfHostile = "SSH-2.0-Hostile"
)

// newHostile connects and exchanges keys.
func newHostile(t *testing.T, address string) *hostile {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{Conn: conn, in: bufio.NewReader(conn)}
	if err := h.exchange(); err != nil {
		t.Fatalf("exchange keys: %v", err)
	}
	return h
}

func (h *hostile) exchange() error {
	_, _ = h.Write([]byte(helloOfHostile + "\r\n"))
	hello, err := h.in.ReadString('\n')
	if err != nil {
		return err
	}
	lists := struct {
		Cookie                                               [16]byte
		Kex, Key, CipherIn, CipherOut, MACIn, MACOut, ZIn, Z []string
		LanguageIn, LanguageOut                              []string
		Follows                                              bool
		Reserved                                             uint32
	}{
		Kex: []string{"curve25519-sha256"}, Key: []string{"ssh-ed25519"}, CipherIn: []string{"aes128-ctr"}, CipherOut: []string{"aes128-ctr"},
		MACIn: []string{"hmac-sha2-256"}, MACOut: []string{"hmac-sha2-256"}, ZIn: []string{"none"}, Z: []string{"none"},
	}
	mine := append([]byte{msgKexInit}, ssh.Marshal(lists)...)
	h.send(mine)
	theirs, err := h.receive()
	if err != nil {
		return err
	}
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	share := private.PublicKey().Bytes()
	h.send(append([]byte{msgECDHInit}, ssh.Marshal(struct{ Share []byte }{share})...))
	answer, err := h.receive()
	if err != nil {
		return err
	}
	var reply struct{ HostKey, Share, Signature []byte }
	if err := ssh.Unmarshal(answer[1:], &reply); err != nil {
		return err
	}
	public, err := ecdh.X25519().NewPublicKey(reply.Share)
	if err != nil {
		return err
	}
	secret, err := private.ECDH(public)
	if err != nil {
		return err
	}
	k := ssh.Marshal(struct{ K *big.Int }{new(big.Int).SetBytes(secret)})
	all := ssh.Marshal(struct {
		ClientVersion, ServerVersion      string
		Mine, Theirs, HostKey, Share, Got []byte
	}{helloOfHostile, hello[:len(hello)-2], mine, theirs, reply.HostKey, share, reply.Share})
	sum := sha256.Sum256(append(all, k...))
	h.send([]byte{msgNewKeys})
	key := func(letter byte) []byte {
		b := sha256.Sum256(append(append(append(append([]byte{}, k...), sum[:]...), letter), sum[:]...))
		return b[:]
	}
	block, err := aes.NewCipher(key('C')[:16])
	if err != nil {
		return err
	}
	h.stream, h.mac = cipher.NewCTR(block, key('A')[:16]), key('E')
	return nil
}

// send sends payloads, in one write.
func (h *hostile) send(payloads ...[]byte) {
	var out []byte
	for _, payload := range payloads {
		padding := 16 - (5+len(payload))%16
		if padding < 4 {
			padding += 16
		}
		p := binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)+padding))
		p = append(append(append(p, byte(padding)), payload...), make([]byte, padding)...)
		if h.stream != nil {
			m := hmac.New(sha256.New, h.mac)
			_ = binary.Write(m, binary.BigEndian, h.sequence)
			_, _ = m.Write(p)
			h.stream.XORKeyStream(p, p)
			p = m.Sum(p)
		}
		out = append(out, p...)
		h.sequence++
	}
	_, _ = h.Write(out) // the other side may have had enough
}

// receive reads a packet of the time before keys are exchanged.
func (h *hostile) receive() ([]byte, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(h.in, head); err != nil {
		return nil, err
	}
	rest := make([]byte, binary.BigEndian.Uint32(head)-1)
	if _, err := io.ReadFull(h.in, rest); err != nil {
		return nil, err
	}
	padding := int(head[4])
	if padding > len(rest) {
		return nil, errors.New("a packet of padding alone")
	}
	return rest[:len(rest)-padding], nil
}

func message(kind byte, fields any) []byte { return append([]byte{kind}, ssh.Marshal(fields)...) }

// startAuth asks for what comes before everything else.
func startAuth() []byte { return message(msgServiceRequest, struct{ Name string }{"ssh-userauth"}) }

func byPassword(password string) []byte {
	return message(msgAuthRequest, struct {
		User, Service, Method string
		Change                bool
		Password              string
	}{user, "ssh-connection", "password", false, password})
}

func repeated(payload []byte, count int) (all [][]byte) {
	for range count {
		all = append(all, payload)
	}
	return all
}

// Strangers that send more than is read leave nothing behind: crypto/ssh does not
// end its reader while that has packets for somebody who has gone.
func TestStrangersThatTalkTooMuch(t *testing.T) {
	long := string(make([]byte, passwordLength)) // is waited for
	for name, first := range map[string][][]byte{
		"not asking to log in":     nil,
		"nonsense instead of auth": {startAuth(), {msgAuthRequest}},
		"nonsense while it waits":  {startAuth(), byPassword(long), {msgAuthRequest}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, nil)
			before := runtime.NumGoroutine()
			for range 5 {
				h := newHostile(t, n.server.Addr().String())
				h.send(append(first, repeated([]byte{msgServiceRequest}, 200)...)...)
				defer func() { _ = h.Close() }()
			}
			until(t, "no goroutine more", func() bool { return runtime.NumGoroutine() <= before+5 }) // the node may still start
		})
	}
}

// So do clients that break the protocol when they are logged in, and send more
// behind: their sessions end.
func TestFaultOfAClient(t *testing.T) {
	n := newNode(t, nil)
	h := newHostile(t, n.server.Addr().String())
	defer func() { _ = h.Close() }()
	h.send(startAuth(), byPassword(n.access(time.Hour).password))
	until(t, "the session", func() bool { return len(n.trail.details(ActionOpen)) == 1 })
	nowhere := message(msgData, struct {
		Channel uint32
		Data    string
	}{99, "x"})
	h.send(repeated(nowhere, 200)...)
	until(t, "the end in the audit", func() bool { return len(n.trail.details(ActionClose)) == 1 })
	until(t, "the end of the connection to the environment", func() bool { return len(n.local.all()) == 0 })
}
