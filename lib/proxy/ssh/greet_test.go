package sshproxy

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// dialWith logs in over a connection with ciphers of the client's choice, and
// returns which one it got for what it sends.
func (n *node) dialWith(conn net.Conn, ciphers ...string) (string, error) {
	n.t.Helper()
	c, channels, requests, err := ssh.NewClientConn(conn, "", &ssh.ClientConfig{
		Config: ssh.Config{Ciphers: ciphers}, User: user, Auth: []ssh.AuthMethod{ssh.Password(n.access(time.Hour).password)},
		HostKeyCallback: ssh.FixedHostKey(n.hostKey.PublicKey()),
	})
	if err != nil {
		return "", err
	}
	client := ssh.NewClient(c, channels, requests)
	defer client.Close()
	echo(n.t, client, "hello")
	return c.(ssh.AlgorithmsConnMetadata).Algorithms().Write.Cipher, nil
}

func (n *node) conn() net.Conn {
	n.t.Helper()
	conn, err := net.Dial("tcp", n.server.Addr().String())
	if err != nil {
		n.t.Fatal(err)
	}
	return conn
}

// A client that knows a cipher that is quick here gets it, and nobody is locked
// out who knows none.
func TestCipher(t *testing.T) {
	n := newNode(t, nil)
	quick := func(want string) string {
		if aesInHardware() {
			return want
		}
		return ssh.CipherChaCha20Poly1305
	}
	for _, tt := range []struct {
		name    string
		ciphers []string
		want    string
	}{
		{"as OpenSSH offers them", []string{ssh.CipherChaCha20Poly1305, ssh.CipherAES128CTR, ssh.CipherAES128GCM, ssh.CipherAES256GCM}, quick(ssh.CipherAES128GCM)},
		{"its longest alone", []string{ssh.CipherChaCha20Poly1305, ssh.CipherAES256GCM}, quick(ssh.CipherAES256GCM)},
		{"none that is quick", []string{ssh.CipherChaCha20Poly1305}, ssh.CipherChaCha20Poly1305},
		{"an old one", []string{ssh.CipherAES256CTR}, ssh.CipherAES256CTR},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := n.dialWith(n.conn(), tt.ciphers...); got != tt.want || err != nil {
				t.Errorf("cipher %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// timid is a client that says nothing after its version before it has heard the
// server's offer.
type timid struct {
	net.Conn

	wrote bool
	heard chan struct{}
	got   int
}

func (c *timid) Write(p []byte) (int, error) {
	if c.wrote {
		<-c.heard
	}
	c.wrote = true
	return c.Conn.Write(p)
}

func (c *timid) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if was := c.got <= len(ServerVersion)+2; was {
		if c.got += n; c.got > len(ServerVersion)+2 || err != nil {
			close(c.heard)
		}
	}
	return n, err
}

func TestClientThatWaitsForOurOffer(t *testing.T) {
	n := newNode(t, nil)
	c := &timid{Conn: n.conn(), heard: make(chan struct{})}
	if got, err := n.dialWith(c, ssh.CipherChaCha20Poly1305, ssh.CipherAES128GCM); got != ssh.CipherChaCha20Poly1305 || err != nil {
		t.Errorf("cipher %q, %v, want the client's own choice", got, err)
	}
}

// Nonsense is read as far as it goes, and handed on as it came.
func TestGreetNonsense(t *testing.T) {
	for _, said := range []string{
		"", "x", "GET / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n", "SSH-2.0-x\r\n\x00\x00", "SSH-2.0-x\n\xff\xff\xff\xff\x00",
		"SSH-2.0-x\r\n\x00\x00\x00\x02\x09\x14", "SSH-2.0-x\r\n\x00\x00\x00\x03\x01\x14\x00",
		"a line before\r\nSSH-2.0-x\r\n\x00\x00\x00\x0c\x04\x14junkjunk\x00\x00\x00\x00", string(bytes.Repeat([]byte("\n"), 100_000)),
	} {
		near, far := net.Pipe()
		go func() {
			version := make([]byte, len(ServerVersion)+2)
			_, _ = io.ReadFull(far, version)
			_, _ = io.WriteString(far, said)
			_ = far.Close()
		}()
		conn, ciphers := greet(near)
		got, _ := io.ReadAll(conn)
		if string(got) != said || ciphers != nil {
			t.Errorf("%.40q became %.40q, with %v", said, got, ciphers)
		}
		_ = near.Close()
	}
}
