//go:build unix

package vmrunfake

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// diskKey is where a .vmx names what is attached.
var diskKey = regexp.MustCompile(`^(?:scsi|sata|nvme|ide)\d+:\d+\.filename$`)

// Disk is one virtual disk of a virtual machine.
type Disk struct {
	Key  string // of its file name in the .vmx, in lower case
	Path string // absolute
}

// disks returns the disks that the .vmx in the folder has attached. Drives for
// removable media are none.
func disks(vmx *Dictionary, folder string) []Disk {
	var found []Disk
	for _, key := range vmx.Keys() {
		device := strings.TrimSuffix(key, ".filename")
		kind := vmx.Get(device + ".deviceType")
		present := vmx.Get(device + ".present")
		if !diskKey.MatchString(key) || strings.EqualFold(present, "FALSE") || strings.Contains(kind, "cdrom") {
			continue
		}
		found = append(found, Disk{Key: key, Path: within(folder, vmx.Get(key))})
	}
	return found
}

// within returns the absolute path of a name that stands in a file of the
// folder.
func within(folder, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(folder, name)
}

// descriptor is the text at the head of a .vmdk.
func descriptor(sectors int64, adapter, parent string) string {
	parentID, hint, create := "ffffffff", "", "monolithicSparse"
	if parent != "" {
		parentID, hint = "fffffffe", `parentFileNameHint="`+parent+"\"\n"
	}
	return fmt.Sprintf(`# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=%s
createType=%q
%s
# Extent description
RW %d SPARSE "-"

# The Disk Data Base
ddb.adapterType = %q
ddb.virtualHWVersion = "19"
`, parentID, create, hint, sectors, adapter)
}

// writeDisk makes a new disk; its data is a hole.
func writeDisk(path string, sectors int64, adapter, parent string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(descriptor(sectors, adapter, parent))
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// extent is a line of a descriptor that says how long the disk is.
var extent = regexp.MustCompile(`(?m)^RW (\d+) `)

// chain follows a disk and its parents, and fails with vmrun's words where one
// is missing or is no disk.
func chain(path string) error {
	for range 64 { // deeper than any host allows
		text, err := os.ReadFile(path)
		if err != nil {
			return say("A file was not found")
		}
		if !strings.HasPrefix(string(text), "# Disk DescriptorFile") {
			return say("The file specified is not a virtual disk")
		}
		parent := ParseDictionary(string(text)).Get("parentFileNameHint")
		if parent == "" {
			return nil
		}
		path = within(filepath.Dir(path), parent)
	}
	return say("The file specified is not a virtual disk")
}

// child makes a disk that holds what differs from its parent.
func child(path, parent string) error {
	text, err := os.ReadFile(parent)
	if err != nil {
		return say("A file was not found")
	}
	var sectors int64
	if found := extent.FindSubmatch(text); found != nil {
		_, _ = fmt.Sscan(string(found[1]), &sectors) // digits by the expression
	}
	adapter := ParseDictionary(string(text)).Get("ddb.adapterType")
	return writeDisk(path, sectors, adapter, parent)
}
