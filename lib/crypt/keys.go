package crypt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

const (
	blockKey    = "PRIVATE KEY"    // PKCS#8: TLS keys (contract 3)
	blockSSHKey = "EC PRIVATE KEY" // SEC1: SSH keys (contract 3)
)

// NodeUID is the UID of the node with this public key (PKIX DER). It follows
// from the key alone (contract 20): a SHA-256 UUID over 16 zero bytes and the
// key, version nibble 0.
func NodeUID(publicKey []byte) model.UID {
	return uuid.NewHash(sha256.New(), uuid.Nil, publicKey, 0)
}

// LoadOrCreateSSHKey returns the ECDSA P-256 host key in the file, which is
// made with mode 0600 if absent.
func LoadOrCreateSSHKey(path string) (crypto.Signer, error) {
	key, err := loadKey(path)
	if err != nil || key != nil {
		return key, err
	}
	fresh, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate SSH key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(fresh)
	if err != nil {
		return nil, fmt.Errorf("encode SSH key: %w", err)
	}
	return fresh, storeKey(path, blockSSHKey, der)
}

// createKey makes a TLS key and its file; an existing file is an error.
func createKey(path string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return key, storeKey(path, blockKey, der)
}

func storeKey(path, block string, der []byte) error {
	err := durable.WriteNewFile(path, pem.EncodeToMemory(&pem.Block{Type: block, Bytes: der}), modeKey)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("key %s appeared meanwhile, does another node start in the same folder? %w", path, err)
	}
	return err
}

// loadKey returns nil without an error if there is no such file.
func loadKey(path string) (crypto.Signer, error) {
	data, err := readIfPresent(path)
	if err != nil || data == nil {
		return nil, err
	}
	key, err := parseKey(data)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	return key, nil
}

// parseKey takes the first private key of a PEM text, in any encoding that
// administrators put there.
func parseKey(data []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case blockKey:
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case blockSSHKey:
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		if signer, ok := key.(crypto.Signer); ok {
			return signer, nil
		}
		return nil, fmt.Errorf("a %T cannot sign", key)
	}
	return nil, errors.New("no unencrypted private key in PEM form inside")
}

// publicDER returns the PKIX form of the public half.
func publicDER(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return der, nil
}
