package account

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const (
	testName = "fish-abcdef"
	testHome = "/var/fish/fish-abcdef/home"
)

func kinds() []tools { return []tools{shadow{}, busybox{}, directory{}} }

func kindName(kind tools) string { return strings.TrimPrefix(fmt.Sprintf("%T", kind), "account.") }

// uidOf is the uid that a name gets on a machine where it is free.
func uidOf(t *testing.T, name string) string {
	t.Helper()
	want := person{name: name}
	if free, err := newFake(t).accounts(shadow{}).pick(&want, 0); err != nil || !free {
		t.Fatal(free, err)
	}
	return strconv.Itoa(want.uid)
}

func TestCommands(t *testing.T) {
	uid := uidOf(t, testName)
	tests := []struct {
		name         string
		kind         tools
		groups       []string
		make, remove []string
	}{
		{
			name: "useradd, own group", kind: shadow{},
			make: []string{
				"groupadd --system --gid UID NAME",
				"useradd --system --no-log-init --no-create-home --home-dir HOME --shell /bin/sh --comment Aquarium Fish node-1 " +
					"--no-user-group --gid NAME --uid UID NAME",
			},
			remove: []string{"userdel NAME", "groupdel NAME"},
		},
		{
			name: "useradd, groups", kind: shadow{}, groups: []string{"games", "video", "staff", "video"},
			make: []string{"useradd --system --no-log-init --no-create-home --home-dir HOME --shell /bin/sh " +
				"--comment Aquarium Fish node-1 --no-user-group --gid games --uid UID --groups video,staff NAME"},
			remove: []string{"userdel NAME"},
		},
		{
			name: "busybox, own group", kind: busybox{},
			make:   []string{"busybox adduser -D -H -h HOME -s /bin/sh -g Aquarium Fish node-1 -u UID NAME"},
			remove: []string{"busybox deluser NAME", "busybox delgroup NAME"},
		},
		{
			name: "busybox, groups", kind: busybox{}, groups: []string{"games", "video"},
			make: []string{
				"busybox adduser -D -H -h HOME -s /bin/sh -g Aquarium Fish node-1 -u UID -G games NAME",
				"busybox addgroup NAME video",
			},
			remove: []string{"busybox deluser NAME"},
		},
		{
			name: "macOS, no groups", kind: directory{},
			make: []string{
				"dscl . -create /Users/NAME RealName Aquarium Fish node-1", "dscl . -create /Users/NAME NFSHomeDirectory HOME",
				"dscl . -create /Users/NAME UserShell /bin/sh", "dscl . -create /Users/NAME IsHidden 1",
				"dscl . -create /Users/NAME PrimaryGroupID 20", "dscl . -create /Users/NAME UniqueID UID",
			},
			remove: []string{"dscl . -delete /Users/NAME"},
		},
		{
			name: "macOS, groups", kind: directory{}, groups: []string{"games", "video"},
			make: []string{
				"dscl . -create /Users/NAME RealName Aquarium Fish node-1", "dscl . -create /Users/NAME NFSHomeDirectory HOME",
				"dscl . -create /Users/NAME UserShell /bin/sh", "dscl . -create /Users/NAME IsHidden 1",
				"dscl . -create /Users/NAME PrimaryGroupID 60", "dscl . -create /Users/NAME UniqueID UID",
				"dseditgroup -o edit -a NAME -t user video",
			},
			remove: []string{"dseditgroup -o edit -d NAME -t user video", "dscl . -delete /Users/NAME"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t)
			a := f.accounts(test.kind)
			user, err := a.Ensure(t.Context(), testName, testHome, test.groups)
			if err != nil || strconv.Itoa(user.UID) != uid || user.Home != testHome || !user.Ours {
				t.Errorf("Ensure() = %+v, %v, want our user with uid %s", user, err, uid)
			}
			fill := strings.NewReplacer("NAME", testName, "HOME", testHome, "UID", uid)
			expect := func(want []string) {
				t.Helper()
				got := slices.DeleteFunc(f.argvs, func(argv string) bool {
					return strings.HasPrefix(argv, "sh ") || strings.Contains(argv, "-list")
				})
				for i := range want {
					want[i] = fill.Replace(want[i])
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("commands (-want +got):\n%s", diff)
				}
				f.argvs = nil
			}
			expect(test.make)
			if _, err := a.Ensure(t.Context(), testName, testHome, test.groups); err != nil {
				t.Error(err)
			}
			expect(nil) // it is there
			if err := a.Remove(t.Context(), testName); err != nil {
				t.Error(err)
			}
			expect(test.remove)
			if got := f.leftovers(); len(got) != 0 {
				t.Errorf("left: %v", got)
			}
		})
	}
}

// TestInterrupted ends the process at any command of Ensure and of Remove: the
// next process completes both, and nothing is left.
func TestInterrupted(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kindName(kind), func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				f := newFake(t)
				groups := rapid.SampledFrom([][]string{nil, {"games"}, {"video", "games", "staff"}}).Draw(r, "groups")
				interrupt := func(what string) context.Context {
					ctx, cancel := context.WithCancel(t.Context())
					f.argvs, f.kill = nil, cancel
					f.killAt, f.after = rapid.IntRange(1, 12).Draw(r, what), rapid.Bool().Draw(r, what+" after")
					return ctx
				}
				goOn := func() { f.argvs, f.killAt = nil, 0 }
				killed := func(err error) bool { return errors.Is(err, errKilled) || errors.Is(err, context.Canceled) }
				for range rapid.IntRange(0, 3).Draw(r, "kills") {
					_, err := f.accounts(kind).Ensure(interrupt("kill in Ensure"), testName, testHome, groups)
					if err != nil && !killed(err) {
						r.Fatalf("Ensure() = %v", err)
					}
				}
				goOn()
				if rapid.Bool().Draw(r, "complete") {
					user, err := f.accounts(kind).Ensure(t.Context(), testName, testHome, groups)
					if err != nil || !user.Ours || user.Home != testHome || len(user.Groups) != max(1, len(groups)) {
						r.Fatalf("Ensure() = %+v, %v after kills, want it complete with groups %v", user, err, groups)
					}
				}
				f.alive = rapid.IntRange(0, 2).Draw(r, "processes")
				for range rapid.IntRange(0, 3).Draw(r, "kills in Remove") {
					if err := f.accounts(kind).Remove(interrupt("kill in Remove"), testName); err != nil && !killed(err) {
						r.Fatalf("Remove() = %v", err)
					}
				}
				goOn()
				if err := f.accounts(kind).Remove(t.Context(), testName); err != nil {
					r.Fatalf("Remove() = %v", err)
				}
				if got := f.leftovers(); len(got) != 0 {
					r.Fatalf("left: %v", got)
				}
			})
		})
	}
}

func TestForeignUserIsLeftAlone(t *testing.T) {
	for _, kind := range kinds() {
		for _, comment := range []string{"", "Alice", "Aquarium Fish node-2"} {
			t.Run(kindName(kind)+" "+comment, func(t *testing.T) {
				f := newFake(t)
				f.users[testName] = &entry{name: testName, comment: comment, uid: 4711, gid: 20, home: testHome}
				a := f.accounts(kind)
				if _, err := a.Ensure(t.Context(), testName, testHome, nil); !errors.Is(err, ErrTaken) {
					t.Errorf("Ensure() = %v, want ErrTaken", err)
				}
				if user, found, err := a.Lookup(t.Context(), testName); err != nil || !found || user.Ours || user.UID != 4711 {
					t.Errorf("Lookup() = %+v, %v, %v, want it found and not ours", user, found, err)
				}
				if err := errors.Join(a.KillAll(t.Context(), testName), a.Remove(t.Context(), testName)); err != nil {
					t.Error(err)
				}
				if names, err := a.List(t.Context()); err != nil || len(names) != 0 {
					t.Errorf("List() = %v, %v, want none", names, err)
				}
				for _, argv := range f.argvs {
					if !strings.Contains(argv, "-list") {
						t.Errorf("ran %q on behalf of a foreign user", argv)
					}
				}
			})
		}
	}
}

func TestEnsureRefuses(t *testing.T) {
	tests := []struct {
		name, user, home string
		groups           []string
		says             string
	}{
		{"shell text as name", "x; reboot", testHome, nil, "check user name"},
		{"flag as name", "-x", testHome, nil, "check user name"},
		{"relative home", testName, "home", nil, "absolute path"},
		{"colon in home", testName, "/a:0:0", nil, "absolute path"},
		{"line break in home", testName, "/a\nroot::0:0", nil, "absolute path"},
		{"missing group", testName, testHome, []string{"games", "nosuch"}, `group "nosuch"`},
		{"group with a comma", testName, testHome, []string{"games,root"}, `group "games,root"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t)
			if _, err := f.accounts(shadow{}).Ensure(t.Context(), test.user, test.home, test.groups); err == nil ||
				!strings.Contains(err.Error(), test.says) {
				t.Errorf("Ensure() = %v, want an error with %q", err, test.says)
			}
			if len(f.argvs) != 0 {
				t.Errorf("ran %v, want nothing", f.argvs)
			}
		})
	}
	f := newFake(t)
	a := f.accounts(shadow{})
	if _, err := a.Ensure(t.Context(), testName, testHome, []string{"nosuch"}); !errors.Is(err, ErrNoGroup) {
		t.Errorf("Ensure() = %v, want ErrNoGroup", err)
	}
	if _, err := a.Ensure(t.Context(), testName, testHome, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Ensure(t.Context(), testName, "/other", nil); !errors.Is(err, ErrTaken) {
		t.Errorf("Ensure(other home) = %v, want ErrTaken", err)
	}
}

func TestUIDTaken(t *testing.T) {
	f := newFake(t)
	first, err := strconv.Atoi(uidOf(t, testName))
	if err != nil {
		t.Fatal(err)
	}
	f.users["other"] = &entry{name: "other", uid: first} // the lookup knows
	refused := 0
	f.answer = func(argv []string) (Result, bool) { // only the tool knows, as of a directory server's users
		if argv[0] == "useradd" && after(argv, "--uid") == strconv.Itoa(first+1) {
			refused++
			return Result{Code: 4, Output: "UID is not unique"}, true
		}
		return Result{}, false
	}
	user, err := f.accounts(shadow{}).Ensure(t.Context(), testName, testHome, []string{"games"})
	if err != nil || user.UID != first+2 || refused != 1 {
		t.Errorf("Ensure() = %+v, %v, want the third uid %d", user, err, first+2)
	}
	f = newFake(t)
	f.answer = func([]string) (Result, bool) { return Result{Code: 4, Output: "not unique"}, true }
	if _, err := f.accounts(shadow{}).Ensure(t.Context(), testName, testHome, nil); !errors.Is(err, errUIDTaken) {
		t.Errorf("Ensure() = %v, want it to give up", err)
	}
}

func TestLockedDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		left := 10
		f.answer = func([]string) (Result, bool) {
			left--
			return Result{Code: 1, Output: "useradd: cannot lock /etc/passwd; try again later."}, left >= 0
		}
		if _, err := f.accounts(shadow{}).Ensure(t.Context(), testName, testHome, nil); err != nil {
			t.Errorf("Ensure() = %v, want it to wait for the lock", err)
		}
		left = 1 << 30
		began := time.Now()
		err := f.accounts(shadow{}).Remove(t.Context(), testName)
		if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "cannot lock") || took > 2*time.Minute {
			t.Errorf("Remove() = %v after %v, want the reason within 2 minutes", err, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.accounts(shadow{}).Remove(ctx, testName); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Remove() = %v, want it to end with its context", err)
		}
	})
}

func TestRemoveForcesOnlyTheDead(t *testing.T) {
	f := newFake(t)
	a := f.accounts(shadow{})
	if _, err := a.Ensure(t.Context(), testName, testHome, []string{"games"}); err != nil {
		t.Fatal(err)
	}
	f.argvs = nil
	f.answer = func(argv []string) (Result, bool) {
		return Result{Code: 8, Output: "user is currently used by process 7"}, argv[0] == "userdel" && argv[1] != "--force"
	}
	if err := a.Remove(t.Context(), testName); err != nil {
		t.Error(err)
	}
	sweep := "sh -c kill -KILL -1"
	want := []string{sweep, "userdel " + testName, sweep, "userdel --force " + testName, sweep}
	if diff := cmp.Diff(want, f.argvs); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

func TestKillAllTellsWhoSurvived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		a := f.accounts(shadow{})
		if _, err := a.Ensure(t.Context(), testName, testHome, nil); err != nil {
			t.Fatal(err)
		}
		f.alive = 1
		f.answer = func(argv []string) (Result, bool) { return Result{}, argv[0] == "sh" } // kills nobody
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := a.Remove(ctx, testName); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "processes [0]") {
			t.Errorf("Remove() = %v, want the survivors named", err)
		}
		if _, found, err := a.Lookup(t.Context(), testName); !found || err != nil {
			t.Errorf("Lookup() = %v, %v, want the user kept while its processes live", found, err)
		}
	})
}

func TestTurns(t *testing.T) {
	f := newFake(t)
	a := f.accounts(shadow{})
	<-a.turn // somebody is changing users
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := a.Ensure(ctx, testName, testHome, nil)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(a.Remove(ctx, testName), context.DeadlineExceeded) {
		t.Errorf("Ensure() = %v, want it to wait for its turn until the context ends", err)
	}
}

func TestPrefixes(t *testing.T) {
	a := newFake(t).accounts(shadow{})
	if got := append(a.Sudo("x"), a.Privileged()...); len(got) != 0 {
		t.Errorf("prefixes as root = %v, want none", got)
	}
	a.root = false
	if diff := cmp.Diff([]string{"/fake/sudo", "-n", "-u", "x", "--"}, a.Sudo("x")); diff != "" {
		t.Errorf("Sudo() (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/fake/sudo", "-n", "--"}, a.Privileged()); diff != "" {
		t.Errorf("Privileged() (-want +got):\n%s", diff)
	}
}

// TestSudoCommands shows what an ordinary user runs.
func TestSudoCommands(t *testing.T) {
	f := newFake(t)
	a := f.accounts(shadow{})
	a.root = false
	f.answer = func(argv []string) (Result, bool) { // sudo does what follows the two dashes
		return f.do(append([]string{strings.TrimPrefix(argv[slices.Index(argv, "--")+1], "/fake/")},
			argv[slices.Index(argv, "--")+2:]...)), true
	}
	if _, err := a.Ensure(t.Context(), testName, testHome, []string{"games"}); err != nil {
		t.Fatal(err)
	}
	if err := a.Remove(t.Context(), testName); err != nil {
		t.Fatal(err)
	}
	for i, prefix := range []string{
		"sudo -n -- /fake/useradd", "sudo -n -u " + testName + " -- /fake/sh -c kill -KILL -1", "sudo -n -- /fake/userdel " + testName,
	} {
		if !strings.HasPrefix(f.argvs[i], prefix) {
			t.Errorf("command %d = %q, want %q...", i, f.argvs[i], prefix)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "useradd")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		o    Options
		says string
	}{
		{"no owner", Options{}, "check owner"},
		{"owner with a colon", Options{Owner: "a:b"}, "check owner"},
		{"unknown tool", Options{Owner: "a", Paths: map[string]string{"rm": "/bin/rm"}}, "known tools are"},
	}
	for _, test := range tests {
		if _, err := New(t.Context(), test.o); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: New() = %v, want %q", test.name, err, test.says)
		}
	}
	for _, path := range []string{file, "useradd", "/nosuch"} {
		if _, err := locate(map[string]string{"useradd": path}, "useradd"); err == nil {
			t.Errorf("locate(%s) succeeds, want that it is no absolute path of an executable", path)
		}
	}
	if _, err := locate(nil, "no-such-tool"); err == nil {
		t.Error("locate(no-such-tool) succeeds")
	}
}

func TestParsers(t *testing.T) {
	ps := "    1     0     0 Ss\n  501   4711  4711 S+\n 502 0 4711 R\n 503 4711 4711 Z\n 504 47110 47110 S\nnonsense\n"
	if diff := cmp.Diff([]int{501, 502}, parsePs(ps, 4711)); diff != "" {
		t.Errorf("parsePs() (-want +got):\n%s", diff)
	}
	list := "daemon                 System Services\nfish-abcdef            Aquarium Fish node-1\n_x\n"
	want := []entry{{name: "daemon", comment: "System Services"}, {name: testName, comment: "Aquarium Fish node-1"}}
	if diff := cmp.Diff(want, parseDirectory(list), cmp.AllowUnexported(entry{})); diff != "" {
		t.Errorf("parseDirectory() (-want +got):\n%s", diff)
	}
	for id, want := range map[int]bool{99_999: false, 100_000: true, 165_535: true, 165_536: false, 1_000_000: true} {
		if got := inRanges("alice:100000:65536\nbad line\nbob:1000000:1\n", id); got != want {
			t.Errorf("inRanges(%d) = %v, want %v", id, got, want)
		}
	}
	if got := brief("a\n  b\n" + strings.Repeat("x", 400)); len(got) != 303 || !strings.HasPrefix(got, "a b xxx") {
		t.Errorf("brief() = %q", got)
	}
}
