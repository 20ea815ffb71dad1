package vmx

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
	images  []images.Image
	network network
}

var errNoImages = errors.New("option images: got nothing, want a list of images, of which the last one runs")

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
		if strings.EqualFold(name, "images") && string(given[name]) != "null" {
			if err := o.setImages(given[name]); err != nil {
				return options{}, fmt.Errorf("option %s: %w", name, err)
			}
		}
	}
	if len(o.images) == 0 {
		return options{}, errNoImages
	}
	var err error
	o.network, err = readNetwork(def.Resources.Network)
	return o, err
}

// OptionNames implements drivers.OptionNamer.
func (*driver) OptionNames() []string { return []string{"images"} }

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

// network is what the virtual machine's card is connected to.
type network struct {
	kind string // hostonly, nat, bridged or custom
	vnet string // which network, if custom
}

// readNetwork reads the resources' network: VMware's own names for them, and
// the ones of networks that an admin made.
func readNetwork(name string) (network, error) {
	switch {
	case name == "":
		return network{kind: "hostonly"}, nil
	case name == "hostonly" || name == "nat" || name == "bridged":
		return network{kind: name}, nil
	case regexp.MustCompile(`^vmnet[0-9]{1,3}$`).MatchString(name):
		return network{kind: "custom", vnet: name}, nil
	}
	return network{}, fmt.Errorf("network %.40q: want hostonly (the default), nat, bridged or vmnet and a number", name)
}
