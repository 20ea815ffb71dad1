//go:build unix

package vmrunfake

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// StateEnv names the variable that puts the state somewhere else than beside
// the executable.
const StateEnv = "VMRUNFAKE_STATE"

// Config is how the fake host behaves when nothing fails.
type Config struct {
	// Lease is how long after its start a guest has an address.
	Lease time.Duration `json:"lease"`
	// SoftStop is how long a guest takes to shut down when asked.
	SoftStop time.Duration `json:"soft_stop"`
	// LockWait is how long a command waits for files that another one uses.
	LockWait time.Duration `json:"lock_wait"`
	// Subnets are the first three bytes of the networks' addresses by name
	// (hostonly, nat).
	Subnets map[string]string `json:"subnets"`
	// StaleLocks lets a start fail on the locks that a crash left, as it is
	// reported of real hosts, where else they are taken over.
	StaleLocks bool `json:"stale_locks"`
}

// DefaultConfig is quick: nobody waits for a guest that does not exist.
func DefaultConfig() Config {
	return Config{
		Lease: 50 * time.Millisecond, SoftStop: 50 * time.Millisecond, LockWait: time.Second,
		Subnets: map[string]string{"hostonly": "172.16.77", "nat": "172.16.78"},
	}
}

// State is the folder in which the fake keeps what the real programs keep in
// the kernel, in sockets and in folders of root.
type State struct{ Dir string }

// Orders is the file with the failures to come: a JSON array of Order.
func (s State) Orders() string { return filepath.Join(s.Dir, "orders.json") }

// Leases is the folder of the DHCP servers' files, laid out as on the real
// hosts below /var/db/vmware (fusion) and /etc/vmware (ws).
func (s State) Leases() string { return filepath.Join(s.Dir, "leases") }

func (s State) configFile() string { return filepath.Join(s.Dir, "config.json") }
func (s State) counts() string     { return filepath.Join(s.Dir, "counts.json") }
func (s State) calls() string      { return filepath.Join(s.Dir, "calls.jsonl") }
func (s State) machines() string   { return filepath.Join(s.Dir, "vms") }

// machine is the folder of one virtual machine, named by its .vmx.
func (s State) machine(vmx string) string {
	sum := sha256.Sum256([]byte(vmx))
	return filepath.Join(s.machines(), hex.EncodeToString(sum[:8]))
}

// gone says that the test is over and took its folder along.
func (s State) gone() bool { return !exists(s.Dir) }

// Config reads the configuration; what it does not say is as in DefaultConfig.
func (s State) Config() (Config, error) {
	config := DefaultConfig()
	text, err := os.ReadFile(s.configFile())
	if errors.Is(err, fs.ErrNotExist) {
		return config, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &config)
	}
	return config, err
}

// Configure writes the configuration.
func (s State) Configure(config Config) error { return writeJSON(s.configFile(), config) }

// Call is one call of a program. Exit is -1 until it has ended by itself: for
// one that hangs, and for ever for one that was killed.
type Call struct {
	PID  int      `json:"pid"`
	Args []string `json:"args,omitempty"` // the program's base name first
	Exit int      `json:"exit"`
}

// begin and end write down a call; the order of lines is the order of events.
func (s State) begin(args []string) error {
	return s.record(Call{PID: os.Getpid(), Args: args, Exit: -1})
}

func (s State) end(exit int) error { return s.record(Call{PID: os.Getpid(), Exit: exit}) }

// record appends a line in one write, which needs no lock.
func (s State) record(call Call) error {
	line, err := json.Marshal(call)
	if err != nil {
		return err
	}
	return appendTo(s.calls(), string(line)+"\n")
}

// Calls returns every call so far, oldest first.
func (s State) Calls() ([]Call, error) {
	text, err := os.ReadFile(s.calls())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var calls []Call
	open := map[int]int{} // where the call of a process stands
	for line := range strings.Lines(string(text)) {
		var call Call
		if err := json.Unmarshal([]byte(line), &call); err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		if call.Args != nil {
			open[call.PID] = len(calls)
			calls = append(calls, call)
		} else if i, known := open[call.PID]; known {
			calls[i].Exit = call.Exit
		}
	}
	return calls, nil
}

// appendTo adds text to the end of a file, which it makes if there is none.
func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "\t")
	if err != nil {
		return err
	}
	return replace(path, append(text, '\n'))
}

// errInUse says that another command had the files for too long.
var errInUse = errors.New("the file is already in use")

// lock takes the file for this process, and gives up after the time given. A
// process that is killed leaves no lock.
func lock(path string, patience time.Duration) (release func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(patience)
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // a lock ends with its file, and a read-only close loses nothing
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(err, f.Close())
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(errInUse, f.Close())
		}
		time.Sleep(2 * time.Millisecond)
	}
}
