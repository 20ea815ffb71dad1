package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// limitedFor returns how long the answer says to wait, 0 if it is another.
func limitedFor(err error) time.Duration {
	var limited *LimitedError
	if errors.As(err, &limited) {
		return limited.RetryAfter
	}
	return 0
}

func TestGuessesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		for i := range 10 {
			if err := d.check(t, user, fmt.Sprint("guess", i)); !errors.Is(err, ErrUnauthorized) {
				t.Fatalf("guess %d: %v, want ErrUnauthorized", i, err)
			}
		}
		begin := time.Now()
		err := d.check(t, user, "guess10")
		if wait := limitedFor(err); wait < time.Second || wait > 10*time.Second || time.Since(begin) != patienceOnce {
			t.Errorf("guess 10: %v after %s, want limited after %s", err, time.Since(begin), patienceOnce)
		}
		if _, err := d.Check(t.Context(), user, "guess10b", "192.0.2.8:1"); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("from another address: %v, want ErrUnauthorized", err)
		}
		if err := d.check(t, "other", "guess10"); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("for another name: %v, want ErrUnauthorized", err)
		}
		time.Sleep(10 * time.Second)
		if err := d.check(t, user, "guess11"); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("after the wait: %v, want ErrUnauthorized", err)
		}
		d.expectHashes(t, 13, "all that were looked at")
	})
}

func TestRepeatedGuessIsLimitedWithoutHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		var got []bool // limited?
		for range 13 {
			got = append(got, limitedFor(d.check(t, user, "wrong-password")) > 0)
		}
		if want := slices.Index(got, true); want != 10 || !got[12] {
			t.Errorf("limited: %v, want from the 11th on", got)
		}
		d.expectHashes(t, 1, "one guess repeated")
	})
}

func TestAddressIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		d.perHash = time.Millisecond
		var limited atomic.Int64
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				if limitedFor(d.check(t, fmt.Sprint("name", i), "some-password")) > 0 {
					limited.Add(1)
				}
			})
		}
		wg.Wait()
		if got := limited.Load(); got < 90 || got > 100 {
			t.Errorf("%d of 200 limited, want about 100", got)
		}
	})
}

func TestSuccessIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		var wg sync.WaitGroup
		for i := range 300 { // users of one site, all right, all at once
			d.users.put(fmt.Sprint("user-", i), hashOf(password))
			wg.Go(func() {
				if err := d.check(t, fmt.Sprint("user-", i), password); err != nil {
					t.Errorf("user %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		for i := range 30 { // one user, hashed again and again
			d.users.put(user, hashOf(password))
			if err := d.check(t, user, password); err != nil {
				t.Errorf("login %d: %v", i, err)
			}
		}
		synctest.Wait()
		if n := len(d.gate.limits.login.clean) + len(d.gate.limits.host.clean); n != 0 {
			t.Errorf("%d counters are charged, want none", n)
		}
	})
}

func TestLimitedUser(t *testing.T) {
	fill := func(t *testing.T, d *desk) {
		for i := range 10 {
			_ = d.check(t, user, fmt.Sprint("guess", i))
		}
		d.hashes.Store(0)
	}
	t.Run("cached passes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, nil)
			if err := d.check(t, user, password); err != nil {
				t.Fatal(err)
			}
			fill(t, d)
			if err := d.check(t, user, password); err != nil {
				t.Errorf("cached: %v", err)
			}
			time.Sleep(15 * time.Minute)
			fill(t, d)
			if err := d.check(t, user, password); err != nil {
				t.Errorf("verified before, expired: %v", err)
			}
			d.expectHashes(t, 1, "expired")
		})
	})
	t.Run("second try passes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, nil)
			fill(t, d)
			wait := limitedFor(d.check(t, user, password))
			if wait == 0 || wait > 2*time.Second {
				t.Fatalf("first try: wait %s, want to be asked again soon", wait)
			}
			time.Sleep(wait)
			if err := d.check(t, user, password); err != nil {
				t.Errorf("second try: %v", err)
			}
		})
	})
	t.Run("two at once pass", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, nil)
			fill(t, d)
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					if err := d.check(t, user, password); err != nil {
						t.Error(err)
					}
				})
				time.Sleep(patienceOnce / 2)
			}
			wg.Wait()
		})
	})
	t.Run("second address lifts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, func(o *Options) { o.Limits.LoginPass = Rate{1, time.Hour} })
			fill(t, d)
			_, _ = d.check(t, user, "twice"), d.check(t, user, "twice") // takes the pass
			var wg sync.WaitGroup
			for _, from := range []string{client, "192.0.2.8:1"} {
				wg.Go(func() {
					if _, err := d.Check(t.Context(), user, password, from); err != nil {
						t.Errorf("from %s: %v", from, err)
					}
				})
				time.Sleep(patienceOnce / 2)
			}
			wg.Wait()
		})
	})
}

// attack runs guesses from the client's address for the client's user name.
type attack struct {
	name    string
	every   time.Duration // between requests
	repeat  int           // requests with the same guess
	clients int
	atOnce  bool // whether the clients come all together
	within  time.Duration
	rate    int64 // hashes in 5 s that the attacker may get
}

func TestRightCredentialsUnderAttack(t *testing.T) {
	tests := []attack{
		{name: "a thousand guesses a second", every: time.Millisecond, repeat: 1, clients: 300, atOnce: true,
			within: 3 * time.Second, rate: 2},
		{name: "clients trickle in", every: time.Millisecond, repeat: 1, clients: 300, within: 3 * time.Second, rate: 2},
		{name: "each guess twice", every: time.Millisecond, repeat: 2, clients: 300, atOnce: true,
			within: 5 * time.Second, rate: 6},
		{name: "each guess twice, clients trickle in", every: time.Millisecond, repeat: 2, clients: 300,
			within: 5 * time.Second, rate: 6},
		{name: "few clients, each guess ten times", every: time.Millisecond, repeat: 10, clients: 30, atOnce: true,
			within: 5 * time.Second, rate: 6},
		{name: "flood", every: 400 * time.Microsecond, repeat: 1, clients: 300, within: 5 * time.Second, rate: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { synctest.Test(t, tt.run) })
	}
}

func (at attack) run(t *testing.T) {
	d := newDesk(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	var guesses, clients sync.WaitGroup
	guesses.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			guess := fmt.Sprint("guess-", i/at.repeat)
			guesses.Go(func() { _, _ = d.Check(ctx, user, guess, client) })
			time.Sleep(at.every)
		}
	})
	time.Sleep(2 * time.Second) // all limits are full
	for i := range at.clients {
		clients.Go(func() { at.client(t, d, i) })
		if !at.atOnce {
			time.Sleep(5 * time.Millisecond)
		}
	}
	clients.Wait()
	d.hashes.Store(0)
	time.Sleep(5 * time.Second)
	if got := d.hashes.Load(); got > at.rate {
		t.Errorf("the attacker got %d guesses in 5 s, want at most %d", got, at.rate)
	}
	stop()
	guesses.Wait()
	synctest.Wait()
	if n := len(d.gate.queue) + len(d.gate.open); n != 0 {
		t.Errorf("%d flights are left", n)
	}
}

// client logs in, and then works for a while.
func (at attack) client(t *testing.T, d *desk, i int) {
	begin := time.Now()
	if err := d.check(t, user, password); err != nil {
		t.Errorf("client %d: %v", i, err)
	}
	if took := time.Since(begin); took > at.within {
		t.Errorf("client %d: first login took %s, want at most %s", i, took, at.within)
	}
	for range 20 {
		time.Sleep(10 * time.Millisecond)
		begin = time.Now()
		if err := d.check(t, user, password); err != nil || time.Since(begin) != 0 {
			t.Errorf("client %d: %v after %s, want an answer at once", i, err, time.Since(begin))
		}
	}
}

// TestLoudAttacker repeats each guess so often that it always has the most
// sightings. The lottery lets the others through all the same.
func TestLoudAttacker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		ctx, stop := context.WithCancel(t.Context())
		var guesses sync.WaitGroup
		guesses.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				guess := fmt.Sprint("guess-", i/1000)
				guesses.Go(func() { _, _ = d.Check(ctx, user, guess, client) })
				time.Sleep(time.Millisecond)
			}
		})
		time.Sleep(5 * time.Second)
		var tries atomic.Int64
		var clients sync.WaitGroup
		for range 50 {
			clients.Go(func() {
				for d.check(t, user, password) != nil {
					if tries.Add(1) > 1000 {
						t.Error("right credentials starve")
						return
					}
					time.Sleep(time.Second)
				}
			})
		}
		clients.Wait()
		stop()
		guesses.Wait()
	})
}

// TestLimitNamesOnlyUsers: the log tells whose logins are limited, unless
// there is no such user: then the name may be a password in the wrong field.
func TestLimitNamesOnlyUsers(t *testing.T) {
	for name, want := range map[string]string{user: "user=" + user, "hunter2-typed-as-name": "user=unknown"} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			d := newDesk(t, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
			for i := range 10 {
				if err := d.check(t, name, fmt.Sprintf("wrong-password-%d", i)); !errors.Is(err, ErrUnauthorized) {
					t.Fatalf("guess %d = %v", i, err)
				}
			}
			synctest.Wait()
			if text := log.String(); strings.Count(text, "logins limited") != 1 || !strings.Contains(text, want) || strings.Contains(text, "hunter2") {
				t.Errorf("log is %q, want one line with %s", text, want)
			}
		})
	}
}
