package crypt

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A fresh machine whose clock is years ahead until it is set: the certificate that was signed meanwhile would be good for
// nobody, for as long as the clock was wrong.
func TestCertificateOfAClockThatWasAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := testOptions(t)
		id := mustLoad(t, o)
		full, err := o.withPaths()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signNode(full, id.now.Load().ca, id.key, nil, time.Now().AddDate(2, 0, 0)); err != nil {
			t.Fatal(err)
		}
		if err := id.Refresh(); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		if leaf := id.Certificate().Leaf; now.Before(leaf.NotBefore) || leaf.NotAfter.Sub(now) < 300*24*time.Hour {
			t.Errorf("the certificate is valid from %v to %v, want now for a year", leaf.NotBefore, leaf.NotAfter)
		}
	})
}

// A CA of such a clock signs nothing that would be valid, and the error says what to do.
func TestCAOfAClockThatWasAhead(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ca, err := issueAuthority(key, now.AddDate(5, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	a := authority{cert: ca, key: key, keyPath: "/x/ca.key"}
	if err := a.canSign(now); err == nil || !strings.Contains(err.Error(), "set the clock right") || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("canSign = %v", err)
	}
	if err := a.canSign(now.AddDate(5, 0, 0)); err != nil {
		t.Errorf("canSign by that clock = %v", err)
	}
}

// With the CA all that it signed ends at once, however long the certificates seem to be good: that is told before.
func TestCAThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		o := testOptions(t)
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		id := mustLoad(t, o)
		ca := id.CAs()[0]
		if want := id.Certificate().Leaf.NotAfter; !id.NotAfter().Equal(want) {
			t.Errorf("the identity ends at %v, want with its certificate %v", id.NotAfter(), want)
		}
		told := func() bool { return strings.Contains(log.String(), "rotate-ca") }
		time.Sleep(time.Until(ca.NotAfter) - 31*24*time.Hour)
		for _, want := range []bool{false, true} {
			if err := id.Refresh(); err != nil {
				t.Fatal(err)
			}
			if told() != want {
				t.Errorf("%v before the end of the CA that is told: %v, want %v", time.Until(ca.NotAfter), told(), want)
			}
			if !id.NotAfter().Equal(ca.NotAfter) {
				t.Errorf("the identity ends at %v, want with the CA at %v", id.NotAfter(), ca.NotAfter)
			}
			log.Reset()
			time.Sleep(2 * 24 * time.Hour)
		}
		if mustLoad(t, o); !told() {
			t.Error("at the start it is not told")
		}
		time.Sleep(30 * 24 * time.Hour)
		if err := VerifyChain([]*x509.Certificate{id.Certificate().Leaf}, id.CAs(), time.Now()); err == nil || !strings.Contains(err.Error(), "rotate-ca") {
			t.Errorf("VerifyChain after the end of the CA = %v", err)
		}
	})
}
