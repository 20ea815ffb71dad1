package wire

import (
	"slices"
	"strconv"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/cloud"
)

// form reads the parameters of a request and remembers which were read: what is
// left over is a mistake of the client. The first problem is kept, and values
// after it mean nothing.
type form struct {
	*fields
	prefix string // of the part that it reads, such as "Filter.1."
}

type fields struct {
	values  map[string]string
	used    map[string]bool
	err     *cloud.Error
	missing string // the code for a parameter that is not there
}

func newForm(values map[string]string, missing string) form {
	return form{fields: &fields{values: values, used: map[string]bool{}, missing: missing}}
}

func (f form) fail(code, format string, args ...any) {
	if f.err == nil {
		f.err = cloud.NewError(code, format, args...)
	}
}

// decline refuses what AWS can do and cloud.API can not say.
func (f form) decline(format string, args ...any) {
	f.fail("NotImplemented", "this server can not do that: "+format, args...)
}

// problem is what is wrong with the request after all that is known was read.
func (f form) problem() error {
	for _, name := range f.names() {
		if !f.used[name] {
			f.fail("UnknownParameter", "The parameter %s is not recognized", name)
		}
	}
	if f.err == nil {
		return nil // and no *cloud.Error that is nil
	}
	return f.err
}

// names are all parameters in order, for the same answer to the same request.
func (f form) names() []string {
	names := make([]string, 0, len(f.values))
	for name := range f.values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// has reports whether a parameter, or a part of it, is there.
func (f form) has(name string) bool {
	name = f.prefix + name
	if _, ok := f.values[name]; ok {
		return true
	}
	for n := range f.values {
		if strings.HasPrefix(n, name+".") {
			return true
		}
	}
	return false
}

// text is a parameter; empty if it is not there.
func (f form) text(name string) string {
	name = f.prefix + name
	f.used[name] = true
	return f.values[name]
}

// required is a parameter that has to be there.
func (f form) required(name string) string {
	value := f.text(name)
	if value == "" {
		f.fail(f.missing, "The request must contain the parameter %s", f.prefix+name)
	}
	return value
}

// oneOf is a parameter that has one of some values if it is there.
func (f form) oneOf(name string, allowed ...string) string {
	value := f.text(name)
	if value != "" && !slices.Contains(allowed, value) {
		f.fail("InvalidParameterValue", "Value (%s) for parameter %s is invalid. Valid values: %s", value, f.prefix+name, strings.Join(allowed, ", "))
	}
	return value
}

// only is a parameter of which cloud.API knows one value. EC2's default is
// another one, or is not sure, if it has to be there.
func (f form) only(name, value string, needed bool) {
	got := f.text(name)
	if got != value && (got != "" || needed) {
		f.decline("%s has to be %s, and is %q", f.prefix+name, value, got)
	}
}

func (f form) number(name string) int {
	value := f.text(name)
	if value == "" {
		return 0
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		f.fail("InvalidParameterValue", "Value (%s) for parameter %s is invalid. It is no integer.", value, f.prefix+name)
	}
	return n
}

func (f form) flag(name string) bool { return f.oneOf(name, "true", "false") == "true" }

// texts is a list of values: NAME.1, NAME.2 and so on.
func (f form) texts(name string) []string {
	var list []string
	for i := 1; ; i++ {
		key := name + "." + strconv.Itoa(i)
		if _, ok := f.values[f.prefix+key]; !ok {
			return list
		}
		list = append(list, f.text(key))
	}
}

// group is a structure within the request.
func (f form) group(name string) form { return form{f.fields, f.prefix + name + "."} }

// groups is a list of structures.
func (f form) groups(name string) []form {
	var list []form
	for i := 1; ; i++ {
		key := name + "." + strconv.Itoa(i)
		if !f.has(key) {
			return list
		}
		list = append(list, f.group(key))
	}
}

// tags reads pairs of a key and a value.
func (f form) tags(name string) cloud.Tags {
	tags := cloud.Tags{}
	for _, pair := range f.groups(name) {
		key := pair.required("Key")
		if _, twice := tags[key]; twice {
			f.fail("InvalidParameterValue", "Duplicate tag key '%s' specified.", key)
		}
		tags[key] = pair.text("Value")
	}
	return tags
}

// tagsFor reads TagSpecification, which has to tag all of the types alike, or
// none: cloud.API makes them with the same tags, and a client that forgets one
// would leave it without an owner at AWS.
func (f form) tagsFor(types ...string) cloud.Tags {
	specs := map[string]cloud.Tags{}
	for _, spec := range f.groups("TagSpecification") {
		kind := spec.required("ResourceType")
		if !slices.Contains(types, kind) {
			f.fail("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", kind)
		}
		if specs[kind] != nil {
			f.fail("InvalidParameterValue", "TagSpecification has '%s' twice", kind)
		}
		specs[kind] = spec.tags("Tag")
	}
	if len(specs) == 0 {
		return nil
	}
	first := specs[types[0]]
	for _, kind := range types {
		if specs[kind] == nil || !sameTags(specs[kind], first) {
			f.decline("TagSpecification has to have the same tags for all of %s", strings.Join(types, ", "))
		}
	}
	return first
}

func sameTags(a, b cloud.Tags) bool {
	if len(a) != len(b) {
		return false
	}
	for key, value := range a {
		if other, ok := b[key]; !ok || other != value {
			return false
		}
	}
	return true
}
