package enrol

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
)

// redeemTimeout bounds one address: a dial over the worst line, and a node that signs.
const redeemTimeout = 30 * time.Second

// Redeem shows the token to the node that gave it out, and returns its answer and the CAs in it. The connection is
// pinned: who does not hold a certificate of the token's CA and the issuer's key sees no secret. The error is a Refusal
// if the node refused.
func Redeem(ctx context.Context, t Token, j JoinRequest) (JoinAnswer, []*x509.Certificate, error) {
	var all error
	for _, address := range t.Addresses {
		answer, err := redeemAt(ctx, t, j, address)
		if err == nil {
			cas, err := answer.check(t)
			return answer, cas, err
		}
		if _, refused := errors.AsType[*Refusal](err); refused || ctx.Err() != nil {
			return JoinAnswer{}, nil, err
		}
		all = errors.Join(all, fmt.Errorf("ask %s: %w", address, err))
	}
	return JoinAnswer{}, nil, all
}

// check is what the node's words have to be true to: the CA that the token pins.
func (a JoinAnswer) check(t Token) ([]*x509.Certificate, error) {
	cas, err := crypt.ParseBundle([]byte(a.CAs))
	if err != nil {
		return nil, fmt.Errorf("read the CAs of the answer: %w", err)
	}
	for _, ca := range cas {
		if crypt.KeyHash(ca) == t.CA {
			return cas, nil
		}
	}
	return nil, errors.New("read the CAs of the answer: the CA that the token names is not among them: invite again")
}

func redeemAt(ctx context.Context, t Token, j JoinRequest, address string) (answer JoinAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, redeemTimeout)
	defer cancel()
	body, err := json.Marshal(j)
	if err != nil {
		return answer, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+JoinPath, bytes.NewReader(body))
	if err != nil {
		return answer, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", scheme+base64.RawURLEncoding.EncodeToString(t.Secret[:]))
	req.Header.Set(issuerHeader, t.Issuer.String())
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: pinned(t), DisableKeepAlives: true,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, TLSHandshakeTimeout: 10 * time.Second,
	}
	resp, err := (&http.Client{Transport: transport, CheckRedirect: noRedirect}).Do(req)
	if err != nil {
		return answer, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBody))
	if err != nil {
		return answer, fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(data, &answer); err != nil {
			return answer, fmt.Errorf("read answer: %w", err)
		}
		return answer, nil
	}
	var refused Refusal
	if json.Unmarshal(data, &refused) != nil || refused.Code == "" {
		return answer, fmt.Errorf("the node answers %d: is its version old?", resp.StatusCode)
	}
	return answer, &refused
}

func noRedirect(*http.Request, []*http.Request) error { return errors.New("a node does not redirect") }

// pinned trusts the token's CA and the token's issuer alone. The name by which the issuer is reached makes no difference.
func pinned(t Token) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection checks more
		VerifyConnection: func(state tls.ConnectionState) error {
			return verifyIssuer(t, state.PeerCertificates, time.Now())
		},
	}
}

// verifyIssuer is the pin.
func verifyIssuer(t Token, chain []*x509.Certificate, now time.Time) error {
	var ca *x509.Certificate
	for _, cert := range chain {
		if crypt.KeyHash(cert) == t.CA {
			ca = cert
		}
	}
	if ca == nil {
		return errors.New("who answers is not of the token's cluster: check the address, and that nobody is in between")
	}
	if err := crypt.VerifyChain(chain, []*x509.Certificate{ca}, now); err != nil {
		return err
	}
	if uid := crypt.NodeUID(chain[0].RawSubjectPublicKeyInfo); uid != t.Issuer {
		return fmt.Errorf("node %q (%s) answers, and the token is redeemed by the one that gave it out alone, %s: use the address of that node, "+
			"not one of several", chain[0].Subject.CommonName, uid, t.Issuer)
	}
	return nil
}
