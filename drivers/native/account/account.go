// Package account makes and removes the system users that native environments
// run as: one user per environment, without a password and without a home of
// its own making.
//
// It works as root, or as any other user through "sudo -n". Every user carries
// a mark of its owner, and what does not carry it is never touched.
// DESIGN.md tells what was chosen and why.
package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// ErrTaken says that a user of that name exists that is not ours, or is ours
// for another home: take another name.
var ErrTaken = errors.New("user name is taken")

// ErrNoGroup says that a wanted group does not exist on this machine.
var ErrNoGroup = errors.New("group does not exist")

// changeTimeout bounds one run of a system tool: they take milliseconds, and
// seconds where the user database is busy or the disk slow.
const changeTimeout = 30 * time.Second

// Options says on whose behalf and with which tools users are made.
type Options struct {
	// Owner is what tells our users from those of other nodes on this machine,
	// such as the node's UID. Letters, digits, ".", "_" and "-" only.
	Owner string
	// Paths has the places of tools by their name (see Tools); those that are
	// not in it are looked for.
	Paths  map[string]string
	Runner Runner // runs the tools for real if nil
	Logger *slog.Logger
}

// User is a system user as the machine knows it.
type User struct {
	UID    int
	GID    int
	Groups []int // all groups, the primary one included, for setgroups
	Home   string
	Ours   bool // it carries our mark
}

// Accounts makes, finds and removes users. Its methods may be called from many
// goroutines; changes take turns, because the system has one lock for them all.
type Accounts struct {
	log    *slog.Logger
	mark   string
	paths  map[string]string
	runner Runner
	system system
	root   bool
	turn   chan struct{} // holds one token: the right to change the user database
}

// system is what differs between machines, and what tests replace.
type system struct {
	tools     tools
	user      func(ctx context.Context, name string) (entry, bool, error)
	group     func(name string) (gid int, found bool, err error)
	uidTaken  func(uid int) (bool, error)
	list      func(ctx context.Context) ([]entry, error)
	processes func(ctx context.Context, uid int) ([]int, error)
}

// entry is a user in the system's database. On macOS one that was left half
// made has no uid yet, which reads as 0.
type entry struct {
	name, comment, home string
	uid, gid            int
	groups              []int    // the primary one included
	groupNames          []string // without the primary one
}

// Tools lists the names of the tools that Options.Paths may place.
func Tools() []string {
	names := []string{"sudo", "sh", "ps"}
	for _, t := range []tools{shadow{}, busybox{}, directory{}} {
		names = append(names, t.needs()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// New checks that users can be made here, which changes nothing, and fails with
// what is missing and what to do about it.
func New(ctx context.Context, o Options) (*Accounts, error) {
	a := newAccounts(o)
	if !ownerName.MatchString(o.Owner) {
		return nil, fmt.Errorf("check owner of users %q: letters, digits, . _ - are allowed, 1 to 64 of them", o.Owner)
	}
	for name := range o.Paths {
		if !slices.Contains(Tools(), name) {
			return nil, fmt.Errorf("check tool %q: known tools are %s", name, strings.Join(Tools(), ", "))
		}
	}
	if runtime.GOOS == "windows" {
		return nil, errors.New("make users for environments: not possible on Windows; set isolation: process")
	}
	known, err := choose(o.Paths)
	if err != nil {
		return nil, err
	}
	a.system = a.here(known)
	a.root = os.Geteuid() == 0
	if err := a.check(ctx); err != nil {
		return nil, fmt.Errorf("make users for environments: %w", err)
	}
	return a, nil
}

func newAccounts(o Options) *Accounts {
	if o.Runner == nil {
		o.Runner = execRunner{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Accounts{
		log: o.Logger, mark: "Aquarium Fish " + o.Owner, paths: map[string]string{},
		runner: o.Runner, turn: make(chan struct{}, 1),
	}
	for name, path := range o.Paths {
		a.paths[name] = path
	}
	a.turn <- struct{}{}
	return a
}

// Privileged is what to put before a command that needs root: nothing as root.
func (a *Accounts) Privileged() []string {
	if a.root {
		return nil
	}
	return []string{a.path("sudo"), "-n", "--"}
}

// Sudo is what to put before a command to run it as the user where this
// process is not root; as root it is nothing, and the process takes the user's
// ids itself. sudo hands on neither environment nor descriptors beyond the
// first three: secrets go through its input, never through its arguments.
func (a *Accounts) Sudo(name string) []string {
	if a.root {
		return nil
	}
	return []string{a.path("sudo"), "-n", "-u", name, "--"}
}

// Lookup finds a user, and tells whether there is one. Ours is false for one
// that belongs to somebody else.
func (a *Accounts) Lookup(ctx context.Context, name string) (User, bool, error) {
	if err := errors.Join(ctx.Err(), checkName(name)); err != nil {
		return User{}, false, err
	}
	e, found, err := a.system.user(ctx, name)
	if err != nil || !found {
		return User{}, false, err
	}
	return User{UID: e.uid, GID: e.gid, Groups: e.groups, Home: e.home, Ours: a.ours(e)}, true, nil
}

// List names the users with our mark, sorted: what a kill of this process left
// behind is found here.
func (a *Accounts) List(ctx context.Context) ([]string, error) {
	entries, err := a.system.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.comment == a.mark && checkName(e.name) == nil {
			names = append(names, e.name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// ours tells whether a user is complete enough to run anything, and ours.
func (a *Accounts) ours(e entry) bool { return e.comment == a.mark && e.uid != 0 }

// path is where a tool is.
func (a *Accounts) path(tool string) string {
	if path, ok := a.paths[tool]; ok {
		return path
	}
	return tool
}

// lock waits for the turn to change users; unlock gives it on.
func (a *Accounts) lock(ctx context.Context) error {
	select {
	case <-a.turn:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for turn to change users: %w", ctx.Err())
	}
}

func (a *Accounts) unlock() { a.turn <- struct{}{} }

var (
	// userName is what useradd, adduser and dscl all accept.
	userName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)
	// ownerName fits into one field of /etc/passwd.
	ownerName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
)

func checkName(name string) error {
	if !userName.MatchString(name) {
		return fmt.Errorf("check user name %q: lower-case letters, digits and - are allowed, at most 31, the first a letter", name)
	}
	return nil
}
