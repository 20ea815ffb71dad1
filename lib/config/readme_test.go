package config_test

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
)

// update writes the table into the README: go test ./lib/config -run Readme -update
var update = flag.Bool("update", false, "write the table of keys into README.md")

const readmePath = "../../README.md"

// The README's table is what people configure by: it is made from the code.
func TestReadmeHasTheTableOfKeys(t *testing.T) {
	text, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), "## Configuration\n")
	if !found {
		t.Fatal("README has no section Configuration")
	}
	table := regexp.MustCompile(`(?m)^\| key \| default \| meaning \|\n(\|.*\n)*`)
	at := table.FindStringIndex(rest)
	if at == nil {
		t.Fatal("the section Configuration has no table of keys")
	}
	got := rest[at[0]:at[1]]
	if *update {
		text := before + "## Configuration\n" + rest[:at[0]] + config.Table() + rest[at[1]:]
		if err := os.WriteFile(readmePath, []byte(text), 0o644); err != nil { //nolint:gosec // everybody may read it
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(config.Table(), got); diff != "" {
		t.Errorf("README table (-want +got), `go test ./lib/config -run Readme -update` mends it:\n%s", diff)
	}
}

func TestEveryKeyIsExplained(t *testing.T) {
	for _, k := range config.Keys() {
		if len(k.Meaning) < 10 || (k.Default == "") == (k.Words == "") || strings.ContainsAny(k.Meaning, "|\n") {
			t.Errorf("%+v: want a meaning in one line, and either a default or words for it", k)
		}
	}
}
