package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

// The bash of macOS is 3.2, of 2007: it refuses, or silently takes for something
// else, what came later. This is what people use of that.
var younger = []struct {
	pattern *regexp.Regexp
	what    string
	example string // that it finds
}{
	{regexp.MustCompile(`\b(declare|local|typeset|readonly)\s+-\w*[Aglnu]`), "associative arrays, references and cases of variables", "local -A map"},
	{regexp.MustCompile(`\b(mapfile|readarray|coproc)\b`), "builtin of 4.0", "mapfile -t lines"},
	{regexp.MustCompile(`\$\{\w+(\[[^]]*\])?(\^|,)`), "change of case", "${name^^}"},
	{regexp.MustCompile(`&>>|\|&`), "redirection of both outputs", "make |& tee log"},
	{regexp.MustCompile(`;&|;;&`), "case that goes on", "a) one ;;&"},
	{regexp.MustCompile(`\bprintf\b.*%[-0-9]*\(`), "time by printf", "printf '%(%F)T' -1"},
	{regexp.MustCompile(`\$\{\w+\[-`), "negative index", "${list[-1]}"},
	{regexp.MustCompile(`\$\{[^}]+:[^}:]*:\s*-`), "negative length", "${text:0:-1}"},
	{regexp.MustCompile(`\$\{[^}]*@[QEPAaKkULu]\}`), "transformation", "${name@Q}"},
	{regexp.MustCompile(`(^|[;&|]|\b(then|do|else))\s*wait\s+-`), "option of wait", "wait -n"},
	{regexp.MustCompile(`(\[\[?|(^|[;&|!]|\b(if|while|until))\s*test)\s+(!\s+)?-v\s`), "test of a variable", "[ -v name ]"},
	{regexp.MustCompile(`\b(BASHPID|EPOCHSECONDS|EPOCHREALTIME|SRANDOM|BASH_XTRACEFD)\b`), "variable", "kill $BASHPID"},
	{regexp.MustCompile(`\bshopt\b.*\b(globstar|lastpipe|inherit_errexit|dirspell|autocd)\b`), "option of the shell", "shopt -s globstar"},
	{regexp.MustCompile(`\bread\s[^;|]*-\w*[iN]\b`), "option of read", "read -N 1 key"},
	{regexp.MustCompile(`\bread\s[^;|]*-t\s*\d*\.`), "part of a second", "read -t 0.5 line"},
	{regexp.MustCompile(`\{\w+\}[<>]`), "number of a file by name", "exec {log}>file"},
	{regexp.MustCompile(`\{0\d+\.\.|\{\w+\.\.\w+\.\.\w+\}`), "sequence with zeros or steps", "{01..10}"},
	{regexp.MustCompile(`(\bsource|(^|\s)\.)\s+<\(`), "source reads nothing from a process there", "source <(tool completion)"},
	// With set -u an empty array is an unknown variable there.
	{regexp.MustCompile(`(^|[^+])"\$\{\w+\[[@*]\]\}"`), `array without a guard: ${a[@]+"${a[@]}"}`, `run "${list[@]}"`},
	{regexp.MustCompile(`"\$\{@:`), "arguments from a place on: shift", `run "${@:2}"`},
}

// youngerThan32 finds what bash 3.2 does not know; comments may name it.
func youngerThan32(script string) (found []string) {
	for line := range strings.Lines(script) {
		code := regexp.MustCompile(`(^|\s)#.*`).ReplaceAllString(strings.TrimSpace(line), "")
		for _, y := range younger {
			if y.pattern.MatchString(code) {
				found = append(found, y.what+": "+code)
			}
		}
	}
	return found
}

// shellSources are all scripts of the repository, and what the README tells to
// type: name -> text.
func shellSources(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.sh", "*/*.sh", "*/*/*.sh"} {
		names, err := filepath.Glob(filepath.Join("..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = string(text)
		}
	}
	for i, block := range readmeBlocks(t) {
		all["README.md, block "+string(rune('1'+i))] = block
	}
	return all
}

// TestShellOfMacOS looks for what a bash 3.2 would not run. There is none for
// Linux any more: this is by reading, and running is left to those who have one.
func TestShellOfMacOS(t *testing.T) {
	t.Parallel()
	for _, y := range younger {
		if len(youngerThan32(y.example)) == 0 {
			t.Errorf("%s is not found in %q: this test proves nothing", y.what, y.example)
		}
	}
	if found := youngerThan32(`for f in "$@"; do echo "${f%/*}" "${f:-x}" 2>&1 | sed 1d; done; wait "$pid"; ${list[@]+"${list[@]}"}`); len(found) > 0 {
		t.Errorf("found in what 3.2 knows: %q", found)
	}
	sources := shellSources(t)
	for _, must := range []string{"../build.sh", "../examples/quickstart.sh", "../packaging/postinst.sh", "README.md, block 1"} {
		if sources[must] == "" {
			t.Errorf("%s is not looked at", must)
		}
	}
	for name, text := range sources {
		for _, found := range youngerThan32(text) {
			t.Errorf("%s: bash 3.2 has no %s", name, found)
		}
	}
}

// TestShellSyntax: each script is read by the shell that it names. `sh` is dash
// on Debian, which knows nothing of bash.
func TestShellSyntax(t *testing.T) {
	t.Parallel()
	for name, text := range shellSources(t) {
		shell := "bash"
		if strings.HasPrefix(text, "#!/bin/sh\n") {
			shell = "dash"
		}
		if _, err := exec.LookPath(shell); err != nil {
			needs.Lacking(t, "needs", shell)
		}
		cmd := exec.CommandContext(t.Context(), shell, "-n")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %s -n: %v\n%s", name, shell, err, out)
		}
	}
}
