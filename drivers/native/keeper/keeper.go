// Package keeper runs each native environment under a small parent process of
// its own: the keeper. It is the node's binary, started again with a hidden
// subcommand, in a session of its own, so that it outlives the node's restart,
// upgrade and kill -9. It owns and bounds the log, reaps what its environment
// leaves behind, records how the environment ended and kills what is left of
// its tree.
//
// The node side is Start, Look, Wait and Stop; all that they know is in the
// environment's folder. The keeper side is Main. DESIGN.md tells who decides
// what.
package keeper

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Command is the hidden subcommand: a binary that uses this package calls
// Main with the arguments after it, before it does anything else.
const Command = "native-keeper"

// TokenVariable is set to the token in every environment, so that processes
// which escaped from their keeper can be told from all others.
const TokenVariable = "AQUARIUM_FISH_TOKEN"

// Names of the keeper's files in an environment's folder.
const (
	LogFile    = "log" // what the environment printed last
	OldLogFile = LogFile + ".1"
	StopFile   = "stop" // its presence forbids any keeper to start
	lockFile   = "lock" // locked by the keeper as long as it lives
	recordFile = "keeper.json"
	exitFile   = "exit.json"
	aliveFile  = "alive"      // FIFO that the keeper holds open: its end wakes Wait
	traceFile  = "keeper.err" // a crash of the keeper itself

	reserveSuffix = ".reserve" // of a file that holds disk blocks for another
)

const (
	// DefaultLogMax bounds log and log.1 together where Spec has no LogMax.
	DefaultLogMax = 10 << 20
	// DefaultStopGrace is the time between interrupt and kill (contract 30).
	DefaultStopGrace = 5 * time.Second
)

var (
	// ErrEnded says that the environment was started before and has ended: it
	// is never started twice. Look tells how it ended.
	ErrEnded = errors.New("environment was started before and has ended")
	// ErrStopped says that Stop was called for the folder: nothing starts in it any more.
	ErrStopped = errors.New("environment is being removed")
)

// Spec is what a keeper runs, as whom and where.
type Spec struct {
	// Folder is the environment's own folder, absolute, owned by the node's
	// user and not writable for the environment's.
	Folder string
	Token  string // the allocation's: 32 hex digits
	// Argv is the entry: an absolute path and its arguments.
	Argv []string
	// Env is the whole environment of the entry as NAME=value, apart from
	// TokenVariable. It may hold secrets and never appears in an argument.
	Env []string
	Dir string // working directory, entered as the entry's user
	// Credential is who the entry runs as; for a node that is root. With nil
	// it is the node's own user, or who Sudo makes it.
	Credential *Credential
	// Sudo comes before a shell that becomes the entry, for a node that is not
	// root: sudo, -n, -u, user, --. The first is an absolute path.
	Sudo []string
	// KillCommand is used with "-s SIGNAL -- PID..." on processes that the
	// node's user may not signal: sudo, -n, kill. The first is an absolute path.
	KillCommand []string
	// Join are cgroup.procs files of cgroups that nothing but this environment
	// uses. The entry is in them before its first instruction.
	Join    []string
	Rlimits []Rlimit
	// LogMax bounds log and log.1 together, in bytes. Default DefaultLogMax.
	LogMax int64
	// StopGrace is used where the node has died before it could tell another.
	// Default DefaultStopGrace.
	StopGrace time.Duration
}

// Credential is a user with its groups, as numbers of this machine.
type Credential struct {
	UID    uint32
	GID    uint32
	Groups []uint32 // in addition to GID
}

// Rlimit is one limit of setrlimit(2), soft and hard.
type Rlimit struct {
	Resource int // RLIMIT_*
	Value    uint64
}

// Presence is what exists of an environment.
type Presence int

const (
	// None means that no entry was ever started in the folder.
	None Presence = iota
	// Starting means that a keeper lives that has not yet started its entry.
	Starting
	// Running means that the entry or something that it started lives.
	Running
	// Ended means that it was started and its keeper lives no more.
	Ended
)

// String returns the presence as a word.
func (p Presence) String() string {
	names := []string{"none", "starting", "running", "ended"}
	if p < 0 || int(p) >= len(names) {
		return fmt.Sprintf("presence %d", int(p))
	}
	return names[p]
}

// State is what Look finds.
type State struct {
	Presence Presence
	// Ending says how it ended, in words for the user. Only if Ended.
	Ending string
	// ExitCode is the entry's, -1 where a signal or nobody knows what ended it.
	ExitCode int
	Signal   string // such as "killed", if a signal ended the entry
	// Lost means that the keeper itself was killed, or the machine restarted:
	// what the entry started may live on until Stop.
	Lost bool
	// Keeper and Entry are process ids, if Running.
	Keeper, Entry int
}

func (s Spec) validate() error {
	switch {
	case s.Token == "" || strings.ContainsAny(s.Token, "\x00\n="):
		return errors.New("keeper: a token is required")
	case len(s.Argv) == 0:
		return errors.New("keeper: an entry is required")
	case s.Credential != nil && len(s.Sudo) > 0:
		return errors.New("keeper: credential and sudo exclude each other")
	}
	for _, path := range s.paths() {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("keeper: %q is not an absolute path", path)
		}
	}
	for _, text := range slices.Concat(s.Argv, s.Env, s.Sudo, s.KillCommand, s.paths()) {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return errors.New("keeper: arguments, environment and paths must be UTF-8 without zero bytes")
		}
	}
	for _, pair := range s.Env {
		if name, _, ok := strings.Cut(pair, "="); !ok || name == "" {
			return fmt.Errorf("keeper: %q is not the name of an environment variable with a value", name)
		}
	}
	return nil
}

// paths are all that must not depend on a working directory.
func (s Spec) paths() []string {
	paths := append([]string{s.Folder, s.Dir, s.Argv[0]}, s.Join...)
	for _, command := range [][]string{s.Sudo, s.KillCommand} {
		if len(command) > 0 {
			paths = append(paths, command[0])
		}
	}
	return paths
}

func (s Spec) withDefaults() Spec {
	if s.LogMax <= 0 {
		s.LogMax = DefaultLogMax
	}
	if s.StopGrace <= 0 {
		s.StopGrace = DefaultStopGrace
	}
	return s
}
