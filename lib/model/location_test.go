package model

import (
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseRedirect(t *testing.T) {
	for in, want := range map[string]Redirect{
		"mirror":                {Name: "mirror"},
		"Mirror.LAB.":           {Name: "mirror.lab"},
		"mirror.lab:8080":       {Name: "mirror.lab", Port: 8080},
		"10.0.0.1":              {Addr: netip.MustParseAddr("10.0.0.1")},
		"10.0.0.1:80":           {Addr: netip.MustParseAddr("10.0.0.1"), Port: 80},
		"::ffff:10.0.0.1":       {Addr: netip.MustParseAddr("10.0.0.1")},
		"2001:DB8::1":           {Addr: netip.MustParseAddr("2001:db8::1")},
		"::1:8080":              {Addr: netip.MustParseAddr("::1:8080")},
		"[2001:db8::1]":         {Addr: netip.MustParseAddr("2001:db8::1")},
		"[2001:db8::1]:443":     {Addr: netip.MustParseAddr("2001:db8::1"), Port: 443},
		"1password.example:1":   {Name: "1password.example", Port: 1},
		"_srv.mirror-1.x9":      {Name: "_srv.mirror-1.x9"},
		strings.Repeat("a", 63): {Name: strings.Repeat("a", 63)},
	} {
		if got, err := ParseRedirect(in); err != nil || got != want {
			t.Errorf("ParseRedirect(%q) = %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", ".", "http://mirror/", "mirror/x", "mir ror", "mirror:", "mirror:0", "mirror:70000", "mirror:http", "a..b", "[::1",
		"fe80::1%eth0", "[fe80::1%eth0]:80", "0x7f.1", "2130706433", "127.1", "010.0.0.1", "user@mirror", "mirr\u00f6r", "a:b:c",
		strings.Repeat("a", 64), strings.Repeat("a.", 127) + "a",
	} {
		if got, err := ParseRedirect(in); err == nil {
			t.Errorf("ParseRedirect(%q) = %+v, want an error", in, got)
		}
	}
}

func TestServiceMappingValidate(t *testing.T) {
	for service, good := range map[string]bool{
		"mirror": true, "10.0.0.1": true, "2001:db8::1": true, "[2001:db8::1]": true, "it's": true, "": false,
		"mirror:443": false, "[2001:db8::1]:443": false, "https://mirror": false,
		".": false, "mirror.lab ": false, "mirr\tor": false, "fe80::1%eth0": false, "mirror.": true, "b\u00fccher.lab": true,
		"*.mirror": false, "mirror-?": false, "10.0.0.0/8": false, "mirror/path": false,
		strings.Repeat("m", 255): true, strings.Repeat("m", 256): false,
	} {
		if err := (ServiceMapping{Service: service, Redirect: "10.0.0.9:443"}).Validate(); (err == nil) != good {
			t.Errorf("service %q: %v, want good %v", service, err, good)
		}
	}
	if err := (ServiceMapping{Service: "a", Redirect: "http://b/"}).Validate(); err == nil || !strings.Contains(err.Error(), "mirror.lab:8080") {
		t.Errorf("redirect that is an address of the web: %v, want what to write", err)
	}
}

// Whatever somebody writes leads to a name or an address, never to both, and
// reading it again gives the same.
func TestRedirectsAreReadOneWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`\[?[0-9a-fA-F:.%x]{1,12}\]?(:[0-9]{1,5})?`)).Draw(t, "text")
		r, err := ParseRedirect(text)
		if err != nil {
			return
		}
		if r.Addr.IsValid() == (r.Name != "") || r.Addr.Zone() != "" || r.Addr.Is4In6() {
			t.Fatalf("ParseRedirect(%q) = %+v", text, r)
		}
		again := r.Name
		if r.Addr.IsValid() {
			again = r.Addr.String()
		}
		if second, err := ParseRedirect(again); err != nil || second.Addr != r.Addr || second.Name != r.Name {
			t.Fatalf("%q is read as %+v, and that as %+v, %v", text, r, second, err)
		}
	})
}
