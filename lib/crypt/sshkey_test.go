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

func TestReadSSHLogin(t *testing.T) {
	program, err := exec.LookPath("ssh-keygen")
	if err != nil {
		needs.Lacking(t, "ssh-keygen of OpenSSH: ", err)
	}
	ours, _, err := NewSSHLogin()
	if err != nil {
		t.Fatalf("NewSSHLogin() error: %v", err)
	}
	made := func(args ...string) (private, public string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "key")
		if out, err := exec.CommandContext(t.Context(), program, append([]string{"-q", "-f", file}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
		for path, text := range map[string]*string{file: &private, file + ".pub": &public} {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			*text = string(data)
		}
		return private, public
	}
	openSSH, public := made("-t", "ed25519", "-N", "")
	pkcs1, _ := made("-t", "rsa", "-b", "2048", "-N", "", "-m", "PEM")
	pkcs8, _ := made("-t", "ecdsa", "-N", "", "-m", "PKCS8")
	locked, _ := made("-t", "ed25519", "-N", "secret")
	lockedPEM, _ := made("-t", "ecdsa", "-N", "secret", "-m", "PEM")
	lockedPKCS8, _ := made("-t", "ecdsa", "-N", "secret", "-m", "PKCS8")
	for _, tt := range []struct{ name, key, wrong string }{
		{"ours", ours, ""},
		{"OpenSSH", openSSH, ""},
		{"PKCS#1", pkcs1, ""},
		{"PKCS#8", pkcs8, ""},
		{"of Windows", strings.ReplaceAll(openSSH, "\n", "\r\n"), ""},
		{"without the last line end", strings.TrimSpace(openSSH), ""},
		{"with a passphrase", locked, "has a passphrase"},
		{"PEM with a passphrase", lockedPEM, "has a passphrase"},
		{"PKCS#8 with a passphrase", lockedPKCS8, "without a passphrase"},
		{"public", public, "is a public key"},
		{"folded by YAML", strings.ReplaceAll(openSSH, "\n", " "), "with its line ends"},
		{"cut", openSSH[:len(openSSH)/2], "as ssh-keygen writes it"},
		{"a file", "/home/ci/.ssh/id_ed25519", "as ssh-keygen writes it"},
	} {
		signer, err := ReadSSHLogin(tt.key)
		switch {
		case tt.wrong == "" && (err != nil || signer == nil):
			t.Errorf("ReadSSHLogin() of a key %s: %v", tt.name, err)
		case tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
			t.Errorf("ReadSSHLogin() of a key %s: %v, want %q", tt.name, err, tt.wrong)
		}
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
