//go:build unix

package vmrunfake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// failed is the exit code of every error and of a wrong call.
const failed = 255

// say is an error in vmrun's words, which stand after "Error: ".
type say string

func (s say) Error() string { return string(s) }

// notRunning is what vmrun says of a machine that is off.
func notRunning(vmx string) error { return say("The virtual machine is not powered on: " + vmx) }

// noMachine is what vmrun says of a .vmx that is not there.
func noMachine(vmx string) error {
	return say("Cannot open VM: " + vmx + ", The virtual machine cannot be found")
}

// isRunning is what vmrun says of a machine, or a snapshot, that is on.
const isRunning = say("The virtual machine should not be powered on. It is already running.")

// inUse is what vmrun says when another process has its files.
const inUse = say("The file is already in use")

// Main is the body of all three programs: argv[0] names which. It returns the
// exit code.
func Main(argv []string, stdout io.Writer) int {
	executable, err := os.Executable()
	if err != nil {
		return complain(err)
	}
	state := State{Dir: filepath.Join(filepath.Dir(executable), "state")}
	if dir := os.Getenv(StateEnv); dir != "" {
		state.Dir = dir
	}
	if err := os.MkdirAll(state.machines(), 0o755); err != nil {
		return complain(err)
	}
	name := filepath.Base(argv[0])
	if name == machineProgram {
		return runMachine(state, argv[1:])
	}
	config, err := state.Config()
	if err != nil {
		return complain(err)
	}
	p := &program{state: state, config: config, folder: filepath.Dir(executable), argv: append([]string{name}, argv[1:]...)}
	run := p.vmrun
	if name == diskProgram {
		run = p.vdisk
	}
	exit := run(argv[1:], stdout)
	if err := state.end(exit); err != nil {
		return complain(err)
	}
	return exit
}

// complain tells what is wrong with the fake itself. No real program exits so.
func complain(err error) int {
	fmt.Fprintln(os.Stderr, "vmrunfake:", err)
	return 99
}

// program is one call of vmrun or vmware-vdiskmanager.
type program struct {
	state   State
	config  Config
	folder  string // of the executables
	argv    []string
	dieHalf bool // the middle of the command is its end
}

// command does the work of a call, and writes what vmrun prints.
type command func(out io.Writer) error

// obey runs the command with whatever was ordered for it.
func (p *program) obey(name string, args []string, stdout io.Writer, work command) int {
	orders, err := p.state.take(name, args)
	if err == nil {
		err = p.state.begin(p.argv) // who sees the call may kill it: its orders are counted
	}
	if err != nil {
		return complain(err)
	}
	var order Order // only the first that is due; the others wait for a call of their own
	if len(orders) > 0 {
		order = orders[0]
	}
	switch order.Do {
	case Hang:
		p.hang()
	case Slow:
		time.Sleep(order.after())
	case Fail, Say:
		return answer(stdout, order.Output, order.code())
	case Die:
		p.dieHalf = true
	}
	var out bytes.Buffer
	exit := p.do(work, &out)
	switch order.Do {
	case HangAfter:
		p.hang()
	case Die, DieAfter:
		die()
	case FailAfter:
		return answer(stdout, order.Output, order.code())
	case Partial:
		return answer(stdout, out.String()[:min(order.Bytes, out.Len())], order.Exit)
	}
	return answer(stdout, out.String(), exit)
}

// code is the exit code of an ordered answer.
func (o Order) code() int {
	if o.Exit == 0 && o.Do != Say {
		return failed
	}
	return o.Exit
}

// do runs the command and puts an error into words.
func (p *program) do(work command, out *bytes.Buffer) int {
	err := work(out)
	if err == nil {
		return 0
	}
	var words say
	switch {
	case errors.As(err, &words):
	case errors.Is(err, errInUse):
		words = inUse
	case errors.Is(err, os.ErrPermission):
		words = "Insufficient permissions"
	case errors.Is(err, unix.ENOSPC):
		words = "There is not enough space in the file system for the operation"
	default:
		fmt.Fprintln(os.Stderr, "vmrunfake:", err) // for the reader of a failed test
		words = "Unknown error"
	}
	fmt.Fprintf(out, "Error: %s\n", words)
	return failed
}

// misunderstood answers a wrong call.
func (p *program) misunderstood(stdout io.Writer, usage string, exit int) int {
	if err := p.state.begin(p.argv); err != nil {
		return complain(err)
	}
	return answer(stdout, usage, exit)
}

func answer(stdout io.Writer, text string, exit int) int {
	if _, err := io.WriteString(stdout, text); err != nil {
		return failed // nobody listens any more
	}
	return exit
}

// hang waits to be killed, or for the end of the test.
func (p *program) hang() {
	for !p.state.gone() {
		time.Sleep(50 * time.Millisecond)
	}
	os.Exit(failed)
}

// half is the middle of a command, where it may end.
func (p *program) half() {
	if p.dieHalf {
		die()
	}
}

// die ends this process as kill -9 does.
func die() {
	_ = unix.Kill(os.Getpid(), unix.SIGKILL) // one may always kill oneself
	select {}
}
