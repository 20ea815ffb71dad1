package aws

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// example is one of the example files, as JSON that keeps its lines.
func example(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile("../../examples/aws/" + name)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := yamlconf.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := doc.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(asJSON, into); err != nil {
		t.Fatal(err)
	}
}

// TestExamples: the config's instances are as the driver reads them, and the
// labels are for them.
func TestExamples(t *testing.T) {
	t.Parallel()
	var config struct {
		Drivers []struct {
			Name string
			Cfg  json.RawMessage
		}
	}
	example(t, "config.yml", &config)
	pools := map[string]settings{}
	for _, d := range config.Drivers {
		s, unknown, err := readSettings(d.Cfg)
		if err != nil || len(unknown) > 0 {
			t.Errorf("%s: %v, %v", d.Name, unknown, err)
		}
		if _, err := shares(drivers.Config{Cfg: d.Cfg}); err != nil {
			t.Error(err)
		}
		pools[d.Name] = s
	}
	for _, name := range []string{"label-linux.yml", "label-mac.yml"} {
		var label struct{ Definitions []model.LabelDefinition }
		example(t, name, &label)
		for _, def := range label.Definitions {
			o, err := readOptions(def)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			s, known := pools[def.Driver]
			if _, has := s.DedicatedPool[o.pool]; !known || o.pool != "" && !has {
				t.Errorf("%s: instance %q, pool %q: the example config has neither", name, def.Driver, o.pool)
			}
			var options map[string]json.RawMessage
			_ = json.Unmarshal(def.Options, &options)
			for option := range options {
				if !strings.Contains(strings.Join((*driver)(nil).OptionNames(), " "), option) {
					t.Errorf("%s: option %q is none", name, option)
				}
			}
		}
	}
}

// TestReadmeNamesEverything: each key of the config and each option is in the
// driver's part of the README.
func TestReadmeNamesEverything(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, found := strings.Cut(string(text), "\n### aws\n")
	if !found {
		t.Fatal("the README has no part about aws")
	}
	part, _, _ = strings.Cut(part, "\n## ")
	names := (*driver)(nil).OptionNames()
	for _, of := range []reflect.Type{reflect.TypeFor[settings](), reflect.TypeFor[poolSettings]()} {
		for _, field := range reflect.VisibleFields(of) {
			names = append(names, field.Tag.Get("yaml"))
		}
	}
	for _, name := range names {
		if !strings.Contains(part, "`"+name+"`") {
			t.Errorf("`%s` is not in the README", name)
		}
	}
}
