package audit

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLoginsThatSucceed(t *testing.T) {
	l := newLogins()
	for i, tt := range []struct {
		user, address string
		after         time.Duration
		want          bool
	}{
		{"a", "10.0.0.1", 0, true},
		{"a", "10.0.0.1", time.Second, false},
		{"a", "10.0.0.2", time.Second, true}, // a password that is used from elsewhere
		{"b", "10.0.0.1", time.Second, true},
		{"a", "10.0.0.1", loginEvery - 1, false},
		{"a", "10.0.0.1", loginEvery, true},
		{"a", "10.0.0.1", loginEvery + 1, false},
	} {
		e, got := l.take(tt.user, tt.address, ResultOK, day.Add(tt.after))
		if got != tt.want {
			t.Errorf("step %d: noted = %v, want %v", i, got, tt.want)
		}
		want := Event{Action: ActionLogin, User: tt.user, Address: tt.address, Result: ResultOK}
		if diff := cmp.Diff(want, e); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestFailedLoginsAreCounted(t *testing.T) {
	l := newLogins()
	for i := range 1000 {
		e, noted := l.take("admin", "10.0.0.1", ResultRefused, day.Add(time.Duration(i)*time.Millisecond))
		if noted != (i == 0) || noted && e.Count != 1 {
			t.Fatalf("failure %d: noted = %v %+v", i, noted, e)
		}
	}
	if _, noted := l.take("admin", "10.0.0.1", ResultLimited, day); !noted {
		t.Error("the first that is limited is not noted")
	}
	if got := l.due(day.Add(failureEvery - 1)); got != nil {
		t.Errorf("before a minute: %+v, want nothing", got)
	}
	want := []Event{{Action: ActionLogin, User: "admin", Address: "10.0.0.1", Result: ResultRefused, Count: 999}}
	if diff := cmp.Diff(want, l.due(day.Add(failureEvery))); diff != "" {
		t.Errorf("after a minute (-want +got):\n%s", diff)
	}
	if got := l.due(day.Add(2 * failureEvery)); got != nil || len(l.failures) != 0 {
		t.Errorf("after a silent minute: %+v, %d remembered, want nothing", got, len(l.failures))
	}
	if _, noted := l.take("admin", "10.0.0.1", ResultRefused, day.Add(time.Hour)); !noted {
		t.Error("a failure after the silence is not noted at once")
	}
}

// TestAnAttackFromEverywhere: however many addresses and names there are, few events come of it and little is
// remembered.
func TestAnAttackFromEverywhere(t *testing.T) {
	l := newLogins()
	notedAtOnce := 0
	const tries = 20_000
	for i := range tries {
		if _, noted := l.take("", fmt.Sprintf("10.%d.%d.1", i>>8, i&255), ResultRefused, day); noted {
			notedAtOnce++
		}
	}
	counts := l.due(day.Add(failureEvery))
	if notedAtOnce > failuresKept+1 || len(l.failures) > failuresKept+1 || len(counts) > failuresKept+1 {
		t.Errorf("%d noted, %d remembered, %d counted, want at most %d", notedAtOnce, len(l.failures), len(counts), failuresKept+1)
	}
	total := int64(notedAtOnce)
	for _, e := range counts {
		total += e.Count
	}
	if total != tries {
		t.Errorf("%d failures are told of, want all %d", total, tries)
	}
}

func TestManyUsersAreForgottenNotKept(t *testing.T) {
	l := newLogins()
	for i := range 2*loginsKept + 10 {
		l.take("u", fmt.Sprint(i), ResultOK, day)
	}
	if n := len(l.seen); n > loginsKept {
		t.Errorf("%d logins remembered, want at most %d", n, loginsKept)
	}
}

func TestAddresses(t *testing.T) {
	for _, tt := range []struct{ remote, host, network string }{
		{"10.1.2.3:4567", "10.1.2.3", "10.1.2.3"},
		{"10.1.2.3", "10.1.2.3", "10.1.2.3"},
		{"[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"[::ffff:10.1.2.3]:1", "::ffff:10.1.2.3", "10.1.2.3"},
		{"[fe80::1%eth0]:1", "fe80::1%eth0", "fe80::/64"},
		{"pipe", "pipe", "pipe"},
		{"", "", ""},
	} {
		if got := host(tt.remote); got != tt.host {
			t.Errorf("host(%q) = %q, want %q", tt.remote, got, tt.host)
		}
		if got := network(host(tt.remote)); got != tt.network {
			t.Errorf("network of %q = %q, want %q", tt.remote, got, tt.network)
		}
	}
}

func BenchmarkLoginKnown(b *testing.B) {
	l := newLogins()
	b.ReportAllocs()
	for b.Loop() {
		l.take("jenkins", host("10.0.0.1:12345"), ResultOK, day)
	}
}
