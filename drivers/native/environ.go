package native

import (
	"maps"
	"slices"

	"github.com/aquarium-fish/aquarium-fish/lib/metadata"
)

// systemPath is the PATH of an environment with a user of its own, until its
// login shell reads the system's profile.
const systemPath = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"

// person is who an environment runs as, and where it lives.
type person struct {
	name, home, temp, shell, path string
}

// variables are the environment variables of an environment: first what every
// process of a user has, over it the metadata (which may replace those only
// where the label says so), over all what the node itself says.
func variables(p person, meta metadata.Flat, disks, own map[string]string) map[string]string {
	all := map[string]string{
		"HOME": p.home, "USER": p.name, "LOGNAME": p.name, "SHELL": p.shell, "PATH": p.path, "TMPDIR": p.temp,
	}
	for _, pair := range meta.Pairs {
		all[pair.Name] = fillValue(pair.Value, disks)
	}
	maps.Copy(all, own)
	return all
}

// environ is variables as a process takes them, sorted.
func environ(variables map[string]string) []string {
	list := make([]string, 0, len(variables))
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		list = append(list, name+"="+variables[name])
	}
	return list
}

// quote makes one word of a shell's of a value.
func quote(value string) string { return metadata.QuoteShell(value) }
