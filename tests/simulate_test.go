package tests

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

const (
	simulateCommand = "aquarium-fish aws simulate "
	readmePath      = "../README.md"
	chartPath       = "../examples/mac-hosts.svg"
	// updateEnv has TestReadmeSimulation write what it found instead of
	// comparing: after a change of what a pool decides.
	updateEnv = "FISH_UPDATE_README"
)

// simulate runs a command line of the README in a folder that has the examples.
func simulate(t *testing.T, dir, line string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the README is for a POSIX shell")
	}
	line = strings.Replace(line, "aquarium-fish", os.Getenv(fish.BinaryEnv), 1)
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", line)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s\n%v: %s", line, err, stderr.String())
	}
	return string(out)
}

func folderWithExamples(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	examples, err := filepath.Abs("../examples")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(examples, filepath.Join(dir, "examples")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestReadmeSimulation runs what the README says about the cost of a pool, and
// wants it to print what is there, and to draw the chart of the examples.
func TestReadmeSimulation(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n("+simulateCommand+"[^\n]*)\n```\n\n```text\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 3 {
		t.Fatalf("%d simulations in the README: where is the rest?", len(blocks))
	}
	dir, current := folderWithExamples(t), string(text)
	for _, block := range blocks {
		got := strings.TrimRight(simulate(t, dir, block[1]), "\n") + "\n"
		if os.Getenv(updateEnv) != "" {
			current = strings.Replace(current, block[2], got, 1)
		} else if diff := cmp.Diff(block[2], got); diff != "" {
			t.Errorf("%s\n-README +real (%s=1 writes it, then read the text around it):\n%s", block[1], updateEnv, diff)
		}
	}
	chart, err := os.ReadFile(filepath.Join(dir, "hosts.svg"))
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv(updateEnv) != "" {
		if err := os.WriteFile(readmePath, []byte(current), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(chartPath, chart, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want, err := os.ReadFile(chartPath); err != nil || !bytes.Equal(chart, want) {
		t.Errorf("%s is another chart than the README's last command draws: %v", chartPath, err)
	}
}

// TestExampleTrace: the trace of the examples is what the binary makes, and its
// pools can be simulated.
func TestExampleTrace(t *testing.T) {
	t.Parallel()
	file, err := os.Open("../examples/mac-jobs.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	dir := folderWithExamples(t)
	if got := simulate(t, dir, simulateCommand+"--generate"); got != string(want) {
		t.Errorf("the binary makes another trace: %d bytes, want %d", len(got), len(want))
	}
	out := simulate(t, dir, simulateCommand+"--generate | "+os.Getenv(fish.BinaryEnv)+" aws simulate --trace - --pools examples/mac-pools.yml")
	for _, part := range []string{"Pool intel of mac1.metal at 1.083 USD an hour\n  no job is for it", "Pool silicon of mac2.metal at 0.65 USD an hour\n  from 2026-03-02", "All pools"} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in:\n%s", part, out)
		}
	}
}
