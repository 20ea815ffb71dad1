//go:build unix

package vmrunfake

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// sibling is the file of the virtual machine with another extension.
func sibling(vmx, extension string) string {
	return strings.TrimSuffix(vmx, filepath.Ext(vmx)) + extension
}

// readSnapshots reads the .vmsd beside the .vmx; none is the same as empty.
func readSnapshots(vmx string) (*Dictionary, error) {
	vmsd, err := ReadDictionary(sibling(vmx, ".vmsd"))
	if os.IsNotExist(err) {
		return ParseDictionary(".encoding = \"UTF-8\"\n"), nil
	}
	return vmsd, err
}

// number reads a number of a dictionary; what is none is 0.
func number(d *Dictionary, key string) int {
	n, err := strconv.Atoi(d.Get(key))
	if err != nil {
		return 0
	}
	return n
}

// findSnapshot returns the prefix ("snapshot0") of the snapshot of that name.
func findSnapshot(vmsd *Dictionary, name string) (prefix string, err error) {
	for i := range number(vmsd, "snapshot.numSnapshots") {
		candidate := fmt.Sprintf("snapshot%d", i)
		if vmsd.Get(candidate+".displayName") != name {
			continue
		}
		if prefix != "" {
			return "", say("The specified name is not unique")
		}
		prefix = candidate
	}
	if prefix == "" {
		return "", say(fmt.Sprintf("Invalid snapshot name '%s'", name))
	}
	return prefix, nil
}

// snapshotDisks returns the disks as they were when the snapshot was taken.
func snapshotDisks(vmsd *Dictionary, prefix, folder string) []Disk {
	var found []Disk
	for i := range number(vmsd, prefix+".numDisks") {
		disk := fmt.Sprintf("%s.disk%d", prefix, i)
		found = append(found, Disk{
			Key:  strings.ToLower(vmsd.Get(disk+".node")) + ".filename",
			Path: within(folder, vmsd.Get(disk+".fileName")),
		})
	}
	return found
}

// hasMemory says whether the snapshot was taken of a running machine: nothing
// can be cloned from it.
func hasMemory(vmsd *Dictionary, prefix, folder string) bool {
	state := vmsd.Get(prefix + ".filename")
	return state != "" && exists(filepath.Join(folder, sibling(state, ".vmem")))
}

// takeSnapshot adds a snapshot to the virtual machine: from now on it writes
// to new disks, whose parents are those it had.
func takeSnapshot(vmx string, config *Dictionary, name string, memory bool) error {
	vmsd, err := readSnapshots(vmx)
	if err != nil {
		return err
	}
	folder, base := filepath.Dir(vmx), strings.TrimSuffix(filepath.Base(vmx), filepath.Ext(vmx))
	index, uid := number(vmsd, "snapshot.numSnapshots"), number(vmsd, "snapshot.lastUID")+1
	prefix := fmt.Sprintf("snapshot%d", index)
	state := fmt.Sprintf("%s-Snapshot%d.vmsn", base, uid)
	if err := replace(filepath.Join(folder, state), []byte("state\n")); err != nil {
		return err
	}
	if memory {
		if err := replace(filepath.Join(folder, sibling(state, ".vmem")), []byte("memory\n")); err != nil {
			return err
		}
	}
	attached := disks(config, folder)
	for i, disk := range attached {
		vmsd.Set(fmt.Sprintf("%s.disk%d.fileName", prefix, i), config.Get(disk.Key))
		vmsd.Set(fmt.Sprintf("%s.disk%d.node", prefix, i), strings.TrimSuffix(disk.Key, ".filename"))
		delta := fmt.Sprintf("%s-%06d.vmdk", strings.TrimSuffix(filepath.Base(disk.Path), ".vmdk"), uid)
		if err := child(filepath.Join(folder, delta), disk.Path); err != nil {
			return err
		}
		config.Set(disk.Key, delta)
	}
	if parent := vmsd.Get("snapshot.current"); parent != "" {
		vmsd.Set(prefix+".parent", parent)
	}
	vmsd.Set(prefix+".uid", strconv.Itoa(uid))
	vmsd.Set(prefix+".filename", state)
	vmsd.Set(prefix+".displayName", name)
	vmsd.Set(prefix+".numDisks", strconv.Itoa(len(attached)))
	vmsd.Set("snapshot.numSnapshots", strconv.Itoa(index+1))
	vmsd.Set("snapshot.lastUID", strconv.Itoa(uid))
	vmsd.Set("snapshot.current", strconv.Itoa(uid))
	if err := vmsd.Write(sibling(vmx, ".vmsd")); err != nil {
		return err
	}
	return config.Write(vmx)
}
