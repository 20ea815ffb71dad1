package aws

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// options is what a label's definition asks of the driver.
type options struct {
	image         named    // id, name with wildcards, or tag
	types         []string // in the order of their use; none: the pool's
	securityGroup string   // id or name; empty: the default group of the VPC
	tags          map[string]string
	encryptKey    string // id, ARN or alias; empty: disks are as the image and the account have them
	pool          string
	zones         []string // empty: any
	spot          spotOptions
	hibernate     bool
	iamProfile    string // name or ARN

	userdataFormat metadata.Format // empty: no userdata
	userdataPrefix string

	// For the task `image`.
	taskImageName       string
	taskImageEncryptKey string

	network named
	disks   []diskOptions // sorted by device
}

// spotOptions says how a spot instance is tried.
type spotOptions struct {
	attempts int  // 0: no spot
	onDemand bool // when all attempts found no capacity
}

// defaultSpotAttempts is enough for each zone of a region once, and for some of
// a second type.
const defaultSpotAttempts = 5

// mostSpotAttempts bounds how long one may try: each attempt costs a token of
// the bucket of RunInstances, of which there are 2 a second.
const mostSpotAttempts = 50

// readOptions reads a definition's options, and what only this driver
// understands of its resources. Names match in any case; unknown ones are
// ignored, and so is null. It touches nothing outside.
func readOptions(def model.LabelDefinition) (options, error) {
	o := options{}
	given := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(def.Options)) > 0 {
		if err := json.Unmarshal(def.Options, &given); err != nil {
			return options{}, fmt.Errorf("options: got %.40s, want a JSON object", def.Options)
		}
	}
	readers := map[string]func(json.RawMessage) error{}
	for _, r := range o.readers() {
		readers[r.name] = r.read
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		read, known := readers[strings.ToLower(name)]
		if !known || string(given[name]) == "null" {
			continue
		}
		if err := read(given[name]); err != nil {
			return options{}, fmt.Errorf("option %s: %w", name, err)
		}
	}
	if err := o.whole(); err != nil {
		return options{}, err
	}
	err := o.readResources(def.Resources)
	return o, err
}

// reader reads one option.
type reader struct {
	name string
	read func(json.RawMessage) error
}

// readers are of all options, in the order of their use.
func (o *options) readers() []reader {
	return []reader{
		{"image", o.readImage},
		{"instance_type", func(v json.RawMessage) error {
			name, err := text(v, "a type such as m7i.large", typeName)
			if name != "" {
				o.types = append([]string{name}, o.types...)
			}
			return err
		}},
		{"instance_types", func(v json.RawMessage) error {
			names, err := texts(v, "a list of types such as m7i.large", typeName)
			o.types = append(o.types, names...)
			return err
		}},
		{"security_group", o.readGroup},
		{"tags", o.readTags},
		{"encrypt_key", textTo(&o.encryptKey, "the id or the ARN of a key, or alias/NAME", keyName)},
		{"pool", textTo(&o.pool, "the name of a pool of the node's config", poolName)},
		{"zones", func(v json.RawMessage) (err error) {
			o.zones, err = texts(v, "a list of zones such as eu-west-1a", zoneName)
			return err
		}},
		{"spot", o.readSpot},
		{"hibernate", func(v json.RawMessage) error {
			if err := json.Unmarshal(v, &o.hibernate); err != nil {
				return wrong(v, "true or false")
			}
			return nil
		}},
		{"iam_instance_profile", textTo(&o.iamProfile, "the name or the ARN of an instance profile", profileName)},
		{"userdata_format", o.readFormat},
		{"userdata_prefix", textTo(&o.userdataPrefix, "what is put before the names, such as data", anyText)},
		{"task_image_name", textTo(&o.taskImageName, "3 to 100 letters, digits and ()[] ./-'@_ for the name of an image", imageName)},
		{"task_image_encrypt_key", textTo(&o.taskImageEncryptKey, "the id or the ARN of a key, or alias/NAME", keyName)},
	}
}

// OptionNames implements drivers.OptionNamer.
func (*driver) OptionNames() []string {
	var names []string
	for _, r := range (&options{}).readers() {
		names = append(names, r.name)
	}
	return names
}

// whole checks what one option alone can not say.
func (o *options) whole() error {
	o.types = unique(o.types)
	switch {
	case o.image == named{}:
		return errors.New("option image: got nothing, want an image's id, its name (`*` and `?` stand for anything), or Tag:Value")
	case len(o.types) == 0 && o.pool == "":
		return errors.New("option instance_type: got nothing, want a type such as m7i.large, or a list of them in instance_types")
	case o.userdataPrefix != "" && o.userdataFormat == "":
		return errors.New("option userdata_prefix: want a userdata_format with it: env, ps1 or json")
	}
	return o.fit()
}

// fit checks that the options go with each other.
func (o *options) fit() error {
	switch {
	case o.pool != "" && o.spot.attempts > 0:
		return errors.New("option spot: want no pool with it: dedicated hosts run no spot instances")
	case o.hibernate && o.spot.attempts > 0:
		return errors.New("option hibernate: want no spot with it: a spot instance that hibernates is resumed by EC2 alone")
	case o.pool != "" && o.hibernate:
		return errors.New("option hibernate: want no pool with it: what is on a dedicated host can not hibernate there")
	case o.pool != "" && len(o.types) > 1:
		return errors.New("option instance_types: want one type with a pool: that of its hosts")
	}
	return nil
}

// unique is a list without repetitions, in its order.
func unique(list []string) []string {
	var once []string
	for _, s := range list {
		if !slices.Contains(once, s) {
			once = append(once, s)
		}
	}
	return once
}

func (o *options) readImage(v json.RawMessage) error {
	const want = "an image's id, its name (`*` and `?` stand for anything), or Tag:Value"
	s, err := text(v, want, anyText)
	if err != nil {
		return err
	}
	o.image, err = readNamed(s, "ami-", true)
	return err
}

func (o *options) readGroup(v json.RawMessage) (err error) {
	if o.securityGroup, err = text(v, "the id or the name of a security group", anyText); err != nil || o.securityGroup == "" {
		return err
	}
	return checkGroup(o.securityGroup)
}

func (o *options) readTags(v json.RawMessage) error {
	if err := json.Unmarshal(v, &o.tags); err != nil {
		return wrong(v, `an object such as {"Team": "ci"}`)
	}
	if len(o.tags) > mostTags {
		return fmt.Errorf("got %d tags, want at most %d: AWS takes 50, and some are ours", len(o.tags), mostTags)
	}
	for _, key := range slices.Sorted(maps.Keys(o.tags)) {
		if err := checkTag(key, o.tags[key]); err != nil {
			return err
		}
	}
	return nil
}

// readSpot reads true, false, or an object.
func (o *options) readSpot(v json.RawMessage) error {
	var is bool
	if json.Unmarshal(v, &is) == nil {
		if is {
			o.spot = spotOptions{attempts: defaultSpotAttempts, onDemand: true}
		}
		return nil
	}
	given := struct {
		MaxAttempts int  `json:"max_attempts"`
		OnDemand    bool `json:"on_demand"`
	}{defaultSpotAttempts, true}
	dec := json.NewDecoder(bytes.NewReader(v))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&given); err != nil {
		return wrong(v, `true, false or {"max_attempts": 5, "on_demand": true}`)
	}
	if given.MaxAttempts < 1 || given.MaxAttempts > mostSpotAttempts {
		return fmt.Errorf("max_attempts: got %d, want 1 to %d", given.MaxAttempts, mostSpotAttempts)
	}
	o.spot = spotOptions{attempts: given.MaxAttempts, onDemand: given.OnDemand}
	return nil
}

func (o *options) readFormat(v json.RawMessage) error {
	const want = `"" for none, json, env or ps1`
	var name string
	if err := json.Unmarshal(v, &name); err != nil {
		return wrong(v, want)
	}
	switch f := metadata.Format(name); f {
	case "", metadata.JSON, metadata.Env, metadata.PowerShell:
		o.userdataFormat = f
		return nil
	}
	return wrong(v, want)
}

// named is a thing of AWS that a label names by one of three ways.
type named struct {
	id         string
	name       string // with wildcards
	key, value string // of a tag
}

// readNamed reads an id with one of EC2's prefixes, Tag:Value, or, where the
// thing has one, a name. What has a colon is a tag: EC2 takes none in names of images.
func readNamed(s, prefix string, hasName bool) (named, error) {
	key, value, isTag := strings.Cut(s, ":")
	switch {
	case isTag && key != "" && value != "":
		return named{key: key, value: value}, nil
	case isTag:
		return named{}, fmt.Errorf("got %q, want Tag:Value with both of them", s)
	case strings.HasPrefix(s, prefix):
		if !isID(s) {
			return named{}, fmt.Errorf("got %q, which begins as an id and is none: want %s and 8 or 17 hex digits", s, prefix)
		}
		return named{id: s}, nil
	case hasName:
		return named{name: s}, nil
	}
	return named{}, fmt.Errorf("got %q, want %s and 17 hex digits, or Tag:Value", s, prefix)
}

// textTo reads a text into a field.
func textTo(to *string, want string, is form) func(json.RawMessage) error {
	return func(v json.RawMessage) (err error) {
		*to, err = text(v, want, is)
		return err
	}
}

func text(v json.RawMessage, want string, is form) (string, error) {
	var s string
	if err := json.Unmarshal(v, &s); err != nil || s != "" && !is(s) {
		return "", wrong(v, want)
	}
	return s, nil
}

func texts(v json.RawMessage, want string, is form) ([]string, error) {
	var list []string
	if err := json.Unmarshal(v, &list); err != nil {
		return nil, wrong(v, want)
	}
	for _, s := range list {
		if !is(s) {
			return nil, wrong(v, want)
		}
	}
	return list, nil
}

// wrong says what was given, as far as it is short, and what is wanted.
func wrong(v json.RawMessage, want string) error {
	return fmt.Errorf("got %.60s, want %s", v, want)
}
