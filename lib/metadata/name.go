package metadata

import (
	"slices"
	"strings"
)

// Name cleans a joined key into a name (contract 17): dots become underscores,
// whatever else is no ASCII letter, digit or underscore vanishes, as do
// leading digits. Nothing may be left of it.
func Name(key string) string {
	cleaned := strings.Map(func(r rune) rune {
		switch {
		case r == '.':
			return '_'
		case r == '_', '0' <= r && r <= '9', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
			return r
		}
		return -1
	}, key)
	return strings.TrimLeft(cleaned, "0123456789")
}

// sameName reports whether a key makes the name, cases not told apart.
func sameName(key, name string) bool { return strings.EqualFold(Name(key), name) }

// Protected reports whether application metadata may not set the name in an
// environment, because it decides what runs there and as whom (contract 32). A
// label may, but for the names that are Reserved: those nobody may.
// Case does not count: where the system does not tell cases apart, either one
// would do.
func Protected(name string) bool {
	name = strings.ToUpper(name)
	exact := []string{"PATH", "HOME", "SHELL", "USER", "IFS", "ENV", "BASH_ENV", "NODE_OPTIONS"}
	if slices.Contains(exact, name) {
		return true
	}
	prefixes := []string{"LD_", "DYLD_", "PYTHON", "PERL", "GIT_"}
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}
