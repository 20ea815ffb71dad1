//go:build linux || darwin

package keeper

import (
	"fmt"
	"strings"
)

// shellScript is what a shell behind sudo reads to become the entry. The
// environment goes this way because sudo drops it, an argument list can be
// read by everybody, and this binary may lie where the user can not reach it.
func shellScript(s Spec, marker string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "echo %s\nunset SUDO_COMMAND SUDO_USER SUDO_UID SUDO_GID SUDO_HOME MAIL\numask 022\n", marker)
	for _, pair := range s.Env {
		name, value, _ := strings.Cut(pair, "=")
		if reservedByShells(name) {
			fmt.Fprintf(&b, "echo %s\n", quote(name+" is not set: shells reserve the name"))
			continue
		}
		fmt.Fprintf(&b, "export %s=%s\n", name, quote(value))
	}
	fmt.Fprintf(&b, "cd -- %s || exit 126\nexec", quote(s.Dir))
	for _, arg := range s.Argv {
		b.WriteString(" " + quote(arg))
	}
	b.WriteString(" </dev/null\n")
	return b.String()
}

// reservedByShells names variables that a shell refuses to set, and those that
// it can not name.
func reservedByShells(name string) bool {
	switch name {
	case "UID", "EUID", "PPID", "SHELLOPTS", "BASHOPTS", "BASH_VERSINFO":
		return true
	}
	for i, r := range name {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return true
		}
	}
	return false
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
