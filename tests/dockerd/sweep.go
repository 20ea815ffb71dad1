//go:build linux

package dockerd

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// folderPrefix begins the names of all engines' folders, and so their own names.
const folderPrefix = "fish-dockerd-"

// longestBase keeps the longest socket's path within the 107 bytes that the
// system takes: an engine's own name and exec/containerd/containerd.sock.ttrpc
// come after it.
const longestBase = 40

// claimFolder makes the folder of an engine, after it removed those of engines
// whose tests were killed. Whoever holds the claim locked owns the folder.
func claimFolder() (dir string, claim *os.File, err error) {
	base := os.TempDir()
	if len(base) > longestBase {
		base = "/tmp"
	}
	// Between the making of a folder and its lock nobody else may sweep.
	gate, err := os.OpenFile(filepath.Join(base, folderPrefix+"gate"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, fmt.Errorf("open the gate of engines: %w", err)
	}
	defer func() { _ = gate.Close() }() // with it goes its lock
	if err := unix.Flock(int(gate.Fd()), unix.LOCK_EX); err != nil {
		return "", nil, fmt.Errorf("wait for other engines: %w", err)
	}
	if err := sweepAbandoned(base); err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp(base, folderPrefix+"*"); err != nil {
		return "", nil, fmt.Errorf("make the engine's folder: %w", err)
	}
	if claim, err = lockClaim(dir); err != nil {
		return "", nil, err
	}
	return dir, claim, nil
}

func lockClaim(dir string) (*os.File, error) {
	claim, err := os.OpenFile(dir+"/claim", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open claim: %w", err)
	}
	if err := unix.Flock(int(claim.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = claim.Close() // not ours
		return nil, fmt.Errorf("lock claim: %w", err)
	}
	return claim, nil
}

// sweepAbandoned removes every engine whose test was killed.
func sweepAbandoned(base string) error {
	dirs, err := filepath.Glob(filepath.Join(base, folderPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue // the gate, or one that ended just now
		}
		claim, err := lockClaim(dir)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
			continue // in use, or gone
		}
		if err != nil {
			return err
		}
		if err := errors.Join(sweep(dir), claim.Close()); err != nil {
			return err
		}
	}
	return nil
}

// sweep ends the engine of a folder and all that it made, in whatever state it
// was: its programs, then its containers, mounts, cgroups and files. A program
// that began just now may write once more: then it is all done again.
func sweep(dir string) error {
	sockets := shimSockets(dir)
	for deadline := time.Now().Add(stopTimeout); ; time.Sleep(20 * time.Millisecond) {
		thaw(filepath.Base(dir))
		err := end(func() []int { return engineProcesses(dir) })
		if err == nil {
			err = errors.Join(unmountBelow(dir), removeGroups(filepath.Base(dir)))
		}
		if err == nil {
			err = os.RemoveAll(dir)
		}
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("remove the engine in %s: %w", dir, err)
		}
	}
	for _, socket := range sockets {
		_ = os.Remove(socket) // shims remove them, those that are killed do not
	}
	return nil
}

// end kills processes, and those that they start meanwhile, until none is left.
func end(list func() []int) error {
	for deadline := time.Now().Add(stopTimeout); ; time.Sleep(5 * time.Millisecond) {
		pids := list()
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v of an engine do not end", pids)
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone already is good
		}
	}
}

// engineProcesses are the engine's programs and what runs in its containers.
func engineProcesses(dir string) (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*") // the pattern is good
	for _, proc := range all {
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err == nil && pid != os.Getpid() && !ended(proc) && (isProgram(proc, dir) || isContained(proc, filepath.Base(dir))) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// ended tells a process that only waits for its parent to ask how it ended.
func ended(proc string) bool {
	_, err := os.Stat(proc)
	return err != nil || inState(proc+"/stat", "Z") || inState(proc+"/stat", "X")
}

// inState reads the state from a file as /proc has one for each process and thread.
func inState(file, state string) bool {
	text, _ := os.ReadFile(file) // it may have ended just now
	_, after, _ := bytes.Cut(text, []byte(") "))
	return bytes.HasPrefix(after, []byte(state))
}

// isProgram tells dockerd, containerd, their shims and helpers by their arguments.
func isProgram(proc, dir string) bool {
	text, _ := os.ReadFile(proc + "/cmdline") // it may have ended just now
	args := strings.Split(string(text), "\x00")
	program := filepath.Base(args[0])
	if !slices.Contains([]string{"dockerd", "containerd", "runc", "docker-init"}, program) &&
		!strings.HasPrefix(program, "containerd-shim") && !strings.HasPrefix(program, "docker-") && program != "exe" {
		return false
	}
	return slices.ContainsFunc(args[1:], func(arg string) bool {
		return strings.Contains(arg, dir+"/") || strings.HasPrefix(arg, filepath.Base(dir))
	})
}

func isContained(proc, name string) bool {
	text, _ := os.ReadFile(proc + "/cgroup") // it may have ended just now
	return strings.Contains(string(text), ":/"+name+"/")
}

// shimSockets are where containerd's shims listen, outside of the engine's folder.
func shimSockets(dir string) (files []string) {
	containers, _ := filepath.Glob(dir + "/data/containers/*") // the pattern is good
	for _, c := range containers {
		of := filepath.Join(dir, "exec/containerd/containerd.sock", filepath.Base(dir), filepath.Base(c))
		files = append(files, fmt.Sprintf("/run/containerd/s/%x", sha256.Sum256([]byte(of))))
	}
	return files
}

// unmountBelow takes away everything mounted in a folder, the innermost first.
func unmountBelow(dir string) error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	var points []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			points = append(points, fields[4])
		}
	}
	slices.Reverse(points) // the later is above the earlier
	for _, point := range points {
		if e := unix.Unmount(point, unix.MNT_DETACH); e != nil && !errors.Is(e, unix.EINVAL) && !errors.Is(e, unix.ENOENT) {
			err = errors.Join(err, fmt.Errorf("unmount %s: %w", point, e))
		}
	}
	return err
}

// thaw lets the processes of paused containers run: what is frozen does not
// even end when it is killed.
func thaw(name string) {
	for _, root := range []string{"/sys/fs/cgroup/freezer/" + name, "/sys/fs/cgroup/" + name} {
		_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() { // each version has one of these; what ended just now needs none
				_ = writeExisting(filepath.Join(path, "freezer.state"), "THAWED")
				_ = writeExisting(filepath.Join(path, "cgroup.freeze"), "0")
			}
			return nil // containers end meanwhile
		})
	}
}

func writeExisting(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// removeGroups removes the engine's cgroups, of both versions. All that ran in
// them has ended.
func removeGroups(name string) error {
	var err error
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		roots, _ := filepath.Glob(pattern + name) // the pattern is good
		for _, root := range roots {
			err = errors.Join(err, removeGroup(root))
		}
	}
	return err
}

func removeGroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into cgroup: %w", err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			err = errors.Join(err, removeGroup(filepath.Join(dir, entry.Name())))
		}
	}
	for deadline := time.Now().Add(stopTimeout); ; time.Sleep(5 * time.Millisecond) {
		e := unix.Rmdir(dir)
		if e == nil || errors.Is(e, unix.ENOENT) {
			return err
		}
		if !errors.Is(e, unix.EBUSY) || err != nil || time.Now().After(deadline) {
			return errors.Join(err, fmt.Errorf("remove cgroup %s: %w", dir, e))
		} // the last process has ended, but is counted until its parent knows
	}
}
