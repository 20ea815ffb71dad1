package sshproxy

import (
	"testing"

	"go.uber.org/goleak"
)

// What crypto/ssh leaves behind a client that breaks the protocol is a known limit
// (DESIGN.md), and hostile_test.go has such clients: these are its goroutines, and
// none of ours.
func TestMain(m *testing.M) {
	const transport = "golang.org/x/crypto/ssh.(*handshakeTransport)."
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(transport+"readLoop"), goleak.IgnoreAnyFunction(transport+"kexLoop"),
		goleak.IgnoreAnyFunction(transport+"Close"))
}
