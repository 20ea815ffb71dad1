//go:build unix

// Command vmrun is a fake of VMware's vmrun, vmware-vdiskmanager and
// vmware-vmx for tests, by the name it is called. See the package vmrunfake.
package main

import (
	"os"

	"github.com/aquarium-fish/aquarium-fish/drivers/vmx/vmrunfake"
)

func main() { os.Exit(vmrunfake.Main(os.Args, os.Stdout)) }
