package crypt

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

func TestNewSSHLogin(t *testing.T) {
	private, public, err := NewSSHLogin()
	if err != nil {
		t.Fatalf("NewSSHLogin() error: %v", err)
	}
	if !strings.HasPrefix(private, "-----BEGIN EC PRIVATE KEY-----\n") || !strings.HasSuffix(private, "-----END EC PRIVATE KEY-----\n") {
		t.Error("the private key is not SEC1 in PEM that ends with a newline")
	}
	signer, err := ssh.ParsePrivateKey([]byte(private))
	if err != nil {
		t.Fatalf("ParsePrivateKey() error: %v", err)
	}
	if !bytes.Equal(signer.PublicKey().Marshal(), public) || signer.PublicKey().Type() != ssh.KeyAlgoECDSA256 {
		t.Error("the public half is of another key")
	}
	if again, _, err := NewSSHLogin(); err != nil || again == private {
		t.Errorf("NewSSHLogin() gave the same key again, or failed: %v", err)
	}
}

// OpenSSH itself reads the key as it is given to the user.
func TestSSHLoginIsReadByOpenSSH(t *testing.T) {
	program, err := exec.LookPath("ssh-keygen")
	if err != nil {
		needs.Lacking(t, "ssh-keygen of OpenSSH: ", err)
	}
	private, public, err := NewSSHLogin()
	if err != nil {
		t.Fatalf("NewSSHLogin() error: %v", err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(private), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, "-y", "-f", file).Output()
	if err != nil {
		t.Fatalf("ssh-keygen: %v", err)
	}
	key, err := ssh.ParsePublicKey(public)
	if err != nil {
		t.Fatalf("ParsePublicKey() error: %v", err)
	}
	if want := string(ssh.MarshalAuthorizedKey(key)); string(out) != want {
		t.Errorf("ssh-keygen says %q, want %q", out, want)
	}
}

func TestSSHFingerprint(t *testing.T) {
	_, public, err := NewSSHLogin()
	if err != nil {
		t.Fatalf("NewSSHLogin() error: %v", err)
	}
	key, err := ssh.ParsePublicKey(public)
	if err != nil {
		t.Fatalf("ParsePublicKey() error: %v", err)
	}
	for _, tt := range []struct {
		name   string
		public []byte
		want   string
	}{
		{"ours", public, ssh.FingerprintSHA256(key)},
		{"of a type to come", []byte("\x00\x00\x00\x02pqkey"), "SHA256:zz6DDxayRZgVtP2d27/BiTXFOVkVbFAJOYq/kZQop5w"},
		{"none", nil, ""},
	} {
		if got := SSHFingerprint(tt.public); got != tt.want {
			t.Errorf("SSHFingerprint() of %s = %q, want %q", tt.name, got, tt.want)
		}
	}
}
