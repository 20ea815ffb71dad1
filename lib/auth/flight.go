package auth

import (
	"context"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// account is the state of a user that an outcome holds for: any change of the
// user, its creation and deletion too, makes the outcome void.
type account struct {
	version version
	known   bool
}

// flight is one hash, waiting or running, with all who wait for its outcome.
// The authenticator's lock guards it, save for err and what run writes, which
// are read after done is closed.
type flight struct {
	login
	acct account
	hash model.PasswordHash
	cost int64 // bytes
	run  func()

	sightings int  // how often these credentials were asked for
	trusted   bool // past all limits: verified before, or our own work
	own       bool // our own work: the hash of a new password
	shared    bool // found by others through gate.open
	hopeless  bool // no password can match; it takes its time all the same
	waiting   bool // in the queue
	queued    time.Time
	waiters   int
	class     class // under which it was started
	timer     *time.Timer

	done chan struct{}
	err  error
}

// fly runs a started flight and gives its memory back to the budget.
func (a *Authenticator) fly(f *flight) {
	f.run()
	a.mu.Lock()
	a.gate.landed(f)
	if !a.closed {
		a.dispatch(time.Now())
	}
	a.mu.Unlock()
	select {
	case a.hashed <- struct{}{}:
	default: // Run knows already
	}
}

// verifyFlight checks the password, answers all who wait, and only then makes
// a better hash if the stored one is of old parameters.
func (a *Authenticator) verifyFlight(f *flight) {
	good, err := a.verify(f.hash, f.password)
	if err != nil {
		a.opts.Log.Error("password was not verified", "user", f.nameForLog(), "error", err)
	}
	if f.acct.known && f.hopeless {
		a.opts.Log.Error("stored password hash is not usable, set a new password", "user", f.name)
	}
	good = good && !f.hopeless
	user, known := a.opts.Users.UserByName(f.name)
	stale := known != f.acct.known || versionOf(user) != f.acct.version
	limited := a.settle(f, good, stale)
	close(f.done)
	if limited {
		a.opts.Log.Warn("logins limited after failures", "user", f.nameForLog(), "address", f.src.address)
	}
	if good && !stale && a.opts.Rehash != nil && crypt.NeedsRehash(f.hash) {
		a.rehash(f)
	}
	f.password = ""
}

// settle records the outcome, and tells whether it was the failure that filled
// a limit.
func (a *Authenticator) settle(f *flight, good, stale bool) (limited bool) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gate.unshare(f)
	switch {
	case stale:
		f.err = errStale
		a.gate.refund(f, now)
	case good:
		a.verified.put(f.digest, f.acct.version, now)
		a.gate.refund(f, now)
	default:
		f.err = ErrUnauthorized
		a.gate.wrong.put(f.digest, f.acct, now)
		return a.gate.limits.wait(f.src, now) > 0
	}
	return false
}

// rehash replaces a hash of old parameters. It runs on the memory of the
// flight, which is at least as large; a failure only means that the next login
// does it.
func (a *Authenticator) rehash(f *flight) {
	// Not the request's context: its client has its answer already.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	hash := crypt.HashPassword(f.password)
	clock, err := a.opts.Rehash(ctx, model.User{Name: f.name, HLC: f.acct.version.clock, Hash: f.hash}, hash)
	if err != nil {
		a.opts.Log.Warn("password hash was not renewed", "user", f.name, "error", err)
		return
	}
	a.verified.put(f.digest, version{clock, markOf(hash)}, time.Now())
}

// nameForLog is the user's name, and nothing where there is no such user: what
// strangers type into that field is now and then a password.
func (f *flight) nameForLog() string {
	if !f.acct.known {
		return "unknown"
	}
	return f.name
}
