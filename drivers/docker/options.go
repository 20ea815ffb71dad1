package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// options is what a label's definition asks of the driver.
type options struct {
	images       []images.Image
	entrypoint   []string // nil: the image's
	command      []string // nil: the image's
	user         string   // empty: the image's
	readOnly     bool
	capabilities []string // on top of the usual ones
}

// readOptions reads a definition's options. Names match in any case; unknown
// ones are ignored, and so is null.
func readOptions(def model.LabelDefinition) (options, error) {
	var o options
	given := map[string]json.RawMessage{}
	if len(def.Options) > 0 {
		if err := json.Unmarshal(def.Options, &given); err != nil {
			return options{}, fmt.Errorf("options: got %.40s, want a JSON object", def.Options)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if string(given[name]) == "null" {
			continue
		}
		if err := o.set(strings.ToLower(name), given[name]); err != nil {
			return options{}, fmt.Errorf("option %s: %w", name, err)
		}
	}
	if len(o.images) == 0 {
		return options{}, errors.New("option images: got nothing, want a list of objects with url, sum, name, version, tag, of which the last one runs")
	}
	return o, checkNetwork(def.Resources.Network)
}

// OptionNames implements drivers.OptionNamer.
func (*driver) OptionNames() []string {
	return []string{"images", "command", "entrypoint", "user", "read_only", "capabilities"}
}

func (o *options) set(name string, value json.RawMessage) error {
	switch name {
	case "images":
		return images.ReadList(value, &o.images)
	case "entrypoint":
		return setWords(value, &o.entrypoint)
	case "command":
		return setWords(value, &o.command)
	case "user":
		return o.setUser(value)
	case "read_only":
		return decode(value, &o.readOnly, "true or false")
	case "capabilities":
		return o.setCapabilities(value)
	}
	return nil
}

// setWords takes a command as the words that it is, or one program.
func setWords(value json.RawMessage, into *[]string) error {
	var program string
	if json.Unmarshal(value, &program) == nil {
		*into = []string{program}
	} else if err := decode(value, into, `a list of words such as ["/bin/sh", "-c", "make"], or one program`); err != nil {
		return err
	}
	for _, word := range *into {
		if strings.ContainsRune(word, 0) {
			return errors.New("it holds a NUL byte, which no program can be given")
		}
	}
	if len(*into) == 0 || (*into)[0] == "" {
		return errors.New("got nothing, want a program")
	}
	return nil
}

func (o *options) setUser(value json.RawMessage) error {
	if err := decode(value, &o.user, `a user as "name", "uid" or "uid:gid"`); err != nil {
		return err
	}
	name := `[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}`
	if !regexp.MustCompile(`^` + name + `(:` + name + `)?$`).MatchString(o.user) {
		return fmt.Errorf(`got %.40q, want a user as "name", "uid" or "uid:gid"`, o.user)
	}
	return nil
}

// usualCapabilities is what root in an environment needs to install and build
// software; all others are dropped.
func usualCapabilities() []string {
	return []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"}
}

// moreCapabilities is what a label may add. NET_RAW is not among them: with it an
// environment takes the address of another, and reads its metadata.
func moreCapabilities() []string {
	return []string{"AUDIT_WRITE", "IPC_LOCK", "MKNOD", "SETFCAP", "SETPCAP", "SYS_CHROOT", "SYS_NICE", "SYS_PTRACE"}
}

func (o *options) setCapabilities(value json.RawMessage) error {
	if err := decode(value, &o.capabilities, "a list of names of capabilities"); err != nil {
		return err
	}
	allowed := append(moreCapabilities(), usualCapabilities()...)
	for i, name := range o.capabilities {
		short := strings.TrimPrefix(strings.ToUpper(name), "CAP_")
		if !slices.Contains(allowed, short) {
			return fmt.Errorf("%.40q can not be added; allowed are %s", name, strings.Join(moreCapabilities(), ", "))
		}
		o.capabilities[i] = short
	}
	return nil
}

// decode reads one value; the error says what is allowed.
func decode[T any](value json.RawMessage, into *T, want string) error {
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("got %.40s, want %s", value, want)
	}
	return nil
}
