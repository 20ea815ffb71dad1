package enrol

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
)

// listen serves the issuer over TLS with the identity of somebody, and counts the requests that came through.
func listen(t *testing.T, i *issuer, as *crypt.Identity) (address string, requests *int) {
	t.Helper()
	requests = new(int)
	server := serve(as, func(w http.ResponseWriter, r *http.Request) {
		*requests++
		i.ServeHTTP(w, r)
	})
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), requests
}

// serve answers with the certificate of an identity.
func serve(as *crypt.Identity, h http.HandlerFunc) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = as.ServerTLS()
	server.TLS.Certificates = []tls.Certificate{*as.Certificate()} // else the test server adds its own
	server.StartTLS()
	return server
}

func TestPin(t *testing.T) {
	a, stranger := newIssuer(t), newIssuer(t)
	own, ownCalls := listen(t, a, a.id)
	foreign, foreignCalls := listen(t, a, stranger.id)
	for _, tt := range []struct {
		name      string
		addresses []string
		change    func(*Token)
		err       string
	}{
		{"the issuer", []string{own}, func(*Token) {}, ""},
		{"the second address", []string{"127.0.0.1:1", foreign, own}, func(*Token) {}, ""},
		{"another cluster", []string{foreign}, func(*Token) {}, "not of the token's cluster"},
		{"another pin", []string{own}, func(k *Token) { k.CA[0] ^= 1 }, "not of the token's cluster"},
		{"another node of the cluster", []string{own}, func(k *Token) { k.Issuer[0] ^= 1 }, "redeemed by the one that gave it out alone"},
		{"nobody", []string{"127.0.0.1:1"}, func(*Token) {}, "127.0.0.1:1"},
		{"a secret that is wrong", []string{own}, func(k *Token) { k.Secret[0] ^= 1 }, "knows no such invitation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newJoiner(t, "b")
			token := a.invite(t, "b")
			token.Addresses = tt.addresses
			tt.change(&token)
			before := *ownCalls
			answer, cas, err := Redeem(t.Context(), token, b.request(t))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error = %v, want %q", err, tt.err)
				}
				if sent := *ownCalls - before; sent > 0 && !strings.Contains(tt.name, "secret") {
					t.Error("the secret was shown to who is not pinned")
				}
				return
			}
			if err != nil || len(cas) != 1 || answer.Certificate == "" || len(answer.Addresses) == 0 {
				t.Errorf("answer %+v, %d CAs, %v", answer, len(cas), err)
			}
		})
	}
	if *foreignCalls != 0 {
		t.Errorf("a stranger got %d requests", *foreignCalls)
	}
}

// A node that takes the connection and never answers does not hold a join for ever.
func TestRedeemEnds(t *testing.T) {
	a := newIssuer(t)
	token := a.invite(t, "b")
	hang := make(chan struct{})
	server := serve(a.id, func(http.ResponseWriter, *http.Request) { <-hang })
	defer server.Close()
	defer close(hang)
	token.Addresses = []string{server.Listener.Addr().String()}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, _, err := Redeem(ctx, token, newJoiner(t, "b").request(t)); err == nil || ctx.Err() == nil {
		t.Errorf("error = %v", err)
	}
}

// Answers that are not those of a node of this version say so.
func TestStrangeAnswers(t *testing.T) {
	a := newIssuer(t)
	for name, tt := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"an old node": {404, `{"message":"Not Found"}`, "is its version old"}, "nonsense": {200, "x", "read answer"},
		"no CA": {200, "{}", "read the CAs"}, "another CA": {200, `{"cas":""}`, "read the CAs"}, "a redirect": {302, "", "does not redirect"},
	} {
		server := serve(a.id, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://127.0.0.1:1/")
			w.WriteHeader(tt.status)
			_, _ = w.Write([]byte(tt.body))
		})
		token := a.invite(t, "b")
		token.Addresses = []string{server.Listener.Addr().String()}
		if _, _, err := Redeem(t.Context(), token, newJoiner(t, "b").request(t)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		server.Close()
	}
}
