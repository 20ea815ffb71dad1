package limits

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// memberships reads which group this process is in: controller -> path, with
// "" for cgroup v2. It is empty where there are no cgroups.
func memberships(self string) map[string]string {
	data, err := os.ReadFile(self)
	if err != nil {
		return nil
	}
	own := map[string]string{}
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3) // 4:memory:/path or 0::/path
		if len(parts) != 3 {
			continue
		}
		for _, control := range strings.Split(parts[1], ",") {
			own[control] = parts[2]
		}
	}
	return own
}

// ancestors lists the folders from the mount down to the own group, the places
// to put our Parent in. The first is best: what lies outside the node's own
// group is not killed by a service manager that restarts the node.
func ancestors(mount, own string) []string {
	list := []string{mount}
	for part := range strings.SplitSeq(strings.Trim(own, "/"), "/") {
		if part == "" || part == ".." { // "/../x": our group lies outside of what is mounted
			break
		}
		list = append(list, filepath.Join(list[len(list)-1], part))
	}
	return slices.DeleteFunc(list, func(dir string) bool { return !exists(dir) })
}

// find fills in the hierarchies and, for each controller without one, why.
func (l *Limiter) find(root string, own map[string]string) {
	switch {
	case exists(filepath.Join(root, "cgroup.controllers")):
		l.version = 2
		l.addV2(root, own[""])
	case exists(filepath.Join(root, controlMemory)), exists(filepath.Join(root, controlCPU)):
		l.version = 1
		for _, control := range []string{controlMemory, controlCPU, controlPIDs} {
			l.addV1(filepath.Join(root, control), own[control], control)
		}
		if unified := filepath.Join(root, "unified"); exists(filepath.Join(unified, "cgroup.controllers")) {
			l.addV2(unified, own[""]) // no controllers as a rule, but it kills a group at once
		}
	default:
		l.missing[controlCPU], l.missing[controlMemory] = "no cgroups at "+root, "no cgroups at "+root
	}
}

// addV1 uses the first place of a v1 hierarchy that lets itself be written.
func (l *Limiter) addV1(mount, own, control string) {
	l.missing[control] = "no cgroup hierarchy at " + mount
	for i, base := range ancestors(mount, own) {
		l.bases = append(l.bases, base)
		h := hierarchy{base: base, controls: []string{control}}
		err := l.claimV1(h)
		if err == nil {
			l.hierarchies = append(l.hierarchies, h)
			delete(l.missing, control)
			return
		}
		if i == 0 {
			l.missing[control] = reason(err)
		}
	}
}

// claimV1 makes the Parent and proves on it that the controller can be written.
func (l *Limiter) claimV1(h hierarchy) error {
	made, err := l.ensureFolder(h.parent())
	if err != nil {
		return err
	}
	if hierarchical, err := readWord(filepath.Join(h.parent(), "memory.use_hierarchy")); err == nil && hierarchical == "0" {
		_ = write(filepath.Join(h.parent(), "memory.use_hierarchy"), "1") // kernels before 5.11
	}
	if err := l.applyV1(h.parent(), h.controls[0], Limits{}); err != nil {
		if made {
			_ = l.kernel.rmdir(h.parent())
		}
		return err
	}
	return nil
}

// addV2 uses the first place with a memory controller, else the one with most
// controllers; one without any still gathers the processes.
func (l *Limiter) addV2(mount, own string) {
	var best hierarchy
	reasons := map[string]string{}
	for _, base := range ancestors(mount, own) {
		l.bases = append(l.bases, base)
		h, why, err := l.claimV2(base)
		noteReasons(reasons, why, err)
		if err != nil {
			continue
		}
		worse := h
		if best.base == "" || len(h.controls) > len(best.controls) {
			best, worse = h, best
		}
		if worse.base != "" {
			_ = l.kernel.rmdir(worse.parent()) // stays if it holds groups
		}
		if slices.Contains(best.controls, controlMemory) {
			break
		}
	}
	if best.base != "" {
		l.hierarchies = append(l.hierarchies, best)
	}
	for control, why := range reasons {
		if l.version == 2 && !l.has(control) {
			l.missing[control] = why
		}
	}
}

// noteReasons keeps the first reason for each controller: the topmost place is
// the one that an administrator would open.
func noteReasons(reasons, why map[string]string, err error) {
	for _, control := range []string{controlCPU, controlMemory} {
		if _, known := reasons[control]; known {
			continue
		}
		if err != nil {
			reasons[control] = reason(err)
		} else if why[control] != "" {
			reasons[control] = why[control]
		}
	}
}

// claimV2 makes the Parent below base and hands down as many controllers as
// base has; for the others it tells why not.
func (l *Limiter) claimV2(base string) (hierarchy, map[string]string, error) {
	h := hierarchy{base: base, v2: true}
	// The kernel wants the right to write here of whoever moves a process from one group below to another.
	file, err := os.OpenFile(filepath.Join(base, "cgroup.procs"), os.O_WRONLY, 0)
	if err != nil {
		return h, nil, err
	}
	_ = file.Close()
	if _, err := l.ensureFolder(h.parent()); err != nil {
		return h, nil, err
	}
	why := map[string]string{}
	for _, control := range []string{controlMemory, controlCPU, controlPIDs} {
		if err := enable(base, control); err != nil {
			why[control] = reason(err)
		} else if err := enable(h.parent(), control); err != nil {
			why[control] = reason(err)
		} else {
			h.controls = append(h.controls, control)
		}
	}
	return h, why, nil
}

// enable hands a controller down to the groups below dir.
func enable(dir, control string) error {
	file := filepath.Join(dir, "cgroup.subtree_control")
	if hasWord(file, control) {
		return nil
	}
	if !hasWord(filepath.Join(dir, "cgroup.controllers"), control) {
		return fmt.Errorf("%s has no controller %s", dir, control)
	}
	if err := write(file, "+"+control); err != nil {
		return err
	}
	if !hasWord(file, control) {
		return fmt.Errorf("%s does not take +%s", file, control)
	}
	return nil
}

// parent is the folder that holds our groups in this hierarchy.
func (h hierarchy) parent() string { return filepath.Join(h.base, Parent) }

// ensureFolder makes a group unless it exists, and tells whether it did.
func (l *Limiter) ensureFolder(path string) (made bool, err error) {
	err = l.kernel.mkdir(path)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// reason says why something can not be written, in words for an administrator.
func reason(err error) string {
	var path *fs.PathError
	if !errors.As(err, &path) {
		return err.Error()
	}
	if isBusy(err) {
		return path.Path + " is busy: the group holds processes of its own (in a systemd unit set DelegateSubgroup=)"
	}
	return path.Path + " is not writable: " + path.Err.Error()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// write gives the kernel one value; a cgroup file is never created by it.
func write(path, value string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}

// readWord returns the first line of a file of the kernel's.
func readWord(path string) (string, error) {
	data, err := os.ReadFile(path)
	line, _, _ := strings.Cut(string(data), "\n")
	return line, err
}

func hasWord(path, word string) bool {
	data, err := os.ReadFile(path)
	return err == nil && slices.Contains(strings.Fields(string(data)), word)
}
