package socksproxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/lib/caller"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func hostPort(t testing.TB, url string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// Every way in which curl asks a proxy comes to the same.
func TestCurl(t *testing.T) {
	w := start(t, nil)
	_, port := hostPort(t, w.site("mirror").URL)
	w.mapTo(model.NilUID, "mirror.example>127.0.0.1")
	w.mapTo(model.NilUID, "192.0.2.7>127.0.0.1")
	w.mapTo(model.NilUID, "other.example>127.0.0.1:"+port)
	for _, tt := range []struct {
		name, url, want string
		args            []string
	}{
		{"socks5h", "http://Mirror.Example:" + port + "/", "mirror Mirror.Example:" + port, []string{"--socks5-hostname", w.proxy}},
		{"socks5h, another port", "http://other.example/", "mirror other.example", []string{"--socks5-hostname", w.proxy}},
		{"socks5 with an address", "http://192.0.2.7:" + port + "/", "mirror 192.0.2.7:" + port, []string{"--socks5", w.proxy}},
		{"CONNECT", "http://mirror.example:" + port + "/", "mirror mirror.example:" + port, []string{"-p", "-x", "http://" + w.proxy}},
		{"CONNECT with an address", "http://192.0.2.7:" + port + "/", "mirror 192.0.2.7:" + port, []string{"-p", "-x", "http://" + w.proxy}},
		{"not mapped", "http://nothing.example/", "(2)", []string{"--socks5-hostname", w.proxy}},
		{"not mapped by CONNECT", "http://nothing.example/", "403", []string{"-p", "-x", "http://" + w.proxy}},
		{"no CONNECT", "http://mirror.example/", "405 GET", []string{"-x", "http://" + w.proxy, "-o", os.DevNull, "-w", "%{http_code} %{method}"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if out, err := w.curl(append(tt.args, tt.url)...); !strings.Contains(out, tt.want) {
				t.Errorf("curl: %v %s, want %q", err, out, tt.want)
			}
		})
	}
}

// One who shares the address of the host shows a credential; a wrong one is
// nobody's, also where an address alone would do.
func TestCredentials(t *testing.T) {
	w := start(t, nil)
	native := w.environment(2)
	_, port := hostPort(t, w.site("mirror").URL)
	w.mapTo(native.Application.UID, "mirror>127.0.0.1") // refused: an owner's, and this host's
	w.mapTo(native.Application.UID, "site>192.0.2.7")
	w.mapTo(model.UID{1}, "site>198.51.100.1:1")
	w.mapTo(model.NilUID, "all>127.0.0.1:"+port)
	w.locked(func() { w.own, w.secrets["native:secret"] = true, native.Application.UID })
	url := "http://all/"
	for _, tt := range []struct {
		name, want string
		known      bool
		args       []string
	}{
		{"socks with it", "mirror all", false, []string{"--socks5-hostname", "native:secret@" + w.proxy}},
		{"CONNECT with it", "mirror all", false, []string{"-p", "-x", "http://native:secret@" + w.proxy}},
		{"CONNECT with it when asked", "mirror all", false, []string{"-p", "--proxy-anyauth", "-x", "http://native:secret@" + w.proxy}},
		{"socks without", "No authentication method was acceptable", false, []string{"--socks5-hostname", w.proxy}},
		{"CONNECT without", "407", false, []string{"-p", "-x", "http://" + w.proxy}},
		{"socks with a wrong one", "User was rejected", true, []string{"--socks5-hostname", "native:wrong@" + w.proxy}},
		{"CONNECT with a wrong one", "407", true, []string{"-p", "-x", "http://native:wrong@" + w.proxy}},
		{"socks by the address alone", "mirror all", true, []string{"--socks5-hostname", w.proxy}},
		{"CONNECT by the address alone", "mirror all", true, []string{"-p", "-x", "http://" + w.proxy}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.locked(func() {
				if w.known = nil; tt.known {
					w.known = w.entries[0]
				}
			})
			if out, err := w.curl(append(tt.args, url)...); !strings.Contains(out, tt.want) {
				t.Errorf("curl: %v %s, want %q", err, out, tt.want)
			}
		})
	}
	// What its credential says counts, not what the address would.
	w.admit(w.entries[0])
	w.locked(func() { w.events = nil })
	if out, err := w.curl("-p", "-x", "http://native:secret@"+w.proxy, "http://mirror:"+port+"/"); !strings.Contains(out, "403") {
		t.Errorf("an owner's way into the host: %v %s, want 403", err, out)
	}
	w.locked(func() {
		for _, e := range w.events {
			if e.ObjectUID != native.Resource.UID.String() || e.User != "owner2" {
				t.Errorf("the audit says %+v, want the one with the credential", e)
			}
		}
	})
	if strings.Contains(w.log.String(), "secret") || strings.Contains(fmt.Sprint(w.events), "secret") {
		t.Error("a password is in the log or in the audit")
	}
	// From another host its credential is worth nothing.
	w.locked(func() { w.own, w.known = false, nil })
	if out, err := w.curl("-p", "-x", "http://native:secret@"+w.proxy, url); !strings.Contains(out, "403") {
		t.Errorf("a credential from another host: %v %s, want 403", err, out)
	}
	if out, err := w.curl("--socks5-hostname", "native:secret@"+w.proxy, url); !strings.Contains(out, "(2)") {
		t.Errorf("a credential from another host: %v %s, want reply 2", err, out)
	}
}

// A stranger's headers make it nobody.
func TestStrangers(t *testing.T) {
	w := start(t, nil)
	w.mapTo(model.NilUID, "mirror>127.0.0.1")
	w.admit(nil)
	c := w.dial()
	fmt.Fprintf(c, "CONNECT mirror:80 HTTP/1.1\r\nHost: mirror\r\nX-Forwarded-For: 172.20.0.2\r\nForwarded: for=172.20.0.2\r\n\r\n")
	answer, err := io.ReadAll(c)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 403") || !strings.Contains(string(answer), "environments of its node") || err != nil {
		t.Errorf("got %s, %v, want 403", answer, err)
	}
}

// git over http, both ways of asking a proxy that it knows.
func TestGit(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		needs.Lacking(t, "needs the tool git")
	}
	w := start(t, nil)
	repo := t.TempDir()
	run := func(args ...string) (string, error) {
		cmd := exec.Command(git, args...)
		cmd.Dir = repo
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull, "GIT_TERMINAL_PROMPT=0",
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b", "no_proxy=", "NO_PROXY=")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if err := os.WriteFile(filepath.Join(repo, "file"), bytes.Repeat([]byte("text\n"), 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "file"}, {"commit", "-qm", "first"}, {"update-server-info"}} {
		if out, err := run(args...); err != nil {
			t.Fatalf("git %v: %v %s", args, err, out)
		}
	}
	w.mapTo(model.NilUID, "code.example>"+strings.TrimPrefix(w.files(filepath.Join(repo, ".git")).URL, "http://"))
	for name, proxy := range map[string]string{"socks": "socks5h://" + w.proxy, "connect": "http://" + w.proxy} {
		url := "http://code.example/"
		if name == "connect" {
			url = "https://code.example/" // git asks by CONNECT for https alone: its TLS has to fail, not its proxy
		}
		into := filepath.Join(t.TempDir(), "clone")
		out, err := run("-c", "http.proxy="+proxy, "clone", "-q", url, into)
		switch text, _ := os.ReadFile(filepath.Join(into, "file")); {
		case name == "socks" && (err != nil || len(text) != 50_000):
			t.Errorf("clone by %s: %v %s, %d bytes", name, err, out, len(text))
		case name == "connect" && (err == nil || strings.Contains(out, "CONNECT")):
			t.Errorf("clone by %s: %v %s, want an error of TLS", name, err, out)
		}
	}
	if out, err := run("-c", "http.proxy=socks5h://"+w.proxy, "ls-remote", "http://nothing.example/"); err == nil {
		t.Errorf("a repository that is not mapped: %s", out)
	}
}

// A mapping that comes, changes or goes holds for the next connection.
func TestMappingsAreReadAnew(t *testing.T) {
	w := start(t, nil)
	to := w.echo()
	if _, status := w.connect("mirror:80"); !strings.HasPrefix(status, "403") {
		t.Errorf("before it is mapped: %s", status)
	}
	w.mapTo(model.NilUID, "mirror>"+to)
	if _, status := w.connect("mirror:80"); !strings.HasPrefix(status, "200") {
		t.Errorf("mapped: %s", status)
	}
	w.mapTo(model.UID{1}, "mirror>127.0.0.1:1")
	if _, status := w.connect("mirror:80"); !strings.HasPrefix(status, "403") {
		t.Errorf("mapped to the host by its owner: %s", status)
	}
	w.locked(func() { w.mappings = nil })
	if _, status := w.connect("mirror:80"); !strings.HasPrefix(status, "403") {
		t.Errorf("unmapped: %s", status)
	}
}

// The DNS of a redirect is not to be trusted.
func TestRebinding(t *testing.T) {
	w := start(t, func(o *Options) {
		o.Interfaces = func() ([]netip.Prefix, error) { return []netip.Prefix{netip.MustParsePrefix("192.0.2.5/24")}, nil }
	})
	to := netip.MustParseAddrPort(w.echo())
	w.mapTo(model.NilUID, fmt.Sprintf("mirror>evil.example:%d", to.Port()))
	for _, lie := range []string{"127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "::", "192.0.2.5", "10.0.0.9", "fe80::1%lo", "169.254.169.254"} {
		w.locked(func() { w.names["evil.example"] = []netip.Addr{netip.MustParseAddr(lie)} })
		if _, status := w.connect("mirror:80"); !strings.HasPrefix(status, "403") {
			t.Errorf("a name that is %s: %s, want 403", lie, status)
		}
		if out, _ := w.curl("--socks5-hostname", w.proxy, "http://mirror/"); !strings.Contains(out, "(2)") {
			t.Errorf("a name that is %s: %s, want reply 2", lie, out)
		}
	}
	// A good address among lies is the only one that is tried.
	w.mapTo(model.NilUID, "127.0.0.1>127.0.0.1")
	w.locked(func() {
		w.names["evil.example"] = []netip.Addr{netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}
	})
	if _, status := w.connect("mirror:80"); !strings.HasPrefix(status, "200") {
		t.Errorf("an address that is mapped as a service: %s, want 200", status)
	}
	w.locked(func() { delete(w.names, "evil.example") })
	if _, status := w.connect("mirror:80"); !strings.HasPrefix(status, "502") {
		t.Errorf("a name that is not there: %s, want 502", status)
	}
}

// A name with several addresses is reached by the first that answers, and one
// that is never resolved holds nobody for longer than it may.
func TestSeveralAddresses(t *testing.T) {
	hangs := make(chan struct{})
	w := start(t, func(o *Options) {
		o.Limits.Dial = time.Second
		o.Resolver = resolverFunc(func(ctx context.Context, host string) ([]netip.Addr, error) {
			if host == "hangs.example" {
				close(hangs)
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")}, nil
		})
	})
	_, port := hostPort(t, w.echo())
	w.mapTo(model.NilUID, "127.0.0.1>127.0.0.1")
	w.mapTo(model.NilUID, "127.0.0.2>127.0.0.2")
	w.mapTo(model.NilUID, "two>two.example:"+port)
	w.mapTo(model.NilUID, "hangs>hangs.example")
	if _, status := w.connect("two:80"); !strings.HasPrefix(status, "200") {
		t.Errorf("the second address is listening: %s", status)
	}
	if _, status := w.connect("hangs:80"); !strings.HasPrefix(status, "504") {
		t.Errorf("a resolver that hangs: %s, want 504", status)
	}
	<-hangs
}

// resolverFunc is a Resolver.
type resolverFunc func(ctx context.Context, host string) ([]netip.Addr, error)

// LookupNetIP implements Resolver.
func (f resolverFunc) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	return f(ctx, host)
}

// Both protocols say why a service is not reached.
func TestReplies(t *testing.T) {
	w := start(t, nil)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	w.mapTo(model.NilUID, "closed>"+closed.Addr().String())
	w.mapTo(model.NilUID, "echo>"+w.echo())
	w.mapTo(model.NilUID, "noname>absent.example")
	for _, tt := range []struct {
		name, send, want string
	}{
		{"refused", "\x05\x01\x00\x05\x01\x00\x03\x06closed\x00\x50", "\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"no such name", "\x05\x01\x00\x05\x01\x00\x03\x06noname\x00\x50", "\x05\x00\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"not mapped", "\x05\x01\x00\x05\x01\x00\x03\x02xx\x00\x50", "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"an empty name", "\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50", "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"port 0", "\x05\x01\x00\x05\x01\x00\x03\x04echo\x00\x00", "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"v6 that is not mapped", "\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50", "\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"BIND", "\x05\x01\x00\x05\x02\x00\x03\x04echo\x00\x50", "\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"UDP ASSOCIATE", "\x05\x01\x00\x05\x03\x00\x03\x04echo\x00\x50", "\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"no such command", "\x05\x01\x00\x05\x09\x00\x03\x04echo\x00\x50", "\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"no such kind of address", "\x05\x01\x00\x05\x01\x00\x05\x04echo\x00\x50", "\x05\x00\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"no way to log in", "\x05\x01\x01", "\x05\xff"},
		{"none at all", "\x05\x00", "\x05\xff"},
		{"method of HTTP", "GET http://echo/ HTTP/1.1\r\nHost: echo\r\n\r\n", "HTTP/1.1 405 "},
		{"no port", "CONNECT echo HTTP/1.1\r\nHost: echo\r\n\r\n", "HTTP/1.1 400 "},
		{"a path", "CONNECT /echo HTTP/1.1\r\nHost: echo\r\n\r\n", "HTTP/1.1 400 "},
		{"a user", "CONNECT user@echo:80 HTTP/1.1\r\nHost: echo\r\n\r\n", "HTTP/1.1 400 "},
		{"port 0 of HTTP", "CONNECT echo:0 HTTP/1.1\r\nHost: echo\r\n\r\n", "HTTP/1.1 400 "},
		{"a zone", "CONNECT [fe80::1%25lo]:80 HTTP/1.1\r\nHost: echo\r\n\r\n", "HTTP/1.1 403 "},
		{"no HTTP", "CONNECTecho\r\n\r\n", "HTTP/1.1 400 "},
		{"headers without an end", "CONNECT echo:80 HTTP/1.1\r\n" + strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 20), "HTTP/1.1 431 "},
		{"closed by HTTP", "CONNECT closed:80 HTTP/1.1\r\nHost: echo\r\n\r\n", "HTTP/1.1 502 "},
		{"nonsense", "\x00\x01\x02", ""},
		{"SOCKS4", "\x04\x01\x00\x50\x7f\x00\x00\x01\x00", ""},
		{"TLS", "\x16\x03\x01\x02\x00", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := w.dial()
			_, _ = io.WriteString(c, tt.send)
			got, _ := io.ReadAll(c) // a reset is an end, too
			if tt.want == "" && len(got) > 0 || !strings.HasPrefix(string(got), tt.want) || strings.HasPrefix(tt.want, "\x05") && len(got) != len(tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if text := string(got); strings.HasPrefix(text, "HTTP") && !strings.Contains(text, "Content-Type: text/plain") {
				t.Errorf("got %s, want a text", text)
			}
		})
	}
}

// What a client sends ahead is not lost, whatever buffers it got into.
func TestSentAhead(t *testing.T) {
	w := start(t, nil)
	w.mapTo(model.NilUID, "echo>"+w.echo())
	ahead := strings.Repeat("ahead ", 1500) // more than one buffer
	for name, request := range map[string]string{
		"socks":   "\x05\x01\x00\x05\x01\x00\x03\x04echo\x00\x50",
		"connect": "CONNECT echo:80 HTTP/1.1\r\nHost: echo\r\n\r\n",
	} {
		c := w.dial()
		go func() { _, _ = io.WriteString(c, request+ahead); _ = c.CloseWrite() }()
		got, err := io.ReadAll(c)
		if !strings.HasSuffix(string(got), ahead) || err != nil {
			t.Errorf("%s: got %d bytes that end in %q, %v, want all that was sent ahead", name, len(got), got[max(0, len(got)-20):], err)
		}
	}
}

func TestIPv6(t *testing.T) {
	six, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		needs.Lacking(t, "needs IPv6:", err)
	}
	six.Close()
	w := start(t, func(o *Options) {
		o.Listener.Close()
		l, err := Listen(t.Context(), "[::1]:0")
		if err != nil {
			t.Fatal(err)
		}
		o.Listener = l
	})
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "six")
			c.Close()
		}
	}()
	w.mapTo(model.NilUID, "2001:db8::1>"+l.Addr().String())
	c := w.dial()
	_, _ = io.WriteString(c, "\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50")
	got, err := io.ReadAll(c)
	want := "\x05\x00\x05\x00\x00\x04" + string(net.IPv6loopback)
	if !strings.HasPrefix(string(got), want) || !strings.HasSuffix(string(got), "six") || err != nil {
		t.Errorf("got %q, %v, want %q and what the server says", got, err, want)
	}
	if _, status := w.connect("[2001:db8::1]:80"); !strings.HasPrefix(status, "200") {
		t.Errorf("by CONNECT: %s", status)
	}
}

// The end of an environment is the end of its connections, and of no other.
func TestEndedEnvironmentIsCut(t *testing.T) {
	w := start(t, nil)
	w.mapTo(model.NilUID, "echo>"+w.echo())
	ending := w.entries[0]
	one, status := w.connect("echo:80")
	if !strings.HasPrefix(status, "200") {
		t.Fatal(status)
	}
	stays := w.environment(2)
	w.admit(stays)
	other, _ := w.connect("echo:80")
	w.admit(ending)
	w.remove(ending)
	if _, err := one.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("its connection: %v, want a reset", err)
	}
	_, _ = io.WriteString(other, "x")
	if _, err := other.Read(make([]byte, 1)); err != nil {
		t.Errorf("the other's connection: %v", err)
	}
	// Whoever was admitted just before it ended does not get by either.
	if _, status := w.connect("echo:80"); strings.HasPrefix(status, "200") {
		t.Errorf("after its end: %s", status)
	}
}

func TestAudit(t *testing.T) {
	w := start(t, nil)
	w.mapTo(model.NilUID, "echo>"+w.echo())
	for range 3 {
		c, _ := w.connect("echo:80")
		_, _ = io.WriteString(c, "12345")
		_ = c.CloseWrite()
		_, _ = io.ReadAll(c)
		w.connect("nothing:80")
	}
	want := []string{"ok echo:80 1", "refused nothing:80 1"}
	if diff := cmp.Diff(want, w.noted()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if !strings.Contains(w.events[0].Detail, "by mapping") || w.events[0].Address != "127.0.0.1" || w.events[0].User != "owner1" {
		t.Errorf("the first event is %+v", w.events[0])
	}
}

func TestNewChecksOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New without anything: no error")
	}
}

// An owner's mapping is no way from one environment into another.
func TestNeighboursAreNotReached(t *testing.T) {
	w := start(t, func(o *Options) {
		o.Networks = func() []netip.Prefix { return prefixes("203.0.113.0/24") }
	})
	w.mapTo(model.UID{1}, "neighbour>203.0.113.9")
	if _, status := w.connect("neighbour:80"); status != "403 Forbidden" {
		t.Errorf("status %q, want 403", status)
	}
}

// busy is a node that finds nobody out.
type busy struct{ *world }

// ByCredential implements finder.
func (busy) ByCredential(context.Context, netip.Addr, string, string) (*model.Entry, error) {
	return nil, caller.ErrBusy
}

// Whoever is sent away is in the audit, whatever he speaks.
func TestUnknownClientsAreNoted(t *testing.T) {
	for _, tt := range []struct{ name, says, answer, want string }{
		{"no credential by SOCKS", "\x05\x01\x00", "\x05\xff", "refused: no credential"},
		{"no credential by CONNECT", "CONNECT a:1 HTTP/1.1\r\n\r\n", "HTTP/1.1 407", "refused: no credential"},
		{"a busy node", "CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Basic YTpi\r\n\r\n", "HTTP/1.1 429", "limited: " + caller.ErrBusy.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := start(t, func(o *Options) { o.Callers = busy{o.Callers.(*world)} })
			w.admit(nil)
			w.locked(func() { w.own = true })
			c := w.dial()
			fmt.Fprint(c, tt.says)
			if answer, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(answer), tt.answer) {
				t.Errorf("answer %q, %v, want %q", answer, err, tt.answer)
			}
			var got []string
			w.locked(func() {
				for _, e := range w.events {
					got = append(got, fmt.Sprintf("%s: %s", e.Result, e.Detail))
				}
			})
			if diff := cmp.Diff([]string{tt.want}, got); diff != "" {
				t.Errorf("audit (-want +got):\n%s", diff)
			}
		})
	}
}

// The sum of an environment has the connections that its end cut.
func TestSumAtTheEnd(t *testing.T) {
	w := start(t, nil)
	w.mapTo(model.NilUID, "echo>"+w.echo())
	c, status := w.connect("echo:80")
	if status != "200 Connection established" {
		t.Fatal(status)
	}
	fmt.Fprint(c, "hello")
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	w.remove(w.entries[0])
	eventually(t, "a sum of one connection with 5 bytes each way", func() (there bool) {
		w.locked(func() { there = strings.Contains(w.log.String(), "connections=1 sent=5 received=5") })
		return there
	})
}
