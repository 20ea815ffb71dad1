package model

import (
	"strings"
	"testing"
	"time"
)

func TestAccessExpires(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a := ResourceAccess{ExpiresAt: at}
	if a.Expired(at.Add(-time.Nanosecond)) || !a.Expired(at) {
		t.Errorf("want it good until %v and not at it", at)
	}
}

func TestProxyCredential(t *testing.T) {
	a := Allocation{ApplicationUID: UID{1}, MetaToken: strings.Repeat("a", 32)}
	b := Allocation{ApplicationUID: UID{1}, MetaToken: strings.Repeat("b", 32)}
	user, password, ok := a.ProxyCredential()
	_, other, _ := b.ProxyCredential()
	if !ok || user != a.ApplicationUID.String() || len(password) != 32 || strings.Contains(password, a.MetaToken[:8]) || password == other {
		t.Errorf("ProxyCredential() = %q, %q, %v; another's is %q", user, password, ok, other)
	}
	if _, _, ok := (Allocation{}).ProxyCredential(); ok {
		t.Error("an allocation without a token has a credential")
	}
}
