//go:build unix

package vmrunfake

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// usage is what vmrun prints when it does not understand. The real one is
// longer: it knows more commands.
const usage = `vmrun version 1.17.0 build-00000000

Usage: vmrun [AUTHENTICATION-FLAGS] COMMAND [PARAMETERS]

AUTHENTICATION-FLAGS
--------------------
These must appear before the command and any command parameters.

   -T <hostType> (ws|fusion)

POWER COMMANDS           PARAMETERS           DESCRIPTION
--------------           ----------           -----------
start                    Path to vmx file     Start a VM
                         nogui

stop                     Path to vmx file     Stop a VM
                         [hard|soft]

reset                    Path to vmx file     Reset a VM
                         [hard|soft]

suspend                  Path to vmx file     Suspend a VM
                         [hard|soft]

SNAPSHOT COMMANDS        PARAMETERS           DESCRIPTION
-----------------        ----------           -----------
snapshot                 Path to vmx file     Create a snapshot of a VM
                         Snapshot name

GENERAL COMMANDS         PARAMETERS           DESCRIPTION
----------------         ----------           -----------
list                                          List all running VMs

deleteVM                 Path to vmx file     Delete a VM

clone                    Path to vmx file     Create a copy of the VM
                         Path to destination vmx file
                         linked
                         -snapshot Snapshot Name
                         -cloneName Name
`

// vmrun is the program of that name.
func (p *program) vmrun(args []string, stdout io.Writer) int {
	name, work := p.parse(args)
	if work == nil {
		return p.misunderstood(stdout, usage, failed)
	}
	return p.obey(name, args, stdout, work)
}

// parse understands the command line, or returns no command.
func (p *program) parse(args []string) (name string, work command) {
	if len(args) < 3 || args[0] != "-T" || !slices.Contains([]string{"fusion", "ws"}, args[1]) {
		return "", nil
	}
	product, name, args := args[1], args[2], args[3:]
	if name == "list" {
		if len(args) > 0 {
			return "", nil
		}
		return name, p.list
	}
	if len(args) == 0 {
		return "", nil
	}
	if power := p.power(product, name, args[0], args[1:]); power != nil {
		return name, power
	}
	return name, p.general(name, args[0], args[1:])
}

// power understands the commands that a running machine ends or begins with.
func (p *program) power(product, name, vmx string, rest []string) command {
	mode, moded := powerMode(rest)
	switch {
	case name == "start" && slices.Equal(rest, []string{"nogui"}):
		return p.start(product, vmx)
	case name == "stop" && moded:
		return p.stop(vmx, mode)
	case name == "reset" && moded:
		return p.reset(vmx, mode)
	case name == "suspend" && moded:
		return p.suspend(vmx)
	}
	return nil
}

// general understands the other commands about one machine.
func (p *program) general(name, vmx string, rest []string) command {
	switch {
	case name == "clone" && len(rest) == 6 && rest[1] == "linked" && rest[2] == "-snapshot" && rest[4] == "-cloneName":
		return p.clone(vmx, rest[0], rest[3], rest[5])
	case name == "deleteVM" && len(rest) == 0:
		return p.deleteVM(vmx)
	case name == "snapshot" && len(rest) == 1:
		return p.snapshot(vmx, rest[0])
	}
	return nil
}

// powerMode reads the optional word after a power command.
func powerMode(rest []string) (mode string, understood bool) {
	switch {
	case len(rest) == 0:
		return "soft", true
	case len(rest) == 1 && (rest[0] == "soft" || rest[0] == "hard"):
		return rest[0], true
	}
	return "", false
}

// list prints what runs.
func (p *program) list(out io.Writer) error {
	machines, err := p.state.VMs()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Total running VMs: %d\n", len(machines))
	for _, vm := range machines {
		fmt.Fprintln(out, vm.VMX)
	}
	return nil
}

// open finds the virtual machine and its canonical path.
func (p *program) open(vmx string) (canonical string, config *Dictionary, err error) {
	canonical, err = filepath.EvalSymlinks(vmx)
	if err == nil {
		canonical, err = filepath.Abs(canonical)
	}
	if err != nil {
		return "", nil, noMachine(vmx)
	}
	config, err = ReadDictionary(canonical)
	if os.IsPermission(err) {
		return "", nil, err
	}
	if err != nil || config.Get("config.version") == "" {
		return "", nil, say("Cannot read the virtual machine configuration file")
	}
	return canonical, config, nil
}

// take opens a virtual machine and keeps other commands away from it until
// release.
func (p *program) take(vmx string) (canonical string, config *Dictionary, release func(), err error) {
	if canonical, config, err = p.open(vmx); err == nil {
		release, err = p.own(canonical)
	}
	return canonical, config, release, err
}

// own keeps other commands away from the virtual machine for a while.
func (p *program) own(canonical string) (release func(), err error) {
	return lock(filepath.Join(p.state.machine(canonical), "command"), p.config.LockWait)
}
