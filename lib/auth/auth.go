// Package auth tells who is asking: it checks names and passwords against the
// users of the store, remembers what it verified, and keeps guessing slow
// without locking out those who know the password. DESIGN.md has the reasons.
package auth

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// ErrUnauthorized says that there is no such user or that the password is
// wrong, and never which of them. The API answers 401.
var ErrUnauthorized = errors.New("wrong user name or password")

// ErrBusy says that more is waiting for a password hash than we queue, or that
// the node stops. The API answers 503.
var ErrBusy = errors.New("too many logins at once, try again in a few seconds")

// maxCredential bounds name and password together: what waits in the queue is
// held in memory, and nothing longer was ever set (bodies end at 64 KB).
const maxCredential = 64 << 10

// errStale says that the user was changed while the password was checked.
var errStale = errors.New("user changed meanwhile")

// LimitedError says that too many attempts failed for this user from this
// address, or from this address altogether. The API answers 429.
type LimitedError struct {
	RetryAfter time.Duration // when the next attempt is looked at
}

// Error says when to come again.
func (e *LimitedError) Error() string {
	return fmt.Sprintf("too many failed logins, try again in %d seconds", int64(e.RetryAfter.Seconds()+0.999))
}

// Principal is who was authenticated.
type Principal struct{ Name string }

// IsAdmin tells whether the principal has all rights (contract 10: there are
// no roles).
func (p Principal) IsAdmin() bool { return p.Name == model.AdminName }

// Authenticator checks credentials. It is safe for use by many goroutines.
// Run owns what it starts.
type Authenticator struct {
	opts     Options
	keys     *keyer
	verified *cache
	dummy    model.PasswordHash // for users who do not exist
	seed     maphash.Seed
	verify   func(model.PasswordHash, string) (bool, error) // crypt.VerifyPassword, but for tests
	makeHash func(string) model.PasswordHash                // crypt.HashPassword, but for tests
	release  func()                                         // gives memory back to the system

	hashed chan struct{} // tells Run that a hash ended
	work   sync.WaitGroup

	mu     sync.Mutex // guards what follows; never held during a hash
	gate   *gate
	closed bool
}

// New returns an Authenticator; it starts nothing.
func New(o Options) (*Authenticator, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("set up authentication: %w", err)
	}
	return &Authenticator{
		opts: o, keys: newKeyer(), verified: newCache(o.CacheSize), dummy: crypt.DummyHash(), seed: maphash.MakeSeed(),
		verify: crypt.VerifyPassword, makeHash: crypt.HashPassword, release: debug.FreeOSMemory, hashed: make(chan struct{}, 1),
		// A hash has eight threads: several at once starve the requests that
		// need none. One per four cores keeps the answers of cached clients
		// below 50 ms while somebody guesses, for a third fewer hashes.
		gate: newGate(o, max(1, runtime.GOMAXPROCS(0)/4)),
	}, nil
}

// Check authenticates a request. remote is the peer's socket address, with or
// without port, never what a header says. Errors: ErrUnauthorized,
// *LimitedError, ErrBusy, or that of ctx.
func (a *Authenticator) Check(ctx context.Context, name, password, remote string) (Principal, error) {
	if len(name)+len(password) > maxCredential {
		return Principal{}, ErrUnauthorized
	}
	d := a.keys.digest(name, password)
	user, known := a.opts.Users.UserByName(name)
	if known && a.verified.fresh(d, versionOf(user), time.Now()) {
		return Principal{Name: name}, nil
	}
	l := login{digest: d, name: name, password: password, src: a.source(remote, name)}
	if err := a.slow(ctx, l); err != nil {
		return Principal{}, err
	}
	return Principal{Name: name}, nil
}

// login is one attempt to be verified.
type login struct {
	digest   digest
	name     string
	password string
	src      source
}

// slow is Check for credentials that the cache does not answer for.
func (a *Authenticator) slow(ctx context.Context, l login) error {
	// A user changed again and again during the hash is no reason to hash on.
	const maxTries = 4
	seen := a.sighted(l.digest)
	for range maxTries {
		f, err := a.join(l, seen) //nolint:contextcheck // the hash is shared: one who gives up must not end it for the others
		if err != nil {
			return err
		}
		if err = a.wait(ctx, f); !errors.Is(err, errStale) {
			return err
		}
	}
	return ErrBusy
}

// sighted counts a request for the credentials.
func (a *Authenticator) sighted(d digest) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gate.sighted(d, time.Now())
}

// join returns the flight that will verify the login, shared with all that
// bring the same credentials, or the answer that needs no hash.
func (a *Authenticator) join(l login, seen int) (*flight, error) {
	user, known := a.opts.Users.UserByName(l.name)
	acct := account{version: versionOf(user), known: known}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, ErrBusy
	}
	if f := a.gate.open[flightKey{l.digest, acct}]; f != nil { // one hash for all who bring the same
		a.gate.rejoin(f, l.src, seen, now)
		if f.waiting && a.gate.classOf(f, now) != classNone {
			a.dispatch(now)
		}
		return f, nil
	}
	if a.gate.knownWrong(l.digest, acct, now) {
		return nil, a.gate.refuseWrong(l.src, now)
	}
	f := a.newFlight(l, acct, user.Hash, seen, now)
	if err := a.enter(f, now); err != nil {
		return nil, err
	}
	return f, nil
}

func (a *Authenticator) newFlight(l login, acct account, hash model.PasswordHash, seen int, now time.Time) *flight {
	f := &flight{
		login: l, acct: acct, hash: hash, sightings: seen,
		trusted:  acct.known && a.verified.knows(l.digest, acct.version),
		shared:   a.opts.CacheSize > 0,
		hopeless: !acct.known || crypt.HashCost(hash) == 0,
		queued:   now, waiters: 1, done: make(chan struct{}),
	}
	if f.hopeless {
		f.hash = a.dummy
	}
	f.cost = crypt.HashCost(f.hash)
	f.run = func() { a.verifyFlight(f) }
	return f
}

// enter queues the flight. The lock is held.
func (a *Authenticator) enter(f *flight, now time.Time) error {
	if err := a.gate.enter(f, now); err != nil {
		return err
	}
	f.timer = time.AfterFunc(tick, func() { a.tick(f) })
	if a.gate.classOf(f, now) != classNone {
		a.dispatch(now)
	}
	return nil
}

// tick looks again at a flight that waits: its limit may have passed, or its
// patience.
func (a *Authenticator) tick(f *flight) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !f.waiting {
		return
	}
	now := time.Now()
	if err := a.gate.outOfPatience(f, now); err != nil {
		a.gate.drop(f, err)
		return
	}
	f.timer.Reset(tick)
	if a.gate.classOf(f, now) != classNone {
		a.dispatch(now)
	}
}

// dispatch starts what may start. The lock is held.
func (a *Authenticator) dispatch(now time.Time) {
	for f := a.gate.next(now); f != nil; f = a.gate.next(now) {
		a.work.Go(func() { a.fly(f) })
	}
}

// wait returns the flight's outcome, or the error of ctx; a flight that nobody
// waits for any more is not started.
func (a *Authenticator) wait(ctx context.Context, f *flight) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if f.waiters--; f.waiters == 0 && f.waiting {
		a.gate.drop(f, ctx.Err())
	}
	return ctx.Err()
}

// HashPassword makes the hash of a new password within the memory budget. It
// takes turns with logins, lest one who sets passwords without end keeps the
// others out. Errors: ErrBusy or that of ctx.
func (a *Authenticator) HashPassword(ctx context.Context, password string) (model.PasswordHash, error) {
	now := time.Now()
	var hash model.PasswordHash
	f := &flight{trusted: true, own: true, cost: crypt.HashCost(a.dummy), queued: now, waiters: 1, done: make(chan struct{})}
	f.run = func() {
		hash = a.makeHash(password)
		close(f.done)
	}
	a.mu.Lock()
	err := ErrBusy
	if !a.closed {
		err = a.enter(f, now)
	}
	a.mu.Unlock()
	if err == nil {
		err = a.wait(ctx, f)
	}
	if err != nil { // the hash may still be written to
		return model.PasswordHash{}, err
	}
	return hash, nil
}
