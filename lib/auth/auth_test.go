package auth

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

func TestCheckWithRealHashes(t *testing.T) {
	store := &fakeUsers{byKey: map[string]model.User{}}
	a, err := New(Options{Users: store})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := a.HashPassword(t.Context(), "s3cret")
	if err != nil {
		t.Fatal(err)
	}
	store.put("admin", hash)
	store.put("empty", crypt.HashPassword(""))
	store.put("broken", model.PasswordHash{Algo: "md5"})
	tests := []struct {
		name, user, password string
		want                 error
	}{
		{"right", "admin", "s3cret", nil},
		{"right again, from the cache", "admin", "s3cret", nil},
		{"wrong", "admin", "S3cret", ErrUnauthorized},
		{"empty password", "admin", "", ErrUnauthorized},
		{"unknown user", "nobody", "s3cret", ErrUnauthorized},
		{"no name", "", "", ErrUnauthorized},
		{"an empty password that is right", "empty", "", nil},
		{"unusable hash", "broken", "", ErrUnauthorized},
		{"name and password cut elsewhere", "admins", "3cret", ErrUnauthorized},
		{"too long", "admin", strings.Repeat("x", maxCredential), ErrUnauthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := a.Check(t.Context(), tt.user, tt.password, client)
			if !errors.Is(err, tt.want) {
				t.Fatalf("Check = %v, want %v", err, tt.want)
			}
			if err == nil && (p.Name != tt.user || p.IsAdmin() != (tt.user == "admin")) {
				t.Errorf("principal = %+v, want %s", p, tt.user)
			}
			if err != nil && p != (Principal{}) {
				t.Errorf("principal = %+v beside an error", p)
			}
		})
	}
}

func TestNewNeedsUsers(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New without users succeeded")
	}
}

func TestCacheLifetime(t *testing.T) {
	tests := []struct {
		name  string
		pause time.Duration
		uses  int
		want  int64 // hashes after the first
	}{
		{"in use", 59 * time.Second, 5, 0},
		{"idle", 60 * time.Second, 1, 1},
		{"in use for ten minutes", 30 * time.Second, 19, 0},
		{"in use for longer", 30 * time.Second, 21, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, nil)
				if err := d.check(t, user, password); err != nil {
					t.Fatal(err)
				}
				d.expectHashes(t, 1, "first login")
				for range tt.uses {
					time.Sleep(tt.pause)
					if err := d.check(t, user, password); err != nil {
						t.Fatal(err)
					}
				}
				d.expectHashes(t, tt.want, "later logins")
			})
		})
	}
}

func TestCacheIsBoundToTheUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		if err := d.check(t, user, password); err != nil {
			t.Fatal(err)
		}
		d.users.put(user, hashOf("another-password"))
		if err := d.check(t, user, password); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("old password after a change: %v, want ErrUnauthorized", err)
		}
		d.users.remove(user)
		if err := d.check(t, user, password); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("password of a deleted user: %v, want ErrUnauthorized", err)
		}
		d.users.put(user, hashOf(password))
		if err := d.check(t, user, password); err != nil {
			t.Errorf("password of a user made anew: %v, want nil", err)
		}
		d.expectHashes(t, 4, "each change")
	})
}

// TestCacheAcrossNodes: a user that comes from another node with the clock
// reading of the one that is here is another version all the same. So do the
// admins that two nodes made before they met.
func TestCacheAcrossNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		if err := d.check(t, user, password); err != nil {
			t.Fatal(err)
		}
		if err := d.check(t, user, "another-password"); !errors.Is(err, ErrUnauthorized) {
			t.Fatal(err)
		}
		other, _ := d.users.UserByName(user)
		other.Hash = hashOf("another-password")
		d.users.mu.Lock()
		d.users.byKey[user] = other
		d.users.mu.Unlock()
		if err := d.check(t, user, password); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("password of the version that lost: %v, want ErrUnauthorized", err)
		}
		if err := d.check(t, user, "another-password"); err != nil {
			t.Errorf("password of the version that won: %v, want nil", err)
		}
	})
}

func TestCacheOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(o *Options) { o.CacheSize = -1 })
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if err := d.check(t, user, password); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		d.expectHashes(t, 10, "hash per request")
	})
}

func TestParallelLoginsShareOneHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), hashTime/2)
				defer cancel()
				if i%2 == 0 {
					ctx = t.Context()
				}
				_, err := d.Check(ctx, user, password, client)
				if i%2 == 0 && err != nil || i%2 == 1 && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("caller %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		d.expectHashes(t, 1, "50 callers")
	})
}

func TestAbandonedLoginsCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), hashTime/2)
				defer cancel()
				_, _ = d.Check(ctx, fmt.Sprint("user-", i), "some-password", client)
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		d.expectHashes(t, 2, "those that had begun")
		synctest.Wait()
		if len(d.gate.queue)+len(d.gate.open) != 0 {
			t.Errorf("%d flights wait, %d are open, want none", len(d.gate.queue), len(d.gate.open))
		}
	})
}

func TestUserChangedDuringHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		var oldErr error
		var wg sync.WaitGroup
		wg.Go(func() { oldErr = d.check(t, user, password) })
		time.Sleep(hashTime / 2)
		d.users.put(user, hashOf("another-password"))
		wg.Wait()
		if !errors.Is(oldErr, ErrUnauthorized) {
			t.Errorf("password changed while it was checked: %v, want ErrUnauthorized", oldErr)
		}
		d.expectHashes(t, 2, "old and new")
	})
}

func TestUserChangedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			for ctx.Err() == nil {
				time.Sleep(hashTime / 3)
				d.users.put(user, hashOf(password))
			}
		})
		if err := d.check(t, user, password); !errors.Is(err, ErrBusy) {
			t.Errorf("Check = %v, want ErrBusy", err)
		}
		cancel()
		wg.Wait()
	})
}

func TestUnknownUserCostsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		d.users.put("broken", model.PasswordHash{})
		for _, name := range []string{user, "nobody", "broken"} {
			begin := time.Now()
			if err := d.check(t, name, "wrong-password"); !errors.Is(err, ErrUnauthorized) {
				t.Errorf("%s: %v, want ErrUnauthorized", name, err)
			}
			if took := time.Since(begin); took != hashTime {
				t.Errorf("%s: took %s, want %s", name, took, hashTime)
			}
			if err := d.check(t, name, "wrong-password"); !errors.Is(err, ErrUnauthorized) {
				t.Errorf("%s again: %v, want ErrUnauthorized", name, err)
			}
		}
		d.expectHashes(t, 3, "three names, each once")
		if peak := d.peak.Load(); peak != 65536 {
			t.Errorf("peak memory = %d KiB, want that of one hash each", peak)
		}
	})
}

func TestLegacyHashIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d *desk
		var calls int
		d = newDesk(t, func(o *Options) {
			o.Rehash = func(_ context.Context, read model.User, h model.PasswordHash) (model.HLC, error) {
				calls++
				if u, _ := d.users.UserByName(read.Name); u.HLC != read.HLC || !u.Hash.Equal(read.Hash) || crypt.NeedsRehash(h) {
					return 0, fmt.Errorf("read %+v, hash %+v", read, h)
				}
				mark := markOf(h)
				h.Salt, h.Hash = []byte(password), make([]byte, 32) // for fakeVerify, and as if they were the ones given
				binary.LittleEndian.PutUint64(h.Hash, mark^markOf(h))
				return d.users.put(read.Name, h), nil
			}
		})
		d.users.put(user, legacyOf(password))
		if err := d.check(t, user, "wrong-password"); !errors.Is(err, ErrUnauthorized) || calls != 0 {
			t.Errorf("wrong password: %v and %d renewals", err, calls)
		}
		if err := d.check(t, user, password); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		u, _ := d.users.UserByName(user)
		if calls != 1 || u.Hash.Algo != "Argon2id" {
			t.Errorf("%d renewals, algorithm %s, want 1 and Argon2id", calls, u.Hash.Algo)
		}
		d.hashes.Store(0)
		if err := d.check(t, user, password); err != nil {
			t.Fatal(err)
		}
		d.expectHashes(t, 0, "after the renewal")
	})
}

func TestRunReturnsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		var releases []time.Duration
		begin := time.Now()
		d.release = func() { releases = append(releases, time.Since(begin)) }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		for i := range 5 { // a burst, a pause, a login each second
			_ = d.check(t, "nobody", fmt.Sprint("guess", i))
		}
		time.Sleep(10 * time.Second)
		for i := range 5 {
			_ = d.check(t, "somebody", fmt.Sprint("guess", i))
			time.Sleep(time.Second)
		}
		time.Sleep(5 * time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if len(releases) != 2 || releases[0] > 5*time.Second || releases[1]-releases[0] < releaseEvery {
			t.Errorf("memory released at %v, want soon after the burst, then after %s", releases, releaseEvery)
		}
	})
}

func TestStopAnswersAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		errs := make(chan error, 10)
		for i := range 10 {
			go func() { errs <- d.check(t, fmt.Sprint("user-", i), "some-password") }()
		}
		time.Sleep(hashTime / 2)
		cancel()
		<-done
		count := map[error]int{}
		for range 10 {
			count[<-errs]++
		}
		if count[ErrBusy] != 8 || count[ErrUnauthorized] != 2 {
			t.Errorf("answers = %v, want 2 checked and 8 busy", count)
		}
		if err := d.check(t, user, password); !errors.Is(err, ErrBusy) {
			t.Errorf("Check after the end: %v, want ErrBusy", err)
		}
		if _, err := d.HashPassword(t.Context(), "x"); !errors.Is(err, ErrBusy) {
			t.Errorf("HashPassword after the end: %v, want ErrBusy", err)
		}
	})
}

// TestRace is for the race detector: everything at once, in real time.
func TestRace(t *testing.T) {
	d := newDesk(t, func(o *Options) { o.QueueLength, o.CacheSize = 8, 16 })
	d.perHash = 100 * time.Microsecond
	ctx, cancel := context.WithCancel(t.Context())
	var run, wg sync.WaitGroup
	run.Go(func() { _ = d.Run(ctx) })
	for i := range 16 {
		wg.Go(func() {
			for n := range 40 {
				c, stop := context.WithTimeout(ctx, time.Duration(1+n%5)*time.Millisecond)
				switch (i + n) % 5 {
				case 0:
					d.users.put(fmt.Sprint("user-", i), hashOf(password))
				case 1:
					_, _ = d.Check(c, user, fmt.Sprint("guess", n), client)
				default:
					_, _ = d.Check(c, fmt.Sprint("user-", i), password, fmt.Sprintf("[2001:db8:%x::1]:1", i))
				}
				stop()
			}
		})
	}
	wg.Wait()
	if err := d.check(t, user, password); err != nil {
		var limited *LimitedError
		if !errors.As(err, &limited) {
			t.Errorf("Check at the end: %v", err)
		}
	}
	cancel()
	run.Wait()
}

func BenchmarkCached(b *testing.B) {
	d := newDesk(b, nil)
	d.perHash = 0
	if err := d.check(b, user, password); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Check(b.Context(), user, password, client); err != nil {
			b.Fatal(err)
		}
	}
}
