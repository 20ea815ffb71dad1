package limits

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
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
		why := "no cgroups at " + root
		if runtime.GOOS != "linux" {
			why = runtime.GOOS + " has no limits for groups of processes"
		}
		l.missing[controlCPU], l.missing[controlMemory] = why, why
	}
}

// addV1 uses the first place of a v1 hierarchy that lets itself be written.
func (l *Limiter) addV1(mount, own, control string) {
	why := "no cgroup hierarchy at " + mount
	places := ancestors(mount, own)
	l.bases = append(l.bases, places...)
	for i, base := range places {
		h := hierarchy{base: base, controls: []string{control}}
		err := l.claimV1(h)
		if err == nil {
			l.hierarchies = append(l.hierarchies, h)
			return
		}
		if i == 0 {
			why = reason(err)
		}
	}
	if control != controlPIDs {
		l.missing[control] = why
	}
}

// claimV1 makes the Parent and proves on it that the controller can be written.
func (l *Limiter) claimV1(h hierarchy) error {
	made, err := l.ensureFolder(h.parent())
	if err != nil {
		return err
	}
	if hierarchical, err := readWord(filepath.Join(h.parent(), "memory.use_hierarchy")); err == nil && hierarchical == "0" {
		_ = l.kernel.write(filepath.Join(h.parent(), "memory.use_hierarchy"), "1") // kernels before 5.11
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
	reasons := map[string]error{}
	places := ancestors(mount, own)
	l.bases = append(l.bases, places...)
	for _, base := range places {
		h, why := l.claimV2(base)
		noteReasons(reasons, why)
		if h.base == "" {
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
	for control, err := range reasons {
		if l.version == 2 && control != controlPIDs && !l.has(control) {
			l.missing[control] = reason(err)
		}
	}
}

// noteReasons keeps one reason for each controller: that of the topmost place,
// but rather that of a place which only the node's own processes keep busy.
func noteReasons(reasons, why map[string]error) {
	for control, err := range why {
		if _, known := reasons[control]; !known || isBusy(err) {
			reasons[control] = err
		}
	}
}

// claimV2 makes the Parent below base and hands down as many controllers as
// base has; for the others it tells why not. The hierarchy is empty if base can
// not be used at all.
func (l *Limiter) claimV2(base string) (hierarchy, map[string]error) {
	h := hierarchy{base: base, v2: true}
	wanted := []string{controlMemory, controlCPU, controlPIDs}
	why := map[string]error{}
	// Who moves a process from one group below base to another needs the right to write here too.
	err := l.kernel.writable(filepath.Join(base, "cgroup.procs"))
	if err == nil {
		_, err = l.ensureFolder(h.parent())
	}
	if err != nil {
		for _, control := range wanted {
			why[control] = err
		}
		return hierarchy{}, why
	}
	for _, control := range wanted {
		err := l.enable(base, control)
		if err == nil {
			err = l.enable(h.parent(), control)
		}
		if err != nil {
			why[control] = err
			continue
		}
		h.controls = append(h.controls, control)
	}
	return h, why
}

// enable hands a controller down to the groups below dir.
func (l *Limiter) enable(dir, control string) error {
	file := filepath.Join(dir, "cgroup.subtree_control")
	if hasWord(file, control) {
		return nil
	}
	if !hasWord(filepath.Join(dir, "cgroup.controllers"), control) {
		return fmt.Errorf("%s has no controller %s", dir, control)
	}
	return l.kernel.write(file, "+"+control)
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
