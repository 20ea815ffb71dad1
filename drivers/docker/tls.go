package docker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/go-connections/tlsconfig"
)

// certificates are the files of TLS.
type certificates struct {
	ca, crt, key string
	named        string // by what, for people
	unchecked    bool   // the engine may be anybody
}

// certificatesOf finds the files for an engine; nil where TLS is not wanted.
func certificatesOf(a address, s settings) *certificates {
	switch {
	case !strings.HasPrefix(a.url, "tcp://"):
		return nil
	case s.withTLS():
		return &certificates{ca: s.TLSCACrt, crt: s.TLSCrt, key: s.TLSKey, named: "tls_ca_crt, tls_crt and tls_key"}
	case a.certs == "":
		return nil
	}
	return &certificates{
		ca: filepath.Join(a.certs, "ca.pem"), crt: filepath.Join(a.certs, "cert.pem"), key: filepath.Join(a.certs, "key.pem"),
		named: "DOCKER_CERT_PATH (ca.pem, cert.pem and key.pem in it)", unchecked: !a.verify,
	}
}

// config reads the files. Where there is a CA no other is trusted: an engine is
// no public server.
func (c *certificates) config(now time.Time) (*tls.Config, error) {
	config, err := tlsconfig.Client(tlsconfig.Options{
		CAFile: c.ca, CertFile: c.crt, KeyFile: c.key, InsecureSkipVerify: c.unchecked,
		ExclusiveRootPools: c.ca != "", MinVersion: tls.VersionTLS12,
	})
	if err != nil {
		return nil, fmt.Errorf("read the files of %s: %w", c.named, err)
	}
	for _, own := range config.Certificates {
		if own.Leaf != nil && now.After(own.Leaf.NotAfter) {
			return nil, fmt.Errorf("certificate %s has ended at %s: make a new one for %s", c.crt, own.Leaf.NotAfter.UTC().Format(time.RFC3339), c.named)
		}
	}
	return config, nil
}

// explain says what to do about an engine that can not be spoken to because of
// TLS. c is nil where it is spoken to without.
func (c *certificates) explain(err error) error {
	var (
		refused *net.OpError
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		advice  string
	)
	switch {
	case c == nil && strings.Contains(err.Error(), "HTTP request to an HTTPS server"):
		advice = "it speaks TLS: set tls_ca_crt, tls_crt and tls_key"
	case c == nil:
		return err
	case errors.As(err, &unknown):
		advice = "its certificate is of a CA that we do not trust: want the engine's in " + c.named
	case errors.As(err, &name):
		advice = "its certificate is for another name than docker_host has: use one of those in it, or make it one for this"
	case errors.As(err, &refused) && refused.Op == "remote error":
		advice = "the engine refuses our certificate, or that there is none: want one of the engine's CA in " + c.named
	default:
		return err
	}
	return fmt.Errorf("%s: %w", advice, err)
}
