package config

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/yamlconf"
)

// warnOfSecrets warns if others can read the config file and a driver's secret
// stands in it.
func (l *loader) warnOfSecrets() {
	info, err := os.Stat(l.file)
	if err != nil || info.Mode().Perm()&0o077 == 0 || runtime.GOOS == "windows" {
		return
	}
	var keys []string
	for i, e := range l.cfg.Drivers {
		for _, p := range yamlconf.InlineSecrets(e.Cfg, fmt.Sprintf("drivers[%d].cfg", i)) {
			keys = append(keys, fmt.Sprintf("%s in line %d", p.Key, p.Line))
		}
	}
	if len(keys) > 0 {
		l.warn(fmt.Sprintf("others can read this file (mode %v), and secrets stand in it (%s): chmod 600 it, or write {file: PATH} or {env: NAME} instead",
			info.Mode().Perm(), strings.Join(keys, ", ")))
	}
}
