package auth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestHashMemoryIsABudget(t *testing.T) {
	tests := []struct {
		name     string
		budget   int64
		parallel int
		legacy   bool
		peak     int64 // MiB
	}{
		{"two cores", 256 << 20, 2, false, 128},
		{"many cores", 256 << 20, 64, false, 256},
		{"less than one hash", 1 << 20, 64, false, 64},
		{"legacy runs alone", 256 << 20, 64, true, 512},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, func(o *Options) { o.HashMemory = tt.budget })
				d.gate.parallel = tt.parallel
				if tt.legacy {
					d.users.put(user, legacyOf(password))
				}
				var wg sync.WaitGroup
				for i := range 20 {
					d.users.put(fmt.Sprint("user-", i), hashOf(password))
					wg.Go(func() {
						if err := d.check(t, fmt.Sprint("user-", i), password); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Go(func() {
					time.Sleep(hashTime / 2)
					if err := d.check(t, user, password); err != nil {
						t.Error(err)
					}
				})
				wg.Wait()
				synctest.Wait()
				if got := d.peak.Load() >> 10; got != tt.peak {
					t.Errorf("peak memory = %d MiB, want %d", got, tt.peak)
				}
				if d.gate.used != 0 || d.gate.running != 0 {
					t.Errorf("%d bytes and %d hashes still counted", d.gate.used, d.gate.running)
				}
			})
		})
	}
}

// TestNewPasswordsShareWithLogins: one who sets passwords without end takes
// neither the turns nor the queue of those who log in.
func TestNewPasswordsShareWithLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(o *Options) { o.QueueLength = 16 })
		d.gate.parallel = 1
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var made, busy atomic.Int64
		for range 100 {
			wg.Go(func() {
				for ctx.Err() == nil {
					switch _, err := d.HashPassword(ctx, "new"); {
					case err == nil:
						made.Add(1)
					case errors.Is(err, ErrBusy):
						busy.Add(1)
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
		time.Sleep(time.Second)
		for i := range 8 {
			d.users.put(fmt.Sprint("user-", i), hashOf(password))
			start := time.Now()
			if err := d.check(t, fmt.Sprint("user-", i), password); err != nil || time.Since(start) > 3*hashTime {
				t.Errorf("a login among new passwords took %v, %v, want at most three hashes' time", time.Since(start), err)
			}
		}
		cancel()
		wg.Wait()
		if made.Load() < 8 || busy.Load() == 0 {
			t.Errorf("%d new passwords were hashed and %d refused, want at least as many as logins, and some", made.Load(), busy.Load())
		}
	})
}

func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(o *Options) { o.QueueLength = 4 })
		var mu sync.Mutex
		count := map[error]int{}
		var wg sync.WaitGroup
		for i := range 10 { // each from its own address: nobody is limited
			wg.Go(func() {
				_, err := d.Check(t.Context(), fmt.Sprint("user-", i), "some-password", fmt.Sprintf("192.0.2.%d:1", i))
				mu.Lock()
				count[err]++
				mu.Unlock()
			})
		}
		wg.Wait()
		if count[ErrUnauthorized] != 6 || count[ErrBusy] != 4 {
			t.Errorf("answers = %v, want 2 running and 4 waiting checked, 4 busy", count)
		}
	})
}

// TestFullQueueGivesWay: what is asked for again takes the place of what was
// asked for once, and our own work that of both.
func TestFullQueueGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(o *Options) { o.QueueLength = 2 })
		d.perHash = time.Second
		var wg sync.WaitGroup
		for i := range 4 { // two running, two waiting
			wg.Go(func() { _ = d.check(t, fmt.Sprint("user-", i), "some-password") })
		}
		synctest.Wait()
		if err := d.check(t, user, password); !errors.Is(err, ErrBusy) {
			t.Errorf("first try: %v, want ErrBusy", err)
		}
		wg.Go(func() {
			if err := d.check(t, user, password); err != nil {
				t.Errorf("second try: %v, want nil", err)
			}
		})
		wg.Go(func() {
			if _, err := d.HashPassword(t.Context(), "new"); err != nil {
				t.Errorf("own work: %v, want nil", err)
			}
		})
		wg.Wait()
	})
}

func TestOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		d.gate.parallel = 1
		var mu sync.Mutex
		var order []string
		var wg sync.WaitGroup
		for _, name := range []string{"running", "first", "second", "third", "second"} {
			wg.Go(func() {
				_ = d.check(t, name, "some-password")
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
			})
			synctest.Wait()
		}
		wg.Wait()
		// What two ask for goes first, then the order of arrival.
		if got := strings.Join(order, " "); got != "running second second first third" {
			t.Errorf("order = %s", got)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(100)
	now := time.Now()
	for i := range 5000 {
		c.put(digest{byte(rand.Uint32()), byte(i), byte(i >> 8)}, version{clock: 1}, now.Add(time.Duration(i)*time.Second))
	}
	n := 0
	for i := range c.shards {
		n += len(c.shards[i].entries)
	}
	if n < 80 || n > 112 {
		t.Errorf("%d entries, want about 100", n)
	}
}

func TestRecent(t *testing.T) {
	r := recent[int]{max: 10, period: time.Minute}
	now := time.Now()
	d := func(i int) digest { return digest{byte(i), byte(i >> 8)} }
	for i := range 1000 {
		r.put(d(i), i, now)
		if got, ok := r.get(d(max(0, i-9)), now); !ok || got != max(0, i-9) {
			t.Fatalf("value of %d after %d = %d, %v", max(0, i-9), i, got, ok)
		}
	}
	if n := len(r.cur) + len(r.prev); n > 20 {
		t.Errorf("%d values kept, want at most 20", n)
	}
	if _, ok := r.get(d(999), now.Add(time.Minute)); !ok {
		t.Error("forgotten after one period")
	}
	if _, ok := r.get(d(999), now.Add(2*time.Minute)); ok {
		t.Error("remembered after two periods")
	}
}

// TestLimiterProperty compares with the plain meaning of a rate: in no span of
// time more than Burst plus one each Every, and always one after that wait.
func TestLimiterProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := Rate{rapid.IntRange(1, 5).Draw(t, "burst"), time.Duration(rapid.IntRange(1, 10).Draw(t, "every")) * time.Second}
		l := newLimiter(rate)
		now := time.Unix(1e9, 0)
		var granted []time.Time
		for range rapid.IntRange(1, 60).Draw(t, "attempts") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "pause")) * time.Millisecond)
			wait := l.wait(1, now)
			if wait > rate.Every {
				t.Fatalf("wait %s, want at most %s", wait, rate.Every)
			}
			if wait > 0 {
				if l.wait(1, now.Add(wait)) != 0 {
					t.Fatal("still limited after the wait that was named")
				}
				continue
			}
			l.charge(1, now)
			if rapid.Bool().Draw(t, "succeeds") {
				l.refund(1, now)
				continue
			}
			granted = append(granted, now)
			for i, first := range granted {
				if n, most := len(granted)-i, rate.Burst+int(now.Sub(first)/rate.Every); n > most {
					t.Fatalf("%d failures in %s, want at most %d", n, now.Sub(first), most)
				}
			}
		}
	})
}

func TestLimiterIsBounded(t *testing.T) {
	l := newLimiter(Rate{10, 10 * time.Second})
	now := time.Now()
	for i := range uint64(3 * limiterKeys) {
		l.charge(i, now)
	}
	if n := len(l.clean); n > limiterKeys {
		t.Errorf("%d keys, want at most %d", n, limiterKeys)
	}
	before := maps.Clone(l.clean)
	l.refund(1<<60, now)
	if len(l.clean) != len(before) {
		t.Error("refund of an unknown key changed something")
	}
}

func TestSource(t *testing.T) {
	a := newDesk(t, nil)
	tests := []struct {
		name       string
		x, y       source
		login, hst bool // same keys
	}{
		{"ports do not matter", a.source("192.0.2.1:1", "u"), a.source("192.0.2.1:2", "u"), true, true},
		{"without port", a.source("192.0.2.1:1", "u"), a.source("192.0.2.1", "u"), true, true},
		{"mapped", a.source("192.0.2.1:1", "u"), a.source("[::ffff:192.0.2.1]:9", "u"), true, true},
		{"other user", a.source("192.0.2.1:1", "u"), a.source("192.0.2.1:1", "v"), false, true},
		{"other host", a.source("192.0.2.1:1", "u"), a.source("192.0.2.2:1", "u"), false, false},
		{"same /64", a.source("[2001:db8::1]:1", "u"), a.source("[2001:db8::ffff:2]:1", "u"), true, true},
		{"other /64", a.source("[2001:db8::1]:1", "u"), a.source("[2001:db8:0:1::1]:1", "u"), false, false},
		{"zone", a.source("[fe80::1%eth0]:1", "u"), a.source("[fe80::1%eth1]:1", "u"), true, true},
		{"no address", a.source("pipe", "u"), a.source("pipe", "u"), true, true},
	}
	for _, tt := range tests {
		if (tt.x.login == tt.y.login) != tt.login || (tt.x.host == tt.y.host) != tt.hst {
			t.Errorf("%s: %+v and %+v", tt.name, tt.x, tt.y)
		}
	}
}

func TestDigest(t *testing.T) {
	k := newKeyer()
	long := strings.Repeat("x", 10_000)
	pairs := [][2]string{{"a", "b"}, {"ab", ""}, {"", "ab"}, {"a\x00b", "c"}, {"a", "b\x00c"}, {"a", long}, {long, "a"}}
	seen := map[digest]bool{}
	for range 2 {
		for _, p := range pairs {
			seen[k.digest(p[0], p[1])] = true
		}
	}
	if len(seen) != len(pairs) {
		t.Errorf("%d digests of %d pairs", len(seen), len(pairs))
	}
	if newKeyer().digest("a", "b") == k.digest("a", "b") {
		t.Error("two processes share a key")
	}
	s := k.states.New().(*keyState)
	k.states.Put(s)
	k.digest("name", "s3cret")
	if strings.Contains(string(s.buf[:cap(s.buf)]), "s3cret") {
		t.Error("the password stays in the buffer")
	}
}

// TestQueueIsBounded floods the queue and looks into it all the time.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(o *Options) { o.QueueLength = 32 })
		var wg sync.WaitGroup
		for i := range 2000 {
			wg.Go(func() { _ = d.check(t, user, fmt.Sprint("guess-", i/3)) })
			synctest.Wait()
			d.mu.Lock()
			waiting, open := len(d.gate.queue), len(d.gate.open)
			d.mu.Unlock()
			if waiting > 32 || open > 32+d.gate.parallel {
				t.Fatalf("%d flights wait, %d are open", waiting, open)
			}
		}
		wg.Wait()
	})
}
