package crypt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
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

// ReadSSHLogin reads the private key that a user gave for a login by SSH: PEM as
// PKCS#1, PKCS#8, SEC1 or OpenSSH's own. The error says what is wanted instead,
// and nothing of the key.
func ReadSSHLogin(private string) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey([]byte(private))
	if err == nil {
		return signer, nil
	}
	if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); locked {
		return nil, errors.New("it has a passphrase, which nobody can type here: want it without, such as a copy after ssh-keygen -p")
	}
	if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(private)); err == nil {
		return nil, errors.New("it is a public key: want the private one, in PEM and without a passphrase")
	}
	return nil, errors.New("want a private key in PEM, as ssh-keygen writes it, with its line ends and without a passphrase")
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
