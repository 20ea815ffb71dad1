package config_test

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// The README's table is what people configure by: it lists every key, in the order of the struct, with its default.
func TestReadmeListsEveryKeyWithItsDefault(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "## Configuration\n")
	if !found {
		t.Fatal("README has no section Configuration")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var got []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([^|]+) \\| [^|]{10,} \\|$").FindAllStringSubmatch(section, -1) {
		got = append(got, row[1]+" = "+row[2])
	}
	var want []string
	defaults := reflect.ValueOf(config.Default())
	for i := range defaults.NumField() {
		key := defaults.Type().Field(i).Tag.Get("yaml")
		want = append(want, key+" = "+defaultText(key, defaults.Field(i).Interface()))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("README table (-want +got):\n%s", diff)
	}
}

// defaultText renders a default as the README does. Those that Load derives are words.
func defaultText(key string, value any) string {
	derived := map[string]string{
		"tls_key": "`<node_name>.key`", "tls_crt": "`<node_name>.crt`", "tls_ca_crt": "`ca.crt`", "ssh_key": "`<node_name>_id_ecdsa`",
		"node_name": "host name", "node_identifiers": "facts of the host", "drivers": "every driver",
	}
	if text := derived[key]; text != "" {
		return text
	}
	text := fmt.Sprint(value)
	switch v := value.(type) {
	case time.Duration:
		text = durationText(v)
	case yamlconf.Size:
		text = v.String()
	case []string:
		text = strings.Join(v, ",")
	}
	if text == "" {
		return "none"
	}
	return "`" + text + "`"
}

// durationText writes a duration with its largest whole unit.
func durationText(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d > 0 && d%unit.length == 0 {
			return fmt.Sprintf("%d%s", d/unit.length, unit.name)
		}
	}
	return fmt.Sprint(int64(d))
}
