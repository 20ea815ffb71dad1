package pools

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/fakeec2"
)

// TestDiskFull: what can not be stored is not done, who waits is served when
// there is room, and one line says why.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		p := s.start(alpha, macPool())
		host, zone := s.reserve(p, token(1), time.Minute)
		s.change(func() { s.full = true })
		got := make(chan string)
		go func() {
			second, _, err := p.Reserve(t.Context(), "mac", token(2), nil)
			if err != nil {
				t.Error(err)
			}
			got <- second
		}()
		id := s.launch(p, token(1), host, zone)
		time.Sleep(10 * time.Minute)
		if hosts := s.hosts(); len(hosts) != 1 {
			t.Errorf("hosts are %v while nothing can be stored", hosts)
		}
		if n := strings.Count(s.log.String(), "so it is not done"); n != 1 {
			t.Errorf("it is said %d times", n)
		}
		s.change(func() { s.full = false })
		select {
		case second := <-got:
			if second == host {
				t.Errorf("%s is given twice", second)
			}
		case <-time.After(6 * time.Minute):
			t.Error("who waited is not served")
		}
		s.end(p, token(1), id)
		s.audit(2)
	})
}

// TestKept: a restart goes on at once with what was given out; without the file,
// or with one of another node, or one that is none, it looks around first.
func TestKept(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, path string)
		fresh  bool
	}{
		{"restarted", func(*testing.T, string) {}, true},
		{"lost", func(t *testing.T, path string) { must(t, os.Remove(path)) }, false},
		{"nonsense", func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte(`{"node": 7`), 0o600)) }, false},
		{"empty", func(t *testing.T, path string) { must(t, os.WriteFile(path, nil, 0o600)) }, false},
		{"another node's", func(t *testing.T, path string) {
			text, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(text), alpha.String(), beta.String())), 0o600))
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, quick())
				opts := s.options(alpha, macPool())
				p := s.startWith(opts)
				host, _ := s.reserve(p, token(1), time.Minute)
				time.Sleep(time.Minute)
				p.Close()
				s.first = false
				c.damage(t, filepath.Join(opts.Directory, "mac.json"))
				p, before := s.startWith(s.options(alpha, macPool())), time.Now()
				if c.fresh {
					if again, _ := s.reserve(p, token(1), time.Minute); again != host {
						t.Errorf("%s, and before it was %s", again, host)
					}
				}
				other, _ := s.reserve(p, token(2), 20*time.Minute)
				if took := time.Since(before); c.fresh && (took > time.Minute || other == host) || !c.fresh && took < 10*time.Minute {
					t.Errorf("%s after %v, and %s is promised", other, took, host)
				}
				s.audit(2)
			})
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestOutage: 30 minutes without AWS. Nothing piles up, nothing is done twice,
// and a minute later all goes on.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		p := s.start(alpha, macPool())
		host, zone := s.reserve(p, token(1), time.Minute)
		id := s.launch(p, token(1), host, zone)
		s.eventually(time.Minute, "it is busy", func() bool { return s.phase(p, host) == "busy" })
		s.cloud.Outage(30 * time.Minute)
		got := make(chan string)
		go func() {
			second, _, err := p.Reserve(t.Context(), "mac", token(2), nil)
			if err != nil {
				t.Error(err)
			}
			got <- second
		}()
		time.Sleep(29 * time.Minute)
		s.wantLog("the hosts can not be listed")
		if got := s.phase(p, host); got != "busy" {
			t.Errorf("the host in use is %s", got)
		}
		time.Sleep(time.Minute)
		select {
		case second := <-got:
			if second == host {
				t.Errorf("%s is given twice", host)
			}
		case <-time.After(7 * time.Minute):
			t.Error("it does not go on")
		}
		s.end(p, token(1), id)
		s.audit(2)
	})
}

// TestOrphans: hosts of a pool that is not configured any more are shown, and
// released only if that is wanted, when they are of age and nobody's; another
// node's are left alone.
func TestOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, quick())
		p := s.start(alpha, macPool())
		host, _ := s.reserve(p, token(1), time.Minute)
		p.Close()
		foreign := s.cloud.AddHost(fakeec2.HostSpec{Type: macs, Zone: s.zones[0], Age: 48 * time.Hour,
			Tags: cloud.Tags{cloud.TagPool: "mac", cloud.TagNode: beta.String(), cloud.TagInstance: "aws"}})
		odd := s.cloud.AddHost(fakeec2.HostSpec{Type: macs, Zone: s.zones[0], Age: 48 * time.Hour,
			Tags: cloud.Tags{cloud.TagPool: "../../odd", cloud.TagNode: alpha.String(), cloud.TagInstance: "aws"}})
		p = s.start(alpha)
		time.Sleep(26 * time.Hour)
		s.wantLog("a pool that is not configured any more", "orphan_hosts: release")
		if got := s.phase(p, host); got != "available" {
			t.Errorf("it is shown as %q", got)
		}
		if s.phase(p, foreign) != "" {
			t.Error("another node's is this one's")
		}
		p.Close()
		opts := s.options(alpha)
		opts.ReleaseOrphans = true
		elsewhere := true
		opts.Elsewhere = func(string) bool { s.mu.Lock(); defer s.mu.Unlock(); return elsewhere }
		p = s.startWith(opts)
		time.Sleep(30 * time.Minute)
		if h, _ := s.cloud.Host(host); h.Released() {
			t.Error("it was released while another node runs the pool")
		}
		s.change(func() { elsewhere = false })
		s.eventually(time.Hour, "it is released", func() bool { h, _ := s.cloud.Host(host); return h.Released() })
		s.eventually(time.Hour, "the odd one is released", func() bool { h, _ := s.cloud.Host(odd); return h.Released() })
		if h, _ := s.cloud.Host(foreign); h.Released() {
			t.Error("another node's host was released")
		}
		s.eventually(2*time.Hour, "nothing is shown any more", func() bool { return len(p.Pools(t.Context())) == 0 })
		if entries, err := os.ReadDir(filepath.Dir(opts.Directory)); err != nil || len(entries) != 1 {
			t.Errorf("beside the folder there is %v, %v", entries, err)
		}
	})
}

// TestPauses: whatever a clock does, the next step is not far.
func TestPauses(t *testing.T) {
	for due, want := range map[time.Duration]time.Duration{
		-time.Hour: time.Millisecond, 0: time.Millisecond, 3 * time.Second: 3 * time.Second, 24 * time.Hour: longestPause,
	} {
		if got := pause(due); got != want {
			t.Errorf("pause(%v) = %v, want %v", due, got, want)
		}
	}
}
