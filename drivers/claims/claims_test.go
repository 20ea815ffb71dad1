package claims

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// mine is an arbitrary owner.
func mine() Owner {
	return Owner{uuid.MustParse("11111111-2222-4333-8444-555555555555"), "native"}
}

// options are of a driver in which a token may take three names, of which all
// tokens with the same first letter take the first.
func options(path string) Options {
	return Options{
		Path: path, Owner: mine(), Mode: 0o711, File: "spec.json", Isolation: "user", Marks: true,
		Names: func(token string) []string {
			token = strings.ToLower(token)
			return []string{"fish-" + token[:1], "fish-" + token[:2], "fish-" + token[:3]}
		},
		Pattern: regexp.MustCompile(`^fish-[0-9a-f]{1,3}$`), Logger: slog.New(slog.DiscardHandler),
	}
}

func open(t *testing.T, o Options) *Workspace {
	t.Helper()
	w, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func request(token string) drivers.Request {
	return drivers.Request{Token: token, ApplicationUID: uuid.MustParse("aaaaaaaa-2222-4333-8444-555555555555")}
}

func claimed(t *testing.T, w *Workspace, req drivers.Request) Claim {
	t.Helper()
	c, err := w.Claim(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// token is one that begins with some hex digits.
func token(begin string) string { return begin + strings.Repeat("0", 32-len(begin)) }

// names are what is in a folder.
func names(t *testing.T, path string) []string {
	t.Helper()
	found, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range found {
		list = append(list, f.Name())
	}
	return list
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestLife(t *testing.T) {
	w := open(t, options(filepath.Join(t.TempDir(), "new", "w")))
	req := request(token("a1"))
	req.Definition.Resources.Disks = map[string]model.Disk{"own": {Size: 3}, "kept": {Size: 5, Reuse: true}}
	c := claimed(t, w, req)
	want := Claim{
		Owner: mine(), Name: "fish-a", Token: req.Token, Application: req.ApplicationUID, Isolation: "user", Made: c.Made, DiskGB: 3,
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("Claim(): %s", diff)
	}
	if again := claimed(t, w, req); !cmp.Equal(again, c) {
		t.Errorf("a second Claim() = %+v, want the first, %+v", again, c)
	}
	if got := names(t, w.Folder(c.Name)); !cmp.Equal(got, []string{"spec.json", "stop.reserve"}) {
		t.Errorf("in the folder are %q", got)
	}
	for what, ref := range map[string]drivers.Ref{
		"token": {Token: req.Token}, "token in capitals": {Token: strings.ToUpper(req.Token)}, "name": {Identifier: c.Name},
	} {
		if got, ok, err := w.Find(ref); err != nil || !ok || !cmp.Equal(got, c) {
			t.Errorf("Find() by %s = %+v, %v, %v, want the claim", what, got, ok, err)
		}
	}
	if got, err := w.List(t.Context()); err != nil || !cmp.Equal(got, []Claim{c}) {
		t.Errorf("List() = %+v, %v, want the claim", got, err)
	}
	if err := errors.Join(w.Stands(c), w.Discard(c)); err != nil {
		t.Error(err)
	}
	if err := w.Stands(c); !errors.Is(err, ErrVanished) {
		t.Errorf("Stands() of what is gone = %v, want %v", err, ErrVanished)
	}
	if err := w.Discard(c); err != nil {
		t.Errorf("a second Discard() = %v", err)
	}
	if left := names(t, w.Path()); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestEarlierClaims: what earlier versions of the drivers wrote is found again.
func TestEarlierClaims(t *testing.T) {
	const owner = `"node":"11111111-2222-4333-8444-555555555555","instance":"native",`
	const app = `"application":"aaaaaaaa-2222-4333-8444-555555555555"`
	made := time.Date(2026, 11, 23, 4, 5, 6, 0, time.UTC)
	for name, tt := range map[string]struct {
		text string
		want Claim
	}{
		"native": {
			`{` + owner + `"identifier":"fish-a1","token":"` + token("a1") + `",` + app + `,"isolation":"process","made":"2026-11-23T04:05:06Z","disk_gb":7}`,
			Claim{Isolation: "process", Made: made, DiskGB: 7},
		},
		"docker": {`{` + owner + `"token":"` + token("a1") + `",` + app + `,"disk_gb":7}`, Claim{DiskGB: 7}},
		"vmx": {
			`{` + owner + `"name":"005056000001","token":"` + token("a1") + `",` + app + `,"made":"2026-11-23T04:05:06Z"}`,
			Claim{Made: made},
		},
	} {
		w := open(t, options(t.TempDir()))
		write(t, filepath.Join(w.Folder("fish-a1"), "spec.json"), tt.text)
		want := tt.want
		want.Owner, want.Name, want.Token, want.Application = mine(), "fish-a1", token("a1"), request("").ApplicationUID
		got, ok, err := w.Find(drivers.Ref{Token: token("a1")})
		if err != nil || !ok || !cmp.Equal(got, want) {
			t.Errorf("%s: Find() = %+v, %v, %v, want %+v", name, got, ok, err, want)
		}
		if err := errors.Join(w.Stop(got), w.Stop(got)); err != nil { // nothing was reserved
			t.Errorf("%s: Stop() = %v", name, err)
		}
		if err := w.Stands(got); !errors.Is(err, ErrStopping) {
			t.Errorf("%s: Stands() after Stop() = %v, want %v", name, err, ErrStopping)
		}
	}
}

// TestNamesThatAreTaken: the token takes the next one.
func TestNamesThatAreTaken(t *testing.T) {
	o := options(t.TempDir())
	inUse := map[string]bool{"fish-a1": true}
	o.Taken = func(_ context.Context, name string) (bool, error) { return inUse[name], nil }
	w := open(t, o)
	claimed(t, w, request(token("a0")))
	if c := claimed(t, w, request(token("a1b"))); c.Name != "fish-a1b" {
		t.Errorf("Claim() took %s, want the one that neither a folder nor the system has", c.Name)
	}
	inUse["fish-a1b"] = true // by the environment itself now
	if c := claimed(t, w, request(token("a1b"))); c.Name != "fish-a1b" {
		t.Errorf("a second Claim() took %s, want the same", c.Name)
	}
	for name := range map[string]bool{"fish-c": true, "fish-c0": true, "fish-c00": true} {
		inUse[name] = true
	}
	if c, err := w.Claim(t.Context(), request(token("c"))); err == nil {
		t.Errorf("Claim() with every name taken = %+v, want an error", c)
	}
	for _, bad := range []string{"", "1", strings.Repeat("g", 32), strings.Repeat("0", 33), "../" + token("")[3:]} {
		if c, err := w.Claim(t.Context(), request(bad)); err == nil || !strings.Contains(err.Error(), "32 hex digits") {
			t.Errorf("Claim() of the token %q = %+v, %v", bad, c, err)
		}
	}
	o.Taken = func(context.Context, string) (bool, error) { return false, errors.New("no answer") }
	if c, err := open(t, o).Claim(t.Context(), request(token("d"))); err == nil || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("Claim() that could not find out = %+v, %v", c, err)
	}
}

// TestStrangers: of another instance, another node and an identifier that leads
// elsewhere nothing is found, and nothing touched.
func TestStrangers(t *testing.T) {
	dir := t.TempDir()
	w := open(t, options(dir))
	claimed(t, w, request(token("a")))
	for _, other := range []Owner{{mine().Node, "native/other"}, {uuid.New(), "native"}} {
		o := options(dir)
		o.Owner = other
		foreign := open(t, o)
		for _, ref := range []drivers.Ref{{Token: token("a")}, {Identifier: "fish-a"}, {Identifier: "../" + filepath.Base(dir) + "/fish-a"}, {}} {
			if c, ok, err := foreign.Find(ref); ok || err != nil {
				t.Errorf("Find(%+v) of %v = %+v, %v", ref, other, c, err)
			}
		}
		if list, err := foreign.List(t.Context()); len(list) > 0 || err != nil {
			t.Errorf("List() of %v = %+v, %v", other, list, err)
		}
		if !foreign.Lives(volume.Holder{Identifier: "fish-a", Token: token("a")}) {
			t.Errorf("Lives() of %v = false for an environment of another that is there", other)
		}
	}
	for _, gone := range []volume.Holder{{Identifier: "fish-a", Token: token("b")}, {Identifier: "fish-b", Token: token("b")}, {Identifier: "../x"}, {}} {
		if w.Lives(gone) {
			t.Errorf("Lives(%+v) = true, want false", gone)
		}
	}
}

// TestIdentifiersThatAreNoNames: a driver says which name they speak of.
func TestIdentifiersThatAreNoNames(t *testing.T) {
	o := options(t.TempDir())
	o.NameOf = func(workspace, identifier string) string {
		name, _ := strings.CutPrefix(identifier, workspace+":")
		return name
	}
	w := open(t, o)
	c := claimed(t, w, request(token("a")))
	if got, ok, err := w.Find(drivers.Ref{Identifier: w.Path() + ":" + c.Name}); err != nil || !ok || got.Token != c.Token {
		t.Errorf("Find() = %+v, %v, %v, want the claim", got, ok, err)
	}
	if got, ok, err := w.Find(drivers.Ref{Identifier: "elsewhere:" + c.Name}); ok || err != nil {
		t.Errorf("Find() of a stranger's identifier = %+v, %v", got, err)
	}
}

// TestBrokenClaim: it is never taken for absent, says what to do, and hides none
// of the others.
func TestBrokenClaim(t *testing.T) {
	whose := `"node":"11111111-2222-4333-8444-555555555555","instance":"native"`
	for name, text := range map[string]string{
		"nothing": "", "zeros": "\x00\x00", "half": `{` + whose + `,"token":"b0`, "no object": "null", "of nobody": "{}",
		"no node": `{"instance":"native","token":"` + token("b") + `"}`, "no token": `{` + whose + `}`, "half a token": `{` + whose + `,"token":"b0"}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t, options(t.TempDir()))
			path := filepath.Join(w.Folder("fish-b"), "spec.json")
			write(t, path, text)
			if c, ok, err := w.Find(drivers.Ref{Token: token("b")}); !isUnreadable(err, path) {
				t.Errorf("Find() = %+v, %v, %v, want what to do", c, ok, err)
			}
			if !w.Lives(volume.Holder{Identifier: "fish-b", Token: token("b")}) {
				t.Error("Lives() = false where nobody knows")
			}
			first, last := claimed(t, w, request(token("a"))), claimed(t, w, request(token("c")))
			if all, err := w.List(t.Context()); !cmp.Equal(all, []Claim{first, last}) || !isUnreadable(err, path) {
				t.Errorf("List() = %+v, %v, want the others, and what to do", all, err)
			}
			if n, err := w.written(t.Context()); n != 0 || err != nil {
				t.Errorf("written() = %d, %v, want what the others have written", n, err)
			}
		})
	}
}

// isUnreadable reports whether an error is that of a claim and says what to do.
func isUnreadable(err error, path string) bool {
	var u *UnreadableError
	return errors.As(err, &u) && u.Path == path && strings.Contains(err.Error(), path) && strings.Contains(err.Error(), "remove the folder")
}

// TestBrokenClaimOfTheSameName: an environment that had to take another name, as
// this was taken, is found all the same.
func TestBrokenClaimOfTheSameName(t *testing.T) {
	w := open(t, options(t.TempDir()))
	claimed(t, w, request(token("a1")))
	c := claimed(t, w, request(token("a2")))
	path := filepath.Join(w.Folder("fish-a"), "spec.json")
	write(t, path, "{")
	if got, ok, err := w.Find(drivers.Ref{Token: c.Token}); err != nil || !ok || !cmp.Equal(got, c) {
		t.Errorf("Find() = %+v, %v, %v, want %+v", got, ok, err, c)
	}
	for _, unsure := range []string{token("a1"), token("a3")} {
		if got, err := w.Claim(t.Context(), request(unsure)); !isUnreadable(err, path) {
			t.Errorf("Claim() of a token that may be there = %+v, %v, want what to do", got, err)
		}
	}
}

// TestManyBrokenClaims: such as those of a node that runs as another user.
func TestManyBrokenClaims(t *testing.T) {
	w := open(t, options(t.TempDir()))
	for n := range 200 {
		write(t, filepath.Join(w.Folder(fmt.Sprintf("fish-%03x", n)), "spec.json"), "")
	}
	c := claimed(t, w, request(token("a")))
	all, err := w.List(t.Context())
	if !cmp.Equal(all, []Claim{c}) || err == nil || len(err.Error()) > 4<<10 || !strings.Contains(err.Error(), "195 more") {
		t.Errorf("List() = %+v, %v, want the other, some of the errors and how many there are", all, err)
	}
}

// TestSweep: a start removes what nobody is at any more, and nothing else.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	w := open(t, options(dir))
	claimed(t, w, request(token("a")))
	for _, name := range []string{w.Prefix() + "1", newPrefix + "young", newPrefix + "old", newPrefix + "later", gonePrefix + "fish-b-x", ".disks", "what else"} {
		write(t, filepath.Join(dir, name, "f"), "")
	}
	for name, age := range map[string]time.Duration{"young": abandoned / 2, "old": 2 * abandoned, "later": -2 * abandoned} { // the clock was set back
		at := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(dir, newPrefix+name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	open(t, options(dir))
	if got, want := names(t, dir), []string{".disks", newPrefix + "later", newPrefix + "young", "fish-a", "what else"}; !cmp.Equal(got, want) {
		t.Errorf("after the start there are %q, want %q", got, want)
	}
}

// TestWhereItMayNot: the start says so.
func TestWhereItMayNot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	for _, path := range []string{file, filepath.Join(file, "w")} {
		if _, err := Open(options(path)); err == nil || !strings.Contains(err.Error(), "workspace_path (allow it") {
			t.Errorf("Open(%s) = %v, want what to do", path, err)
		}
	}
}

// TestRemovedByHand: a workspace that somebody removed is made again.
func TestRemovedByHand(t *testing.T) {
	w := open(t, options(filepath.Join(t.TempDir(), "w")))
	for _, do := range []func() error{
		func() error { _, err := w.List(t.Context()); return err },
		func() error { _, err := w.Claim(t.Context(), request(token("a"))); return err },
		func() error {
			_, err := w.count(t.Context(), func(context.Context) (volume.Kept, error) { return nil, nil })
			return err
		},
	} {
		if err := os.RemoveAll(w.Path()); err != nil {
			t.Fatal(err)
		}
		if err := do(); err != nil {
			t.Error(err)
		}
	}
}

// TestDiscardBesideRemains: a folder that could not be removed whole, such as
// one that was held open, keeps the next one of its name from nothing.
func TestDiscardBesideRemains(t *testing.T) {
	w := open(t, options(t.TempDir()))
	write(t, filepath.Join(w.Path(), gonePrefix+"fish-a-"+token("a"), "held"), "")
	c := claimed(t, w, request(token("a")))
	if err := w.Discard(c); err != nil {
		t.Fatal(err)
	}
	if there, err := w.There(c); err != nil || there {
		t.Errorf("There() after Discard() = %v, %v", there, err)
	}
	w = open(t, options(w.Path()))
	if left := names(t, w.Path()); len(left) > 0 {
		t.Errorf("after the next start there is %q", left)
	}
}

// TestWritten: what an environment writes to its disks is part of what it was
// promised, and no more of it than that.
func TestWritten(t *testing.T) {
	const mb = 1 << 20
	dir := t.TempDir()
	place := func(o Owner, tok string, gb uint) {
		opts := options(dir)
		opts.Owner = o
		w := open(t, opts)
		req := request(tok)
		req.Definition.Resources.Disks = map[string]model.Disk{"d": {Size: gb}}
		c := claimed(t, w, req)
		write(t, filepath.Join(volume.DisksOf(w.Folder(c.Name)), "d", "data", "f"), string(make([]byte, 8*mb)))
	}
	place(mine(), token("a"), 1)
	place(Owner{mine().Node, "native/other"}, token("b"), 1) // counted by that one
	place(Owner{uuid.New(), "native"}, token("c"), 1)        // another node's promises are not ours
	place(mine(), token("d"), 0)                             // promised nothing
	if n, err := open(t, options(dir)).written(t.Context()); err != nil || n < 8*mb || n > 9*mb {
		t.Errorf("written() = %d, %v, want 8 MB and some folders", n, err)
	}
}

func TestRoom(t *testing.T) {
	dir := t.TempDir()
	w := open(t, options(dir))
	r, err := w.Join(RoomOptions{
		Kept:       func(context.Context) (volume.Kept, error) { return volume.Kept{"cache": 2 << 30}, nil },
		ImagesPath: dir, Reserved: func() int64 { return 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Leave()
	def := model.LabelDefinition{Resources: model.Resources{Disks: map[string]model.Disk{
		"own": {Type: "raw", Size: 20}, "cache": {Type: "raw", Size: 5, Reuse: true},
	}}}
	if gb, on := r.DiskNeed(def); gb != 23 || on == "" {
		t.Errorf("DiskNeed() = %d GB on %q, want 20 and what the reused one may grow", gb, on)
	}
	if room, err := r.DiskRoom(); err != nil || room.Total == 0 || room.Free > room.Total {
		t.Errorf("DiskRoom() = %+v, %v", room, err)
	}
}

// TestOneAtATime: who holds an environment holds off who wants it by token, by
// name or to go on making it, and finds nothing afterwards that was removed.
func TestOneAtATime(t *testing.T) {
	w := open(t, options(t.TempDir()))
	c := claimed(t, w, request(token("a")))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err := w.Hold(t.Context(), drivers.Ref{Identifier: c.Name}, func(got Claim, found bool) error {
		if !found || got.Token != c.Token {
			t.Errorf("Hold() found %+v, %v", got, found)
		}
		_, claimErr := w.Claim(ended, request(c.Token))
		_, turnErr := w.Turn(ended, c)
		for what, err := range map[string]error{
			"Claim()": claimErr, "Turn()": turnErr,
			"Hold() by token": w.Hold(ended, drivers.Ref{Token: strings.ToUpper(c.Token)}, func(Claim, bool) error { return nil }),
			"Hold() by name":  w.Hold(ended, drivers.Ref{Identifier: c.Name}, func(Claim, bool) error { return nil }),
		} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s meanwhile = %v, want to wait", what, err)
			}
		}
		return w.Discard(got)
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the turn was given on
		if _, err := w.Turn(t.Context(), c); !errors.Is(err, ErrVanished) {
			t.Errorf("Turn() of what is gone = %v, want %v", err, ErrVanished)
		}
	}
	err = w.Hold(t.Context(), drivers.Ref{Identifier: c.Name}, func(_ Claim, found bool) error {
		if found {
			t.Error("Hold() found what is gone")
		}
		return errNothing
	})
	if !errors.Is(err, errNothing) {
		t.Errorf("Hold() = %v, want what was returned in it", err)
	}
}

// TestNameThatBecameAnothers: who waits for an environment by its name does not
// work on the next one that has the name beside who does.
func TestNameThatBecameAnothers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := open(t, options(t.TempDir()))
		first := claimed(t, w, request(token("a1")))
		done, err := w.Turn(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan Claim, 1)
		go func() {
			err := w.Hold(t.Context(), drivers.Ref{Identifier: first.Name}, func(c Claim, _ bool) error { got <- c; return nil })
			if err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		if err := w.Discard(first); err != nil {
			t.Fatal(err)
		}
		next := claimed(t, w, request(token("a2")))
		making, err := w.Turn(t.Context(), next)
		if err != nil || next.Name != first.Name {
			t.Fatalf("Turn() of %s = %v: nothing is tested", next.Name, err)
		}
		done()
		synctest.Wait()
		select {
		case <-got:
			t.Error("Hold() did something with the next environment, which somebody makes")
		default:
		}
		making()
		if c := <-got; c.Token != next.Token {
			t.Errorf("Hold() of the name = %s, want what has it", c.Token)
		}
	})
}

var errNothing = errors.New("nothing there")

// TestDo: in order, until one fails, which is named.
func TestDo(t *testing.T) {
	var log bytes.Buffer
	did := ""
	step := func(name string, err error) Step {
		return Step{name, func(context.Context) error { did += name; return err }}
	}
	err := Do(t.Context(), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		[]Step{step("a", nil), step("b", errNothing), step("c", nil)})
	if did != "ab" || !errors.Is(err, errNothing) || !strings.HasPrefix(fmt.Sprint(err), "b: ") {
		t.Errorf("Do() did %q and returned %v", did, err)
	}
	if !strings.Contains(log.String(), "step=a") || strings.Contains(log.String(), "step=b") {
		t.Errorf("logged: %s", &log)
	}
}
