package account

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"strings"
)

// here is the system of this machine.
func (a *Accounts) here(t tools) system {
	s := system{
		tools: t, user: lookupUser, group: lookupGroup, uidTaken: uidTaken,
		list: listPasswd, processes: a.userProcesses,
	}
	if runtime.GOOS == "darwin" {
		s.user, s.list = a.directoryUser, a.listDirectory
	}
	return s
}

func lookupUser(_ context.Context, name string) (entry, bool, error) {
	u, err := user.Lookup(name)
	var unknown user.UnknownUserError
	if errors.As(err, &unknown) {
		return entry{}, false, nil
	}
	if err != nil {
		return entry{}, false, fmt.Errorf("look up user %s: %w", name, err)
	}
	e := entry{name: u.Username, comment: u.Name, home: u.HomeDir}
	e.uid, _ = strconv.Atoi(u.Uid) // 0 is never ours
	e.gid, _ = strconv.Atoi(u.Gid)
	ids, err := u.GroupIds()
	if err != nil {
		return entry{}, false, fmt.Errorf("look up groups of user %s: %w", name, err)
	}
	for _, id := range ids {
		gid, err := strconv.Atoi(id)
		if err != nil {
			return entry{}, false, fmt.Errorf("look up groups of user %s: %w", name, err)
		}
		e.groups = append(e.groups, gid)
		if group, err := user.LookupGroupId(id); err == nil && gid != e.gid {
			e.groupNames = append(e.groupNames, group.Name)
		}
	}
	return e, true, nil
}

func lookupGroup(name string) (int, bool, error) {
	g, err := user.LookupGroup(name)
	var unknown user.UnknownGroupError
	if errors.As(err, &unknown) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	gid, err := strconv.Atoi(g.Gid)
	return gid, err == nil, err
}

// uidTaken tells whether somebody has the uid, as a user, as a group or as one
// of the subordinate ids for containers.
func uidTaken(uid int) (bool, error) {
	id := strconv.Itoa(uid)
	_, err := user.LookupId(id)
	var noUser user.UnknownUserIdError
	if !errors.As(err, &noUser) {
		return err == nil, err
	}
	_, err = user.LookupGroupId(id)
	var noGroup user.UnknownGroupIdError
	if !errors.As(err, &noGroup) {
		return err == nil, err
	}
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		data, err := os.ReadFile(file)
		if err == nil && inRanges(string(data), uid) {
			return true, nil
		}
	}
	return false, nil
}

// inRanges tells whether an id lies in one of the ranges of a text like
// /etc/subuid (name:first:count).
func inRanges(text string, id int) bool {
	for line := range strings.Lines(text) {
		parts := strings.Split(strings.TrimSpace(line), ":")
		if len(parts) != 3 {
			continue
		}
		first, err1 := strconv.Atoi(parts[1])
		count, err2 := strconv.Atoi(parts[2])
		if err1 == nil && err2 == nil && id >= first && id < first+count {
			return true
		}
	}
	return false
}

func listPasswd(context.Context) ([]entry, error) {
	file, err := os.Open("/etc/passwd")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var entries []entry
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		parts := strings.Split(lines.Text(), ":") // name:x:uid:gid:comment:home:shell
		if len(parts) != 7 {
			continue
		}
		e := entry{name: parts[0], comment: parts[4], home: parts[5]}
		e.uid, _ = strconv.Atoi(parts[2])
		e.gid, _ = strconv.Atoi(parts[3])
		entries = append(entries, e)
	}
	return entries, lines.Err()
}

// directoryUser finds a user of macOS, also a half-made one, which has a record
// but no uid and so is no user to the system.
func (a *Accounts) directoryUser(ctx context.Context, name string) (entry, bool, error) {
	e, found, err := lookupUser(ctx, name)
	if err != nil || found {
		return e, found, err
	}
	return a.halfMade(ctx, name)
}

func (a *Accounts) halfMade(ctx context.Context, name string) (entry, bool, error) {
	entries, err := a.system.list(ctx)
	if err != nil {
		return entry{}, false, err
	}
	for _, e := range entries {
		if e.name == name {
			return e, true, nil
		}
	}
	return entry{}, false, nil
}

// listDirectory lists the users of macOS, without their uids.
func (a *Accounts) listDirectory(ctx context.Context) ([]entry, error) {
	result, err := a.runner.Run(ctx, Command{Argv: []string{a.path("dscl"), ".", "-list", "/Users", "RealName"}})
	if err != nil {
		return nil, err
	}
	if result.Code != 0 {
		return nil, fmt.Errorf("run dscl: exit code %d: %s", result.Code, brief(result.Output))
	}
	return parseDirectory(result.Output), nil
}

// parseDirectory reads lines of a name and, in a second column, the comment.
func parseDirectory(output string) []entry {
	var entries []entry
	for line := range strings.Lines(output) {
		name, comment, found := strings.Cut(strings.TrimSpace(line), " ")
		if found {
			entries = append(entries, entry{name: name, comment: strings.TrimSpace(comment)})
		}
	}
	return entries
}
