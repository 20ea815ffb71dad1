//go:build unix

package vmrunfake

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// diskProgram is the name of the tool for disks.
const diskProgram = "vmware-vdiskmanager"

// diskUsage is what it prints when it does not understand.
const diskUsage = `VMware Virtual Disk Manager - build 00000000.
Usage: vmware-vdiskmanager -c <create disk options> <disk-name>
  Options for creating disk:
     -a <adapter>   : ide, buslogic, lsilogic
     -s <size>      : capacity of the virtual disk
     -t <disk-type> : 0 growable, 1 growable split, 2 preallocated, 3 preallocated split
`

// capacity is a size as the tool takes it: sectors, or with a unit.
var capacity = regexp.MustCompile(`^(\d+)([KMGT]?B?)$`)

// vdisk is the program vmware-vdiskmanager, as far as it creates disks.
func (p *program) vdisk(args []string, stdout io.Writer) int {
	options := map[string]string{}
	var path string
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "-c":
			options["-c"] = "yes"
		case slices.Contains([]string{"-s", "-a", "-t"}, arg) && i+1 < len(args):
			options[arg] = args[i+1]
			i++
		case !strings.HasPrefix(arg, "-") && path == "":
			path = arg
		default:
			return p.misunderstood(stdout, diskUsage, 1)
		}
	}
	sectors, err := parseSize(options["-s"])
	if options["-c"] == "" || path == "" || err != nil ||
		!slices.Contains([]string{"ide", "buslogic", "lsilogic"}, options["-a"]) ||
		!slices.Contains([]string{"0", "1", "2", "3"}, options["-t"]) {
		return p.misunderstood(stdout, diskUsage, 1)
	}
	exit := p.obey("vdisk", args, stdout, func(out io.Writer) error {
		fmt.Fprintf(out, "Creating disk '%s'\n", path)
		if err := createDisk(path, sectors, options["-a"], options["-t"], p.half); err != nil {
			fmt.Fprintf(out, "Failed to create disk: %s\n", diskWords(err))
			return say("see above")
		}
		fmt.Fprintln(out, "Virtual disk creation successful.")
		return nil
	})
	if exit == failed {
		return 1
	}
	return exit
}

// diskWords puts an error into the tool's words, with its code.
func diskWords(err error) string {
	switch {
	case os.IsExist(err):
		return "The file already exists (0x2700000019)."
	case os.IsNotExist(err):
		return "The system cannot find the file specified (0x2000000003)."
	case os.IsPermission(err):
		return "Insufficient permission to access the file (0x260000000d)."
	default:
		return err.Error()
	}
}

// createDisk makes the disk; a preallocated one has its data in a second file.
func createDisk(path string, sectors int64, adapter, kind string, half func()) error {
	if kind == "2" || kind == "3" {
		flat, err := os.OpenFile(strings.TrimSuffix(path, ".vmdk")+"-flat.vmdk", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		err = flat.Truncate(sectors * sectorBytes)
		if closed := flat.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return err
		}
	}
	half()
	return writeDisk(path, sectors, adapter, "")
}

// sectorBytes is what a disk is counted in.
const sectorBytes = 512

// parseSize reads a capacity into sectors.
func parseSize(text string) (sectors int64, err error) {
	found := capacity.FindStringSubmatch(strings.ToUpper(text))
	if found == nil {
		return 0, fmt.Errorf("size %q: want digits and KB, MB or GB", text)
	}
	n, err := strconv.ParseInt(found[1], 10, 64)
	if err != nil {
		return 0, err
	}
	switch strings.TrimSuffix(found[2], "B") {
	case "K":
		n *= 1 << 10 / sectorBytes
	case "M":
		n *= 1 << 20 / sectorBytes
	case "G":
		n *= 1 << 30 / sectorBytes
	case "T":
		n *= 1 << 40 / sectorBytes
	}
	if n <= 0 {
		return 0, fmt.Errorf("size %q: want more than nothing", text)
	}
	return n, nil
}
