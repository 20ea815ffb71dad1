package account

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
)

// person is a user to be made.
type person struct {
	name, mark, home string
	uid              int      // 0 lets the tool choose
	groups           []string // the first is primary; none is a group of its own, where the system has such
	gids             []int    // of groups, in the same order
	gid              int      // of the primary group, 0 if it is to be made
}

// step is one run of a tool.
type step struct {
	argv  []string
	taken int // the code that means "this uid or gid is taken, try another"
	alive int // the code that means "the user still has processes"
}

// tools makes the commands for one kind of user database. After a failed or
// interrupted step the next call removes what there is and starts anew, so
// the first step that makes anything must set the mark as well.
type tools interface {
	needs() []string      // the tools by name
	probes() [][]string   // commands that do nothing, to see whether they may be run
	defaultGroup() string // the primary group of who wants none; "" is one of the user's own
	create(person) []step
	remove(name string, groups []string, force bool) []step
	removeGroup(name string) []step
}

// choose takes the tools that this machine has.
func choose(paths map[string]string) (tools, error) {
	if runtime.GOOS == "darwin" {
		return directory{}, nil
	}
	_, err := locate(paths, "useradd")
	if err == nil {
		return shadow{}, nil
	}
	if _, other := locate(paths, "busybox"); other == nil {
		return busybox{}, nil
	}
	return nil, fmt.Errorf("make users for environments: %w (install the package passwd or shadow-utils)", err)
}

// writableDatabase fails where the root file system is read-only.
func writableDatabase() []string { return []string{"sh", "-c", "test -w /etc"} }

// shadow is useradd and its like, of nearly every Linux.
type shadow struct{}

func (shadow) needs() []string { return []string{"useradd", "userdel", "groupadd", "groupdel"} }

func (shadow) probes() [][]string {
	return [][]string{writableDatabase(), {"useradd", "--help"}, {"userdel", "--help"}, {"groupadd", "--help"}, {"groupdel", "--help"}}
}

func (shadow) defaultGroup() string { return "" }

func (shadow) create(p person) []step {
	var steps []step
	var id []string
	if p.uid != 0 {
		id = []string{strconv.Itoa(p.uid)}
	}
	group := p.name
	if len(p.groups) > 0 {
		group = p.groups[0]
	} else { // not left to useradd: it would give the group an id that comes again soon
		steps = append(steps, step{argv: append(append([]string{"groupadd", "--system"}, flag("--gid", id)...), p.name), taken: 4})
	}
	// --system: no mail spool, no password ageing, no range of subordinate ids. --no-log-init: those logs are indexed by uid.
	argv := []string{"useradd", "--system", "--no-log-init", "--no-create-home", "--home-dir", p.home,
		"--shell", "/bin/sh", "--comment", p.mark, "--no-user-group", "--gid", group}
	argv = append(argv, flag("--uid", id)...)
	if len(p.groups) > 1 {
		argv = append(argv, "--groups", strings.Join(p.groups[1:], ","))
	}
	return append(steps, step{argv: append(argv, p.name), taken: 4})
}

// flag is a flag with its value, if it has one.
func flag(name string, value []string) []string {
	if len(value) == 0 {
		return nil
	}
	return append([]string{name}, value...)
}

func (shadow) remove(name string, _ []string, force bool) []step {
	argv := []string{"userdel"} // without --remove: the home is not the tool's to delete
	if force {
		argv = append(argv, "--force")
	}
	return []step{{argv: append(argv, name), alive: 8}}
}

func (shadow) removeGroup(name string) []step {
	return []step{{argv: []string{"groupdel", name}}}
}

// busybox is adduser of small Linuxes such as Alpine; the adduser of Debian is
// another program, so it is called through busybox.
type busybox struct{}

func (busybox) needs() []string { return []string{"busybox"} }

// A busybox may lack any of its applets: those of Debian and Ubuntu have none for users.
func (busybox) probes() [][]string {
	return [][]string{
		writableDatabase(), {"busybox", "adduser", "--help"}, {"busybox", "addgroup", "--help"}, {"busybox", "deluser", "--help"},
	}
}

func (busybox) defaultGroup() string { return "" }

func (busybox) create(p person) []step {
	argv := []string{"busybox", "adduser", "-D", "-H", "-h", p.home, "-s", "/bin/sh", "-g", p.mark}
	if p.uid != 0 {
		argv = append(argv, "-u", strconv.Itoa(p.uid))
	}
	if len(p.groups) > 0 {
		argv = append(argv, "-G", p.groups[0])
	}
	steps := []step{{argv: append(argv, p.name)}}
	for i := 1; i < len(p.groups); i++ {
		steps = append(steps, step{argv: []string{"busybox", "addgroup", p.name, p.groups[i]}})
	}
	return steps
}

func (busybox) remove(name string, _ []string, _ bool) []step {
	return []step{{argv: []string{"busybox", "deluser", name}}}
}

func (busybox) removeGroup(name string) []step {
	return []step{{argv: []string{"busybox", "delgroup", name}}}
}

// directory is the directory service of macOS. Its own tool for users,
// sysadminctl, makes a home and sets a password.
type directory struct{}

func (directory) needs() []string { return []string{"dscl", "dseditgroup", "ps"} }

func (directory) probes() [][]string {
	return [][]string{{"dscl", ".", "-read", "/Users/root", "UniqueID"}, {"dseditgroup", "-o", "read", "staff"}}
}

func (directory) defaultGroup() string { return "staff" } // as every user of macOS

func (directory) create(p person) []step {
	path := "/Users/" + p.name
	set := func(key, value string) step {
		return step{argv: []string{"dscl", ".", "-create", path, key, value}}
	}
	steps := []step{
		set("RealName", p.mark), // makes the record, with the mark from its first moment
		set("NFSHomeDirectory", p.home),
		set("UserShell", "/bin/sh"),
		set("IsHidden", "1"), // not in the login window
		set("PrimaryGroupID", strconv.Itoa(p.gid)),
		set("UniqueID", strconv.Itoa(p.uid)), // last: from here on it is a user
	}
	for i := 1; i < len(p.groups); i++ {
		steps = append(steps, step{argv: []string{"dseditgroup", "-o", "edit", "-a", p.name, "-t", "user", p.groups[i]}})
	}
	return steps
}

func (directory) remove(name string, groups []string, _ bool) []step {
	var steps []step
	for _, group := range groups {
		steps = append(steps, step{argv: []string{"dseditgroup", "-o", "edit", "-d", name, "-t", "user", group}})
	}
	return append(steps, step{argv: []string{"dscl", ".", "-delete", "/Users/" + name}})
}

func (directory) removeGroup(string) []step { return nil } // none is made
