package drivertest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
)

// bench is what one rule works with: an open driver, and a memory of what was
// allocated so that it can be removed whatever happens.
type bench struct {
	testing.TB
	h      Harness
	driver drivers.Driver // nil while closed

	mu   sync.Mutex
	made map[string]drivers.Ref // by token: what may exist
}

func (b *bench) open() {
	b.driver = b.h.New(b)
	if b.driver == nil {
		b.Fatalf("New() = nil")
	}
}

// restart closes the driver and opens it again, as a restarted node does.
func (b *bench) restart() {
	b.Helper()
	if err := b.driver.Close(); err != nil {
		b.Errorf("Close() = %v", err)
	}
	b.driver = nil
	b.open()
}

// cleanUp removes what the rule may have made, and checks that List agrees.
func (b *bench) cleanUp() {
	if b.driver == nil {
		b.open()
	}
	for _, ref := range b.made {
		if err := b.deallocate(ref); err != nil {
			b.Errorf("Deallocate(%s) at the end of the rule = %v, want nil", name(ref), err)
		}
	}
	if refs := b.list(); len(refs) != 0 {
		b.Errorf("List() after everything was deallocated = %v, want nothing", refs)
	}
	if err := b.driver.Close(); err != nil {
		b.Errorf("Close() = %v", err)
	}
}

// request makes a request with a fresh token and notes that it may exist.
func (b *bench) request() drivers.Request {
	token := make([]byte, 16)
	_, _ = rand.Read(token) // never fails
	req := drivers.Request{
		ApplicationUID: uuid.New(),
		Token:          hex.EncodeToString(token),
		Definition:     b.h.Definition,
		Metadata:       json.RawMessage(`{"KEY":"value"}`),
		LabelMetadata:  json.RawMessage(`{}`),
		MetadataURL:    "https://127.0.0.1:8001/meta/v1/0123456789abcdef0123456789abcdef/data/",
		Proxy:          metadata.Proxy{Listener: netip.MustParseAddrPort("[::]:1080"), User: "user", Password: "secret"},
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.made[req.Token] = reference(req, "")
	return req
}

// reference is what the node stores about a request.
func reference(req drivers.Request, identifier string) drivers.Ref {
	return drivers.Ref{Token: req.Token, Identifier: identifier,
		ApplicationUID: req.ApplicationUID, Definition: req.Definition}
}

// name is a reference in a message.
func name(ref drivers.Ref) string { return "token " + ref.Token + ", identifier " + ref.Identifier }

// call is the context of a call that nobody cancels.
func (b *bench) call() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), b.h.Timeout)
}

// allocate makes an environment; the rule can not go on without it.
func (b *bench) allocate(req drivers.Request) drivers.Environment {
	b.Helper()
	ctx, cancel := b.call()
	defer cancel()
	env, err := b.driver.Allocate(ctx, req)
	if err != nil {
		b.Fatalf("Allocate() = %v", err)
	}
	if env.Identifier == "" {
		b.Fatalf("Allocate() = %+v, want an identifier", env)
	}
	return env
}

// allocateNew makes an environment with a fresh token.
func (b *bench) allocateNew() (drivers.Ref, drivers.Environment) {
	b.Helper()
	req := b.request()
	env := b.allocate(req)
	return reference(req, env.Identifier), env
}

func (b *bench) deallocate(ref drivers.Ref) error {
	ctx, cancel := b.call()
	defer cancel()
	return b.driver.Deallocate(ctx, ref)
}

// remove deallocates and checks that nothing is left of the reference.
func (b *bench) remove(ref drivers.Ref) {
	b.Helper()
	if err := b.deallocate(ref); err != nil {
		b.Errorf("Deallocate(%s) = %v, want nil", name(ref), err)
	}
	b.wantAbsent(ref)
}

func (b *bench) inspect(ref drivers.Ref) drivers.Report {
	b.Helper()
	ctx, cancel := b.call()
	defer cancel()
	report, err := b.driver.Inspect(ctx, ref)
	if err != nil {
		b.Fatalf("Inspect(%s) = %v", name(ref), err)
	}
	return report
}

func (b *bench) wantAbsent(ref drivers.Ref) {
	b.Helper()
	if got := b.inspect(ref).Presence; got != drivers.Absent {
		b.Errorf("Inspect(%s) says %s, want Absent", name(ref), presence(got))
	}
}

func (b *bench) wantRunning(ref drivers.Ref, want drivers.Environment) {
	b.Helper()
	got := b.inspect(ref)
	if got.Presence != drivers.Running {
		b.Errorf("Inspect(%s) says %s, want Running", name(ref), presence(got.Presence))
		return
	}
	if diff := cmp.Diff(want, got.Environment); diff != "" {
		b.Errorf("Inspect(%s) shows another environment than Allocate (-allocated +inspected):\n%s", name(ref), diff)
	}
}

func presence(p drivers.Presence) string {
	names := []string{drivers.Absent: "Absent", drivers.Partial: "Partial", drivers.Running: "Running", drivers.Ended: "Ended"}
	if p < 0 || int(p) >= len(names) {
		return "an unknown presence"
	}
	return names[p]
}

func (b *bench) list() []drivers.Ref {
	b.Helper()
	return b.listOf(b.driver)
}

func (b *bench) listOf(d drivers.Driver) []drivers.Ref {
	b.Helper()
	ctx, cancel := b.call()
	defer cancel()
	refs, err := d.List(ctx)
	if err != nil {
		b.Fatalf("List() = %v", err)
	}
	return refs
}

// listed finds a token in the answer of List.
func (b *bench) listed(token string) (drivers.Ref, bool) {
	b.Helper()
	refs := b.list()
	i := slices.IndexFunc(refs, func(r drivers.Ref) bool { return r.Token == token })
	if i < 0 {
		return drivers.Ref{}, false
	}
	return refs[i], true
}

// countPause is between two looks outside; steadyLooks of them that agree are
// taken for what will stay. Whoever passes through meanwhile (a shell on its way
// to be an entry, a process between two programs) does so in milliseconds.
const (
	countPause  = 10 * time.Millisecond
	steadyLooks = 5
)

// count is how much exists outside right now; 0 where it can not be counted.
func (b *bench) count() int {
	b.Helper()
	if b.h.Count == nil {
		return 0
	}
	return b.h.Count(b)
}

// steady is how much exists outside when that no longer changes: right after a
// call returned something may still be on its way out.
func (b *bench) steady() int {
	b.Helper()
	last, same := b.count(), 1
	for deadline := time.Now().Add(b.h.Patience); same < steadyLooks && time.Now().Before(deadline); {
		time.Sleep(countPause)
		if n := b.count(); n != last {
			last, same = n, 0
		}
		same++
	}
	return last
}

// wantCount fails unless the number of things outside becomes right within the
// harness's patience: what only passes by may, what stays may not. It does
// nothing where things can not be counted.
func (b *bench) wantCount(when, want string, right func(n int) bool) {
	b.Helper()
	if b.h.Count == nil {
		return
	}
	n := b.count()
	for deadline := time.Now().Add(b.h.Patience); !right(n) && time.Now().Before(deadline); n = b.count() {
		time.Sleep(countPause)
	}
	if !right(n) {
		b.Errorf("%s: %d things exist outside, want %s", when, n, want)
	}
}

// wantCountOf fails unless as many things as before exist outside, soon.
func (b *bench) wantCountOf(before int, when string) {
	b.Helper()
	b.wantCount(when, fmt.Sprintf("%d as before", before), func(n int) bool { return n == before })
}

// within fails where a call takes longer than the harness has patience for.
// A call that never returns ends the rule.
func (b *bench) within(what string, call func()) {
	b.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	select {
	case <-done:
	case <-time.After(b.h.Patience):
		b.Errorf("%s did not return within %v", what, b.h.Patience)
		select {
		case <-done:
		case <-time.After(b.h.Timeout):
			b.Fatalf("%s did not return at all", what)
		}
	}
}
