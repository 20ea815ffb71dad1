package crypt

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"testing"
)

// handshake serves one TLS connection on a loopback address and returns the
// error of a client that trusts the CA, and the certificate that it got.
func handshake(t *testing.T, id *Identity, listen, serverName string) (state tls.ConnectionState, err error) {
	t.Helper()
	listener, err := tls.Listen("tcp", listen, id.ServerTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_ = conn.(*tls.Conn).HandshakeContext(t.Context()) // the client tells
			_ = conn.Close()
		}
	}()
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	client := tls.Client(raw, &tls.Config{RootCAs: id.CAPool(), ServerName: serverName, MinVersion: tls.VersionTLS12})
	err = client.HandshakeContext(t.Context())
	return client.ConnectionState(), err
}

func TestAddressThatTheCertificateDoesNotName(t *testing.T) {
	o := testOptions(t)
	o.NodeAddress = "ci-1.example.com:8001"
	id := mustLoad(t, o)
	for _, name := range []string{"127.0.0.1", "node-1", "ci-1.example.com"} {
		state, err := handshake(t, id, "127.0.0.1:0", name)
		if err != nil {
			t.Errorf("client that wants %s: %v", name, err)
			continue
		}
		public, err := publicDER(id.Certificate().PrivateKey.(crypto.Signer))
		if err != nil || !bytes.Equal(public, id.PublicKey) || !samePublic(state.PeerCertificates[0].PublicKey, id.Certificate().Leaf.PublicKey) {
			t.Errorf("client that wants %s got a certificate of another key", name)
		}
	}
	if _, err := handshake(t, id, "127.0.0.1:0", "other.example.com"); err == nil {
		t.Error("a name that is not the node's is vouched for")
	}
	if !id.Answers(netip.MustParseAddr("127.0.0.1")) || !id.Answers(netip.MustParseAddr("::ffff:10.0.0.7")) {
		t.Error("Answers() = false with the CA's key at hand")
	}
}

func TestAddressThatTheCertificateNames(t *testing.T) {
	id := mustLoad(t, testOptions(t))
	state, err := handshake(t, id, "127.0.0.1:0", "127.0.0.1")
	if err != nil || !state.PeerCertificates[0].Equal(id.Certificate().Leaf) {
		t.Errorf("certificate for 127.0.0.1 is not that of the file, error %v", err)
	}
}

func TestAddressWithoutTheCAsKey(t *testing.T) {
	o := testOptions(t)
	o.NodeAddress = "ci-1.example.com:8001"
	mustLoad(t, o)
	remove(t, o, "ca.key")
	id := mustLoad(t, o)
	if id.Answers(netip.MustParseAddr("127.0.0.1")) {
		t.Error("Answers() = true, who has signed?")
	}
	if _, err := handshake(t, id, "127.0.0.1:0", "node-1"); err != nil {
		t.Errorf("client that wants node-1: %v", err)
	}
}

func TestAddressesAreBounded(t *testing.T) {
	id := mustLoad(t, testOptions(t))
	for i := range 2 * mostAddresses {
		if got, want := id.Answers(netip.MustParseAddr(fmt.Sprintf("10.0.%d.1", i))), i < mostAddresses; got != want {
			t.Fatalf("Answers() for address %d = %v, want %v", i, got, want)
		}
	}
	if !id.Answers(netip.MustParseAddr("10.0.0.1")) {
		t.Error("Answers() = false for an address that has one")
	}
}
