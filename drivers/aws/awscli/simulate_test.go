package awscli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// errCommandLine marks the errors of a command line.
var errCommandLine = errors.New("usage")

// localShell is a program around a command that asks no node.
type localShell struct {
	Shell // is never asked for what is not here
	notes []string
}

func (s *localShell) Note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

func (s *localShell) Usage(format string, args ...any) error {
	return errors.Join(errCommandLine, fmt.Errorf(format, args...))
}

// simulated runs `simulate` in an empty folder with a trace on standard input.
func simulated(t *testing.T, input string, args ...string) (stdout string, notes []string, err error) {
	t.Helper()
	sh := &localShell{}
	c := simulateCommand(sh)
	var out bytes.Buffer
	c.SetIn(strings.NewReader(input))
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetArgs(args)
	c.SilenceErrors, c.SilenceUsage = true, true
	err = c.ExecuteContext(t.Context())
	return out.String(), sh.notes, err
}

const twoJobs = "startTime,executionTime\n1000,60\n2000,60\n"

func TestSimulate(t *testing.T) {
	dir := t.TempDir()
	pools := filepath.Join(dir, "pools.yml")
	if err := os.WriteFile(pools, []byte("prices: {mac2.metal: 2}\nunknown: 1\ndedicated_pool: {one: {max: 1}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	chart := filepath.Join(dir, "hosts.svg")
	for _, tt := range []struct {
		args  []string
		wants []string
	}{
		{nil, []string{"Pool mac of mac2.metal at 0.65 USD an hour", "1970-01", "total"}},
		{[]string{"--price", "mac2.metal=0.5", "--svg", chart}, []string{"at 0.5 USD an hour"}},
		{[]string{"-o", "json"}, []string{`"executed_seconds": 120`, `"usd_per_hour": 0.6500`}},
		{[]string{"-o", "csv"}, []string{"pool,type,month", "mac,mac2.metal,1970-01,2,120"}},
		{[]string{"--pools", pools}, []string{"Pool one of mac2.metal at 2 USD an hour"}},
		{[]string{"--sweep", "--sweep-max", "1,2", "--wait-p95", "3h"}, []string{"30 settings", "Cheapest: max"}},
		{[]string{"--capacity", "a=1", "--boot", "1m-2m", "--scrub", "40m"}, []string{"most at once: 1 instances, 1 hosts"}},
	} {
		out, notes, err := simulated(t, twoJobs, append([]string{"--trace", "-"}, tt.args...)...)
		if err != nil {
			t.Errorf("%v: %v", tt.args, err)
		}
		for _, want := range tt.wants {
			if !strings.Contains(out, want) {
				t.Errorf("%v: no %q in:\n%s", tt.args, want, out)
			}
		}
		if warned := strings.Contains(strings.Join(notes, ""), "line 2: unknown: unknown key"); warned != (len(tt.args) > 0 && tt.args[0] == "--pools") {
			t.Errorf("%v: notes %v", tt.args, notes)
		}
	}
	if drawn, err := os.ReadFile(chart); err != nil || !bytes.HasPrefix(drawn, []byte("<svg ")) {
		t.Errorf("chart: %v, %.20s", err, drawn)
	}
}

// What is generated can be simulated.
func TestSimulateGenerate(t *testing.T) {
	made, _, err := simulated(t, "", "--generate", "--days", "2", "--jobs", "50", "--start", "2024-02-28", "--seed", "3", "--mean", "5m")
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := simulated(t, made, "--trace", "-")
	if err != nil || !strings.Contains(out, "from 2024-02-28") {
		t.Errorf("%v:\n%s", err, out)
	}
}

func TestSimulateErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.csv")
	for _, tt := range []struct {
		want  string
		usage bool
		args  []string
	}{
		{"at least one of the flags in the group [trace generate] is required", false, nil},
		{`unknown output "xml": want table, json or csv`, true, []string{"--trace", "-", "-o", "xml"}},
		{"a sweep has no csv", true, []string{"--trace", "-", "-o", "csv", "--sweep"}},
		{"none of the others can be", false, []string{"--trace", "-", "--svg", "x", "--sweep"}},
		{"price: got mac2.metal=cheap, want USD per hour", true, []string{"--trace", "-", "--price", "mac2.metal=cheap"}},
		{"the price of mac2.metal is -1", true, []string{"--trace", "-", "--price", "mac2.metal=-1"}},
		{"max is 0", true, []string{"--trace", "-", "--max", "0"}},
		{`invalid argument "soon" for "--boot"`, false, []string{"--trace", "-", "--boot", "soon"}},
		{`start: got "today", want a day such as 2026-03-02`, true, []string{"--generate", "--start", "today"}},
		{"a workload has 1 to 3660 days", true, []string{"--generate", "--days", "0"}},
		{"open trace: ", false, []string{"--trace", missing}},
		{"read pools: ", false, []string{"--trace", "-", "--pools", missing}},
		{"standard input:3: executionTime: got \"long\", want seconds", false, []string{"--trace", "-"}},
		{"write chart: ", false, []string{"--trace", "-", "--svg", filepath.Join(missing, "hosts.svg")}},
	} {
		input := twoJobs
		if strings.HasPrefix(tt.want, "standard input") {
			input = "startTime,executionTime\n1,1\n2,long\n"
		}
		out, _, err := simulated(t, input, tt.args...)
		if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, errCommandLine) != tt.usage {
			t.Errorf("%v: %v, want %s (of the command line: %v)", tt.args, err, tt.want, tt.usage)
		}
		if out != "" {
			t.Errorf("%v prints before it fails: %s", tt.args, out)
		}
	}
}

// The shell of the user knows the forms.
func TestSimulateCompletion(t *testing.T) {
	c := simulateCommand(&localShell{})
	words, ok := c.GetFlagCompletionFunc("format")
	if !ok {
		t.Fatal("no completion of --format")
	}
	if got, _ := words(c, nil, ""); len(got) != 4 || got[2] != cobra.Completion("swf") {
		t.Errorf("got %v", got)
	}
}
