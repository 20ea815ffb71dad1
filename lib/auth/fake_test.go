package auth

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// fakeUsers is a read model in memory.
type fakeUsers struct {
	mu    sync.Mutex
	clock model.HLC
	byKey map[string]model.User
}

func (u *fakeUsers) UserByName(name string) (model.User, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	user, ok := u.byKey[name]
	return user, ok
}

func (u *fakeUsers) put(name string, hash model.PasswordHash) model.HLC {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clock++
	u.byKey[name] = model.User{Name: name, Hash: hash, HLC: u.clock}
	return u.clock
}

func (u *fakeUsers) remove(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.byKey, name)
}

// hashTime is what one fake hash takes, about as long as a real one on a small
// machine.
const hashTime = 60 * time.Millisecond

// hashOf makes a stored hash that fakeVerify understands: the salt is the
// password, so tests use at least 8 characters.
func hashOf(password string) model.PasswordHash {
	return model.PasswordHash{
		Algo: "Argon2id", Memory: 65536, Iterations: 1, Threads: 8, Salt: []byte(password), Hash: make([]byte, 32),
	}
}

// legacyOf is hashOf with the parameters of old databases.
func legacyOf(password string) model.PasswordHash {
	h := hashOf(password)
	h.Algo, h.Memory, h.Threads = "Argon2", 524288, 1
	return h
}

// desk is an Authenticator over fakes that counts hashes.
type desk struct {
	*Authenticator
	users   *fakeUsers
	hashes  atomic.Int64
	memory  atomic.Int64 // KiB in use
	peak    atomic.Int64
	tested  sync.Map // password -> true
	perHash time.Duration
}

const (
	user     = "jenkins"
	password = "right-password"
	client   = "192.0.2.7:5000"
)

func newDesk(t testing.TB, change func(*Options)) *desk {
	t.Helper()
	d := &desk{users: &fakeUsers{byKey: map[string]model.User{}}, perHash: hashTime}
	d.users.put(user, hashOf(password))
	o := Options{Users: d.users}
	if change != nil {
		change(&o)
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	a.verify = d.fakeVerify
	a.makeHash = d.fakeHash
	a.gate.parallel = 2
	d.Authenticator = a
	t.Cleanup(a.close)
	return d
}

func (d *desk) fakeVerify(h model.PasswordHash, given string) (bool, error) {
	d.hashes.Add(1)
	d.tested.Store(given, true)
	if used := d.memory.Add(int64(h.Memory)); used > d.peak.Load() {
		d.peak.Store(used)
	}
	time.Sleep(d.perHash)
	d.memory.Add(-int64(h.Memory))
	return string(h.Salt) == given, nil
}

func (d *desk) fakeHash(given string) model.PasswordHash {
	time.Sleep(d.perHash)
	return hashOf(given)
}

func (d *desk) check(t testing.TB, name, pass string) error {
	t.Helper()
	_, err := d.Check(t.Context(), name, pass, client)
	return err
}

// expectHashes wants this many hashes since the last call.
func (d *desk) expectHashes(t testing.TB, want int64, what string) {
	t.Helper()
	if got := d.hashes.Swap(0); got != want {
		t.Errorf("%s: %d hashes, want %d", what, got, want)
	}
}
