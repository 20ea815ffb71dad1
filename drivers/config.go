package drivers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/drivers/space"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// Factory makes the instances of one driver.
type Factory struct {
	// Name is the driver's name, such as "native": the part before the slash
	// of an instance's name.
	Name string
	// New makes one instance from its configuration, or says why it can not
	// serve here. It is called again after an error, also when the same thing
	// failed before. ctx bounds this call only and must not be kept.
	New func(ctx context.Context, cfg Config) (Driver, error)
	// Check reads a configuration as New does, and makes nothing. It returns
	// unknown keys, and what is wrong as New would; nil means that nothing can
	// be said before New.
	Check func(cfg Config) (unknown []yamlconf.Problem, err error)
	// Shares reads from a configuration which things outside the instance uses
	// together with those of other nodes; nil: none. It makes nothing.
	Shares func(cfg Config) ([]Share, error)
	// Lifetime reads from a configuration how long environments live whose
	// definition says nothing; 0: for ever. It is the factory's as Shares is: an
	// environment ages also while its instance is not ready. Nil, or not ok: the
	// node's default counts.
	Lifetime func(cfg Config) (lifetime time.Duration, ok bool)
	// Absent says why the binary knows the driver's name and nothing more, in
	// words that follow the instance's name. An entry of it is accepted, so that a config
	// may name it before it is there, and absent for good; it is never part
	// of the default list. Empty: New makes instances.
	Absent string
}

// Config is what an instance is made from.
type Config struct {
	// Instance is the full name: "test", or "test/dev".
	Instance string
	// Cfg is the `cfg` of the entry in the config file: YAML, or JSON that
	// keeps the lines of the file (lib/yamlconf decodes both); may be empty.
	Cfg []byte
	// Line is where the entry stands in the config file; 0 if there is none.
	Line int
	// Directory is the node's own directory (contract 2).
	Directory string
	// Logger already names the instance.
	Logger *slog.Logger
	// NodeUID is the node on whose behalf environments are made.
	NodeUID model.UID
	// Owner says who owns what Factory.Shares names.
	Owner OwnerOf
	// First reports that nobody ever owned a shared thing before this process
	// took it for this node: then nobody can have anything under way there. It
	// answers from memory. It may be nil.
	First func(thing string) bool
	// Ask asks that owner. It is never nil.
	Ask Ask
	// Wanted says what the node keeps for the instance. It is never nil.
	Wanted Wanted
	// Former says who does not look after what it made any more.
	Former Former
	// TaskTimeout is how long the tasks of a release may take together, before the
	// environment is ended whatever they are at; 0: not known.
	TaskTimeout time.Duration
	// Rooms counts the room of file systems for all instances of the node: one
	// with disks on this machine joins it in New, and leaves it in Close.
	Rooms *space.Rooms
	// HasRoom is called by an instance when its Capacity may answer with more
	// than it did, or without an error again: what waits is looked at again at
	// once. It may be nil, and never waits.
	HasRoom func()
}

// Wanted are the tokens and identifiers of an instance's open allocations. They
// are stored before the driver hears of them: what was listed before this is
// asked, and is not among them, nobody asked for. It answers from memory. Names
// are nil while nothing is known yet; whole is false where the database was
// restored, or lay still for long: it may know less than what runs.
type Wanted func() (names map[string]bool, whole bool)

// Former says whose things outside have nobody any more who looks after them, so
// that any instance that sees them may. It answers from memory. Of the zero value
// nobody is former.
type Former struct {
	// Retired says when a node was taken out of the cluster for good: it is asserted
	// to be off, what it ran has ended for everybody, and it never comes back. A
	// database that was restored knows less of these, and nothing that is not so. The time is
	// the clock's of who retired it, zero where that is not known. What it made after
	// that shows that it runs all the same, perhaps in another cluster.
	Retired func(node model.UID) (at time.Time, retired bool)
	// Configured reports whether an instance is in this node's configuration, ready
	// or not.
	Configured func(instance string) bool
	// Wanted is Config.Wanted for any instance of this node, also one that is not
	// configured any more.
	Wanted func(instance string) (names map[string]bool, whole bool)
}

// RetiredAt is Retired, of a node by the text of its UID. Who is no node never was.
func (f Former) RetiredAt(node string) (at time.Time, retired bool) {
	uid, err := uuid.Parse(node)
	if err != nil || f.Retired == nil {
		return time.Time{}, false
	}
	return f.Retired(uid)
}

// Instance reports whether an instance of this node was removed from the
// configuration, or renamed.
func (f Former) Instance(name string) bool {
	return name != "" && f.Configured != nil && f.Wanted != nil && !f.Configured(name)
}

// Entry is one entry of the config key `drivers` (contract 2).
type Entry struct {
	Name string // "<driver>" or "<driver>/<instance>"
	Cfg  []byte // see Config.Cfg
	Line int    // in the config file, 0 if unknown
}

// namePart is what a driver's or an instance's own name is made of. It ends up
// in the names of files, containers and tags.
const namePart = `[A-Za-z0-9_.-]+`

// resolve finds the factory of every entry. Everything wrong with the list is
// reported at once, in the form in which lib/yamlconf reports a wrong value.
func resolve(entries []Entry, factories []Factory) ([]Factory, error) {
	byName := make(map[string]Factory, len(factories))
	var known []string
	for _, f := range factories {
		byName[f.Name] = f
		known = append(known, f.Name)
	}
	slices.Sort(known)
	name := regexp.MustCompile(`^` + namePart + `(/` + namePart + `)?$`)

	var errs []error
	found := make([]Factory, len(entries))
	firstLine := make(map[string]int, len(entries))
	for i, e := range entries {
		refuse := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("%sdrivers[%d].name: %s", linePrefix(e.Line), i, fmt.Sprintf(format, args...)))
		}
		driver, instance, _ := strings.Cut(e.Name, "/")
		if !name.MatchString(e.Name) || isDots(driver) || isDots(instance) {
			refuse("%q is no name; want `driver` or `driver/instance`, each of letters, digits, `_`, `.` and `-`", e.Name)
			continue
		}
		if first, dup := firstLine[e.Name]; dup {
			refuse("%q is already used%s; give each instance of a driver its own name, such as %s/second",
				e.Name, atLine(first), driver)
			continue
		}
		firstLine[e.Name] = e.Line
		f, ok := byName[driver]
		if !ok {
			refuse("driver %q is not known; known: %s", driver, strings.Join(known, ", "))
		}
		found[i] = f
	}
	return found, errors.Join(errs...)
}

// isDots tells the two names that mean another directory.
func isDots(s string) bool { return s == "." || s == ".." }

func linePrefix(line int) string {
	if line == 0 {
		return ""
	}
	return fmt.Sprintf("line %d: ", line)
}

func atLine(line int) string {
	if line == 0 {
		return ""
	}
	return fmt.Sprintf(" in line %d", line)
}
