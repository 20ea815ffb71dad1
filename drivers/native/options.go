package native

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/images"
	"github.com/aquarium-fish/aquarium-fish/drivers/volume"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// defaultEntry is what an image's author provides (contract 30).
const defaultEntry = "./init.sh"

// options is what a label's definition asks of the driver.
type options struct {
	images []images.Image
	entry  entry
	groups []string
}

// readOptions reads a definition's options. Names match in any case; unknown
// ones are ignored, and so is null.
func readOptions(def model.LabelDefinition) (options, error) {
	text := defaultEntry
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
		if err := o.set(strings.ToLower(name), given[name], &text); err != nil {
			return options{}, fmt.Errorf("option %s: %w", name, err)
		}
	}
	var err error
	if o.entry, err = parseEntry(text, slices.Collect(maps.Keys(def.Resources.Disks))); err != nil {
		return options{}, fmt.Errorf("option entry: %w", err)
	}
	if err := o.checkTags(def.Resources.Disks); err != nil {
		return options{}, err
	}
	return o, nil
}

// OptionNames implements drivers.OptionNamer.
func (*driver) OptionNames() []string { return []string{"entry", "images", "groups"} }

func (o *options) set(name string, value json.RawMessage, entry *string) error {
	switch name {
	case "images":
		return o.setImages(value)
	case "entry":
		return decode(value, entry, `a command line such as "./init.sh"`)
	case "groups":
		return o.setGroups(value)
	}
	return nil
}

func (o *options) setImages(value json.RawMessage) error {
	if err := images.ReadList(value, &o.images); err != nil {
		return err
	}
	for i, image := range o.images {
		if err := image.Validate(); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
	}
	return nil
}

// setGroups refuses what no system takes for a group, first of all what a tool
// would take for an option.
func (o *options) setGroups(value json.RawMessage) error {
	if err := decode(value, &o.groups, "a list of group names"); err != nil {
		return err
	}
	name := regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$`)
	for _, group := range o.groups {
		if !name.MatchString(group) {
			return fmt.Errorf("%.40q is no name of a group", group)
		}
	}
	return nil
}

// checkTags: an image goes to the home or to a disk of the definition.
func (o *options) checkTags(disks map[string]model.Disk) error {
	for i, image := range o.images {
		if image.Tag == "" {
			continue
		}
		disk, ok := disks[image.Tag]
		if !ok {
			return fmt.Errorf("option images: entry %d: tag %q names no disk of the resources", i, image.Tag)
		}
		if volume.TypeOf(disk) == volume.Raw {
			return fmt.Errorf("option images: entry %d: disk %q is raw, nothing can be laid out on it", i, image.Tag)
		}
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

var errNoEntry = errors.New(`got nothing, want a command line such as "./init.sh"`)
