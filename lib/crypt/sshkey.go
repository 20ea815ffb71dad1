package crypt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// NewSSHLogin makes an ECDSA P-256 key for somebody who logs in by SSH. private
// is in PEM as SEC1, ends with a newline and is what `ssh -i` reads (contract
// 22); public is in the wire form of SSH (RFC 4253, 6.6).
func NewSSHLogin() (private string, public []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", nil, fmt.Errorf("generate SSH key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return "", nil, fmt.Errorf("encode SSH key: %w", err)
	}
	half, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return "", nil, fmt.Errorf("encode public SSH key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: blockSSHKey, Bytes: der})), half.Marshal(), nil
}

// SSHFingerprint is how OpenSSH shows a public key: the SHA-256 of its wire
// form; empty for none. The type of the key does not matter.
func SSHFingerprint(public []byte) string {
	if len(public) == 0 {
		return ""
	}
	sum := sha256.Sum256(public)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}
