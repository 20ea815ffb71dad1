package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// allocate lives an application of the store up to its environment.
func allocate(t testing.TB, s *Store, label model.UID) *model.Entry {
	t.Helper()
	app := newApplication(t, s, label, "u").Application.UID
	grant := elected(app, 1)
	grant.States[0].Decision.Winner = s.opts.Node
	update(t, s, app, grant)
	update(t, s, app, intent(1))
	return update(t, s, app, allocated(1))
}

func digestOf(password string) []byte {
	digest := sha256.Sum256([]byte(password))
	return digest[:]
}

// anAccess are credentials with a password and a key, good for an hour.
func anAccess(s *Store, resource model.UID, password string) model.ResourceAccess {
	return model.ResourceAccess{
		ResourceUID: resource, UserName: "u", Digest: digestOf(password), PublicKey: []byte("key of " + password),
		ExpiresAt: s.stamp().Add(time.Hour),
	}
}

func newAccess(t testing.TB, s *Store, resource model.UID, password string) model.ResourceAccess {
	t.Helper()
	a, err := s.CreateAccess(t.Context(), anAccess(s, resource, password))
	if err != nil {
		t.Fatalf("CreateAccess: %v", err)
	}
	return a
}

func aUse(access model.UID, session byte) model.AccessUse {
	return model.AccessUse{AccessUID: access, SessionUID: model.UID{session}, EntryUID: model.UID{8}, Client: "192.0.2.1:4", HostKey: []byte("host key")}
}

// end lives an allocated application to its end.
func end(t testing.TB, s *Store, app model.UID) {
	t.Helper()
	e := update(t, s, app, requested())
	update(t, s, app, deallocated(e, 1))
}

// TestAccess makes, finds and uses credentials, on both engines and over a start.
func TestAccess(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		s := reopen()
		e := allocate(t, s, newLabel(t, s).UID)
		resource := e.Resource.UID
		sub := s.Subscribe(KindResourceAccess)
		defer sub.Close()
		a := newAccess(t, s, resource, "p")
		if a.UID == model.NilUID || a.ApplicationUID != e.Application.UID || a.HLC == 0 || a.CreatedAt.IsZero() {
			t.Fatalf("CreateAccess = %+v", a)
		}
		if keys, _ := sub.Take(); !cmp.Equal(keys, []Key{{Kind: KindResourceAccess, UID: a.UID}}) {
			t.Errorf("feed told %v, want the credentials", keys)
		}
		for range 2 {
			wantFound(t, s, a, "p", true, false)
			if _, known := s.HostKey(resource); known || len(s.AccessUses(resource)) != 0 {
				t.Error("there is a host key before a use")
			}
			s = reopen()
		}
		used, err := s.UseAccess(t.Context(), aUse(a.UID, 1))
		want := aUse(a.UID, 1)
		want.ResourceUID, want.ApplicationUID, want.UserName, want.UsedAt, want.HLC = resource, e.Application.UID, "u", used.UsedAt, used.HLC
		if err != nil || used.HLC <= a.HLC || used.UsedAt.IsZero() || !cmp.Equal(used, want) {
			t.Fatalf("UseAccess = %+v, %v, want %+v", used, err, want)
		}
		for range 2 {
			wantFound(t, s, a, "p", true, true)
			if again, err := s.UseAccess(t.Context(), aUse(a.UID, 1)); err != nil || !cmp.Equal(again, used) {
				t.Errorf("UseAccess by the same session = %+v, %v, want the same answer", again, err)
			}
			if _, err := s.UseAccess(t.Context(), aUse(a.UID, 2)); !errors.Is(err, ErrAccessUsed) {
				t.Errorf("UseAccess by another session = %v, want %v", err, ErrAccessUsed)
			}
			if pin, known := s.HostKey(resource); !known || string(pin) != "host key" || !cmp.Equal(s.AccessUses(resource), []model.AccessUse{used}) {
				t.Errorf("HostKey = %q, %t, AccessUses = %v", pin, known, s.AccessUses(resource))
			}
			s = reopen()
		}
		end(t, s, e.Application.UID)
		for range 2 {
			wantFound(t, s, a, "p", false, false)
			if n := booked(s); n != 0 {
				t.Errorf("%d things of an application that is over are in memory", n)
			}
			s = reopen()
		}
		if n, err := s.removeClosed(t.Context(), time.Now().Add(time.Hour)); n != 1 || err != nil {
			t.Fatalf("removeClosed = %d, %v", n, err)
		}
		for _, r := range rowsOf(t, s, s.Origin()) {
			if r.Kind != replica.KindLabel {
				t.Errorf("a row of kind %d is left of the application", r.Kind)
			}
		}
	})
}

// wantFound looks credentials up in all ways.
func wantFound(t *testing.T, s *Store, a model.ResourceAccess, password string, found, used bool) {
	t.Helper()
	for by, look := range map[string]func() (AccessView, bool){
		"UID":    func() (AccessView, bool) { return s.Access(a.UID) },
		"digest": func() (AccessView, bool) { return s.AccessByDigest(digestOf(password)) },
		"key":    func() (AccessView, bool) { return s.AccessByKey([]byte("key of " + password)) },
	} {
		want := AccessView{}
		if found {
			want = AccessView{ResourceAccess: a, Used: used}
		}
		if v, ok := look(); ok != found || !cmp.Equal(v, want) {
			t.Errorf("by %s: %+v, %t, want %+v, %t", by, v, ok, want, found)
		}
	}
	for _, digest := range [][]byte{nil, digestOf("x"), []byte("key of " + password), digestOf("key of " + password)} {
		if v, ok := s.AccessByDigest(digest); ok {
			t.Errorf("AccessByDigest(%x) = %+v, want none", digest, v)
		}
	}
	for _, key := range [][]byte{nil, []byte("x"), digestOf(password)} {
		if v, ok := s.AccessByKey(key); ok {
			t.Errorf("AccessByKey(%x) = %+v, want none", key, v)
		}
	}
}

// booked is how much of credentials is in memory.
func booked(s *Store) int {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	b := s.memory.accesses
	return len(b.sets) + len(b.owner) + len(b.byDigest) + len(b.byKey)
}

func TestCreateAccessRefuses(t *testing.T) {
	s := openOther(t, 1)
	e := allocate(t, s, newLabel(t, s).UID)
	gone := allocate(t, s, e.Application.LabelUID)
	end(t, s, gone.Application.UID)
	for name, tt := range map[string]struct {
		change func(*model.ResourceAccess)
		want   error
	}{
		"no user":             {func(a *model.ResourceAccess) { a.UserName = "" }, errNoAccess},
		"no secret":           {func(a *model.ResourceAccess) { a.Digest, a.PublicKey = nil, nil }, errNoAccess},
		"not a SHA-256":       {func(a *model.ResourceAccess) { a.Digest = []byte("x") }, errNoAccess},
		"no end":              {func(a *model.ResourceAccess) { a.ExpiresAt = time.Time{} }, errNoAccess},
		"expired":             {func(a *model.ResourceAccess) { a.ExpiresAt = s.stamp() }, errNoAccess},
		"unknown resource":    {func(a *model.ResourceAccess) { a.ResourceUID = model.UID{7} }, ErrNotFound},
		"no resource":         {func(a *model.ResourceAccess) { a.ResourceUID = model.NilUID }, ErrNotFound},
		"resource that ended": {func(a *model.ResourceAccess) { a.ResourceUID = gone.Resource.UID }, ErrNotFound},
		"key of a megabyte":   {func(a *model.ResourceAccess) { a.PublicKey = make([]byte, 1<<20) }, replica.ErrTooLarge},
		"name without end":    {func(a *model.ResourceAccess) { a.UserName = strings.Repeat("u", 1<<20) }, replica.ErrTooLarge},
	} {
		a := anAccess(s, e.Resource.UID, "p")
		tt.change(&a)
		if got, err := s.CreateAccess(t.Context(), a); !errors.Is(err, tt.want) {
			t.Errorf("%s: CreateAccess = %+v, %v, want %v", name, got, err, tt.want)
		}
	}
	if n := booked(s); n != 0 {
		t.Errorf("%d things are in memory of what was refused", n)
	}
}

// TestTooManyAccesses counts what is not used and has not expired, of one Resource.
func TestTooManyAccesses(t *testing.T) {
	s := openOther(t, 1)
	label := newLabel(t, s).UID
	now := time.Now()
	s.opts.Now = func() time.Time { return now }
	resource, other := allocate(t, s, label).Resource.UID, allocate(t, s, label).Resource.UID
	var all []model.ResourceAccess
	fill := func() (n int) {
		for n = 0; ; n++ {
			a, err := s.CreateAccess(t.Context(), anAccess(s, resource, fmt.Sprint(len(all))))
			if err != nil {
				if !errors.Is(err, ErrTooMany) {
					t.Fatal(err)
				}
				return n
			}
			all = append(all, a)
		}
	}
	if n := fill(); n != maxUnused {
		t.Errorf("%d credentials are stored, want %d", n, maxUnused)
	}
	newAccess(t, s, other, "other")
	for i := range 3 {
		if _, err := s.UseAccess(t.Context(), aUse(all[i].UID, byte(i+1))); err != nil {
			t.Fatal(err)
		}
	}
	if n := fill(); n != 3 {
		t.Errorf("%d credentials are stored after 3 were used, want as many", n)
	}
	now = now.Add(time.Hour)
	if n := fill(); n != maxUnused {
		t.Errorf("%d credentials are stored after all expired, want %d", n, maxUnused)
	}
}

// TestUseAccessRefuses has an environment of this node and one of another.
func TestUseAccessRefuses(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		s, other := reopen(), openOther(t, 1)
		label := newLabel(t, s).UID
		e, ended := allocate(t, s, label), allocate(t, s, label)
		a := newAccess(t, s, e.Resource.UID, "p")
		late := newAccess(t, s, ended.Resource.UID, "late")
		end(t, s, ended.Application.UID)
		theirs := newAccess(t, other, allocate(t, other, newLabel(t, other).UID).Resource.UID, "q")
		hand(t, other, s)
		wantFound(t, s, theirs, "q", true, false)
		first := newAccess(t, s, e.Resource.UID, "first")
		use := func(uid model.UID, change func(*model.AccessUse)) error {
			u := aUse(uid, 5)
			change(&u)
			_, err := s.UseAccess(t.Context(), u)
			return err
		}
		none := func(*model.AccessUse) {}
		if err := use(first.UID, none); err != nil {
			t.Fatal(err)
		}
		rows := len(rowsOf(t, s, s.Origin()))
		for _, tt := range []struct {
			name   string
			access model.UID
			change func(*model.AccessUse)
			want   error
		}{
			{"no session", a.UID, func(u *model.AccessUse) { u.SessionUID = model.NilUID }, errNoUse},
			{"no host key", a.UID, func(u *model.AccessUse) { u.HostKey = nil }, errNoUse},
			{"no entry", a.UID, func(u *model.AccessUse) { u.EntryUID = model.NilUID }, errNoUse},
			{"no credentials", model.NilUID, none, errNoUse},
			{"unknown", model.UID{4}, none, ErrNotFound},
			{"environment of another node", theirs.UID, none, ErrNotAllocated},
			{"environment that ended", late.UID, none, ErrNotAllocated},
			{"another host key", a.UID, func(u *model.AccessUse) { u.HostKey = []byte("other") }, ErrHostKey},
			{"used by another session", first.UID, func(u *model.AccessUse) { u.SessionUID = model.UID{6} }, ErrAccessUsed},
			{"the same session before another host key", first.UID, func(u *model.AccessUse) { u.HostKey = []byte("other") }, ErrHostKey},
			{"an address without end", a.UID, func(u *model.AccessUse) { u.Client = strings.Repeat("x", 1<<20) }, replica.ErrTooLarge},
		} {
			if err := use(tt.access, tt.change); !errors.Is(err, tt.want) {
				t.Errorf("%s: UseAccess = %v, want %v", tt.name, err, tt.want)
			}
		}
		if n := len(rowsOf(t, s, s.Origin())); n != rows {
			t.Errorf("%d rows were written by what was refused", n-rows)
		}
		wantFound(t, s, a, "p", true, false)
		if err := use(a.UID, none); err != nil {
			t.Errorf("UseAccess after all = %v", err)
		}
	})
}

// TestAccessIsUsedOnce asks from many goroutines at once for a few credentials.
func TestAccessIsUsedOnce(t *testing.T) {
	eachEngine(t, func(t *testing.T, reopen func() *Store) {
		s := reopen()
		resource := allocate(t, s, newLabel(t, s).UID).Resource.UID
		for round := range 3 {
			a := newAccess(t, s, resource, fmt.Sprint(round))
			var mu sync.Mutex
			var won []model.AccessUse
			var askers sync.WaitGroup
			for i := range 200 {
				askers.Go(func() {
					used, err := s.UseAccess(t.Context(), aUse(a.UID, byte(1+i/2))) // each session asks twice
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						won = append(won, used)
					case !errors.Is(err, ErrAccessUsed):
						t.Errorf("UseAccess = %v, want %v", err, ErrAccessUsed)
					}
				})
			}
			askers.Wait()
			if len(won) != 2 || !cmp.Equal(won[0], won[1]) {
				t.Errorf("%d of 200 used the credentials, want both of one session: %v", len(won), won)
			}
			wantFound(t, s, a, fmt.Sprint(round), true, true)
			if n := len(s.AccessUses(resource)); n != round+1 {
				t.Errorf("there are %d uses, want %d", n, round+1)
			}
		}
	})
}

// TestUsable: the clock of the node that runs the environment decides.
func TestUsable(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name             string
		created, expires time.Duration // from now
		want             error
	}{
		{"fresh", -time.Second, time.Minute, nil},
		{"expires now", -time.Minute, 0, ErrAccessExpired},
		{"expired", -time.Hour, -time.Minute, ErrAccessExpired},
		{"by a clock that is a little ahead", maxAhead, maxAhead + time.Minute, nil},
		{"by a clock that is far ahead", maxAhead + 1, time.Hour, ErrAccessAhead},
		{"made and expired by a clock that is far ahead", maxAhead + 2, -1, ErrAccessExpired},
	} {
		err := usable(model.ResourceAccess{CreatedAt: now.Add(tt.created), ExpiresAt: now.Add(tt.expires)}, now)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestForgotUse: what may have been used before the database was put back is not
// used, and what came after that is.
func TestForgotUse(t *testing.T) {
	const until, hour = model.HLC(1_000), model.HLC(time.Hour)
	taken := time.Unix(1, 0)
	for _, tt := range []struct {
		name  string
		lapse *lapse
		mark  *mark
		made  model.HLC
		own   bool
		want  bool
	}{
		{"no lapse", nil, nil, 1, false, false},
		{"of before the lapse", &lapse{until: until}, nil, until, true, true},
		{"own, of after", &lapse{until: until}, nil, until + 1, true, false},
		{"another's, perhaps by a clock that was ahead", &lapse{until: until}, nil, until + model.HLC(maxAhead), false, true},
		{"another's, of after", &lapse{until: until}, nil, until + hour, false, false},
		{"in a copy", nil, &mark{taken: taken, until: until}, until, true, true},
		{"made after the copy was put back", nil, &mark{taken: taken, until: until}, until + 1, true, false},
		{"in a copy that was confirmed", nil, &mark{until: until}, until, true, false},
	} {
		if got := tt.lapse.forgotUse(tt.made, tt.own) || tt.mark.forgotUse(tt.made); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}
