package cli

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// The environment variables of the command line.
const (
	envAddress  = "AQUARIUM_FISH_ADDRESS"
	envUser     = "AQUARIUM_FISH_USER"
	envPassword = "AQUARIUM_FISH_PASSWORD"
	envCA       = "AQUARIUM_FISH_CA"
	envContext  = "AQUARIUM_FISH_CONTEXT"
)

// What is asked where nothing is said: a node on this machine, as it is after its first start (contract 2).
const (
	defaultAddress = "127.0.0.1:8001"
	defaultUser    = "admin"
	defaultPort    = "8001"
)

// requestTimeout bounds one request: more than the minute that a node may take for one by default.
const requestTimeout = 75 * time.Second

// targetFlags say which node to ask, and as whom.
type targetFlags struct {
	context, address, ca, user, passwordFile string
	insecure                                 bool
}

func (f *targetFlags) register(set *pflag.FlagSet) {
	set.StringVar(&f.context, "context", "", "name of the context to use; else "+envContext+", else the current one")
	set.StringVar(&f.address, "address", "", "host:port of the node's API; else "+envAddress)
	set.StringVar(&f.ca, "ca", "", "file of the CA certificate to trust; else "+envCA)
	set.StringVar(&f.user, "user", "", "who asks; else "+envUser)
	set.StringVar(&f.passwordFile, "password-file", "", "file of the password, readable by you alone; else "+envPassword)
	set.BoolVar(&f.insecure, "insecure-skip-verify", false, "trust any certificate: whoever answers gets the password")
}

// target is the node to ask and as whom.
type target struct {
	// Context is the name of the context that it is the node of; empty if no context has a part in it.
	Context string
	Address string
	User    string
	// CA holds the certificates to trust as PEM; nil for those of the system.
	CA []byte
	// PasswordFile is the context's, if this is its node and its user.
	PasswordFile string
}

// resolve finds the target: a flag wins over the environment, that over the context, that over the defaults. What a
// context says of its node is used with no other node, nor its password with another user.
func (s *shell) resolve() (target, error) {
	chosen, err := s.chosenContext()
	if err != nil {
		return target{}, err
	}
	t := target{Address: cmp.Or(s.target.address, s.Env(envAddress), chosen.Address, defaultAddress)}
	if t.Address, err = normalAddress(t.Address); err != nil {
		return target{}, err
	}
	if t.Address != chosen.Address {
		chosen = farm{}
	}
	t.Context = chosen.Name
	t.User = cmp.Or(s.target.user, s.Env(envUser), chosen.User, defaultUser)
	if t.User == cmp.Or(chosen.User, defaultUser) {
		t.PasswordFile = chosen.PasswordFile
	}
	t.CA, err = s.trusted(t.Address, chosen)
	return t, err
}

// trusted finds the certificates to trust as PEM, nil for those of the system.
func (s *shell) trusted(address string, chosen farm) ([]byte, error) {
	if file := cmp.Or(s.target.ca, s.Env(envCA)); file != "" {
		return s.readCA(file)
	}
	if chosen.CA != "" {
		return []byte(chosen.CA), nil
	}
	// A node on this machine has its CA where it was started. For no other address: the folder may be anybody's.
	beside := filepath.Join("fish_data", "ca.crt")
	if isLoopback(address) {
		if _, err := os.Stat(s.path(beside)); err == nil {
			return s.readCA(beside)
		}
	}
	return nil, nil
}

// readCA reads a file of PEM certificates.
func (s *shell) readCA(file string) ([]byte, error) {
	text, err := readLimited(s.path(file))
	if err != nil {
		return nil, usagef("read CA: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return nil, usagef("read CA: %s holds no PEM certificate: want the ca.crt of the node's folder", file)
	}
	return text, nil
}

// path makes a path of the user absolute.
func (s *shell) path(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(s.WorkDir, file)
}

// normalAddress is host:port, from that, a bare host, or a URL.
func normalAddress(address string) (string, error) {
	a := strings.TrimSuffix(strings.TrimPrefix(address, "https://"), "/")
	if host, port, err := net.SplitHostPort(a); err == nil && host != "" && isPort(port) && !strings.ContainsAny(a, "/ ") {
		return a, nil
	}
	bare := strings.Trim(a, "[]")
	if bare == "" || strings.ContainsAny(bare, "/ @?#") || (strings.Contains(bare, ":") && net.ParseIP(bare) == nil) {
		return "", usagef("bad address %q: want host:port of a node's API", address)
	}
	return net.JoinHostPort(bare, defaultPort), nil
}

// isPort reports whether a node can listen there.
func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

// isLoopback reports whether only this machine answers at the address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// httpClient trusts what the target trusts.
func (s *shell) httpClient(t target) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(t.CA) {
			return nil, usagef("the CA of this context is no PEM certificate: add the context again with --ca and --replace")
		}
	}
	if s.target.insecure {
		s.note("Warning: the certificate of %s is not checked, so the password may go to anybody.", t.Address)
		config.InsecureSkipVerify = true // the user asked for it and is warned each time
	}
	return &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true,
			DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, TLSHandshakeTimeout: 10 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("a node does not redirect: check the address")
		},
	}, nil
}

// readLimited reads a small file.
func readLimited(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return readSmall(f, file)
}

// maxSmallFile is far more than a password, some certificates or metadata: the node takes 64 KB (contract 5).
const maxSmallFile = 1 << 20

// errTooLarge says that a file can not be what it is given as.
func errTooLarge(name string) error { return fmt.Errorf("%s is larger than 1 MB", name) }
