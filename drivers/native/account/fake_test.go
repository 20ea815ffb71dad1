package account

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// errKilled stands for the end of this process during a command.
var errKilled = errors.New("killed")

// fake is a user database that understands the commands of all three kinds of
// tools, and can end this process before or after one of them has done its work.
type fake struct {
	t       *testing.T
	users   map[string]*entry // uid 0: half made
	groups  map[string]int
	members map[string][]string // group -> users, without primary ones
	argvs   []string            // what was run
	killAt  int                 // which command is the last one; 0 for none
	kill    func()              // ends this process, which is its context
	after   bool                // ... and whether it still does its work
	answer  func(argv []string) (Result, bool)
	alive   int // processes of any user, until they are killed
}

func newFake(t *testing.T) *fake {
	return &fake{
		t: t, users: map[string]*entry{"root": {name: "root", comment: "root"}},
		groups: map[string]int{"root": 0, "staff": 20, "games": 60, "video": 44}, members: map[string][]string{},
	}
}

// accounts is a new process that uses the database.
func (f *fake) accounts(kind tools) *Accounts {
	a := newAccounts(Options{Owner: "node-1", Runner: f})
	a.root = true
	for _, tool := range Tools() {
		a.paths[tool] = "/fake/" + tool
	}
	a.system = system{
		tools: kind, user: f.user, group: f.group, uidTaken: f.uidTaken, list: f.list,
		processes: func(context.Context, int) ([]int, error) { return make([]int, f.alive), nil },
	}
	if _, ok := kind.(directory); ok {
		a.system.user = func(ctx context.Context, name string) (entry, bool, error) {
			if e, ok := f.users[name]; ok && e.uid != 0 {
				return f.user(ctx, name)
			}
			return a.halfMade(ctx, name)
		}
		a.system.list = a.listDirectory
	}
	return a
}

func (f *fake) user(_ context.Context, name string) (entry, bool, error) {
	e, ok := f.users[name]
	if !ok {
		return entry{}, false, nil
	}
	found := *e
	found.groups = []int{e.gid}
	for _, group := range slices.Sorted(maps.Keys(f.members)) {
		if slices.Contains(f.members[group], name) {
			found.groups, found.groupNames = append(found.groups, f.groups[group]), append(found.groupNames, group)
		}
	}
	return found, true, nil
}

func (f *fake) group(name string) (int, bool, error) {
	gid, ok := f.groups[name]
	return gid, ok, nil
}

func (f *fake) uidTaken(uid int) (bool, error) {
	for _, e := range f.users {
		if e.uid == uid {
			return true, nil
		}
	}
	return false, nil
}

func (f *fake) list(context.Context) ([]entry, error) {
	var list []entry
	for _, e := range f.users {
		list = append(list, *e)
	}
	return list, nil
}

func (f *fake) Run(ctx context.Context, command Command) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	argv := slices.Clone(command.Argv)
	argv[0] = strings.TrimPrefix(argv[0], "/fake/")
	f.argvs = append(f.argvs, strings.Join(argv, " "))
	last := f.killAt > 0 && len(f.argvs) >= f.killAt
	if last {
		f.kill()
	}
	if last && !f.after {
		return Result{}, errKilled
	}
	if f.answer != nil {
		if result, answered := f.answer(argv); answered {
			return result, nil
		}
	}
	result := f.do(argv)
	if last {
		return Result{}, errKilled
	}
	return result, nil
}

// do has the effect of a command.
func (f *fake) do(argv []string) Result {
	name := argv[len(argv)-1]
	switch {
	case argv[0] == "sh":
		f.alive = 0
	case argv[0] == "useradd":
		return f.add(name, after(argv, "--comment"), after(argv, "--home-dir"), after(argv, "--uid"), after(argv, "--gid"),
			strings.FieldsFunc(after(argv, "--groups"), func(r rune) bool { return r == ',' }))
	case argv[0] == "groupadd":
		f.groups[name], _ = strconv.Atoi(after(argv, "--gid"))
	case argv[0] == "userdel", argv[0] == "busybox" && argv[1] == "deluser":
		return f.remove(name)
	case argv[0] == "groupdel", argv[0] == "busybox" && argv[1] == "delgroup":
		delete(f.groups, name)
	case argv[0] == "busybox" && argv[1] == "adduser":
		if after(argv, "-G") == "" {
			f.groups[name], _ = strconv.Atoi(after(argv, "-u"))
			argv = append([]string{"busybox", "adduser", "-G", name}, argv[2:]...)
		}
		return f.add(name, after(argv, "-g"), after(argv, "-h"), after(argv, "-u"), after(argv, "-G"), nil)
	case argv[0] == "busybox" && argv[1] == "addgroup":
		f.members[argv[3]] = append(f.members[argv[3]], argv[2])
	case argv[0] == "dscl":
		return f.dscl(argv[2:])
	case argv[0] == "dseditgroup":
		f.edit(argv)
	default:
		f.t.Fatalf("unexpected command %q", argv)
	}
	return Result{}
}

func (f *fake) add(name, mark, home, uid, group string, more []string) Result {
	if _, exists := f.users[name]; exists {
		return Result{Code: 9, Output: "user exists"}
	}
	id, err := strconv.Atoi(uid)
	if err != nil {
		f.t.Fatalf("uid %q: %v", uid, err)
	}
	gid, exists := f.groups[group]
	if !exists {
		return Result{Code: 6, Output: "no group " + group}
	}
	f.users[name] = &entry{name: name, comment: mark, home: home, uid: id, gid: gid}
	for _, g := range more {
		f.members[g] = append(f.members[g], name)
	}
	return Result{}
}

func (f *fake) remove(name string) Result {
	if _, exists := f.users[name]; !exists {
		return Result{Code: 6, Output: "no such user"}
	}
	delete(f.users, name)
	for group := range f.members {
		f.members[group] = slices.DeleteFunc(f.members[group], func(member string) bool { return member == name })
	}
	return Result{}
}

func (f *fake) dscl(argv []string) Result {
	if argv[0] == "-list" {
		var lines strings.Builder
		for _, e := range f.users {
			lines.WriteString(e.name + "      " + e.comment + "\n")
		}
		return Result{Output: lines.String()}
	}
	name := strings.TrimPrefix(argv[1], "/Users/")
	if argv[0] == "-delete" {
		delete(f.users, name)
		return Result{}
	}
	e, exists := f.users[name]
	if !exists {
		e = &entry{name: name}
		f.users[name] = e
	}
	number, _ := strconv.Atoi(argv[3]) // 0 for words, which only the other keys have
	switch argv[2] {
	case "RealName":
		e.comment = argv[3]
	case "NFSHomeDirectory":
		e.home = argv[3]
	case "PrimaryGroupID":
		e.gid = number
	case "UniqueID":
		e.uid = number
	}
	return Result{}
}

func (f *fake) edit(argv []string) {
	group := argv[len(argv)-1]
	if name := after(argv, "-a"); name != "" {
		f.members[group] = append(f.members[group], name)
	}
	if name := after(argv, "-d"); name != "" {
		f.members[group] = slices.DeleteFunc(f.members[group], func(member string) bool { return member == name })
	}
}

// after is the argument after a flag.
func after(argv []string, flag string) string {
	if i := slices.Index(argv, flag); i >= 0 {
		return argv[i+1]
	}
	return ""
}

// leftovers is what exists beyond a new database.
func (f *fake) leftovers() []string {
	var list []string
	for name := range f.users {
		if name != "root" {
			list = append(list, "user "+name)
		}
	}
	for group := range f.groups {
		if strings.HasPrefix(group, "fish-") {
			list = append(list, "group "+group)
		}
	}
	for group, members := range f.members {
		for _, member := range members {
			list = append(list, member+" in "+group)
		}
	}
	return list
}
