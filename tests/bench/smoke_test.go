package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
)

func TestMain(m *testing.M) {
	if serveIfAsked() {
		return
	}
	os.Exit(m.Run())
}

// TestSmoke measures everything for a moment: the figures mean nothing, but
// every row is there and was measured.
func TestSmoke(t *testing.T) {
	b, err := newBench(t.Context(), options{plan: smokePlan(), only: regexp.MustCompile(""), progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	t.Log(b.conditions())
	if err := b.measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%v", b.table)
	var got []string
	for _, l := range b.table.lines {
		if l.measured == "" || strings.Contains(l.measured+l.detail, "NaN") || strings.Contains(l.measured, "Inf") {
			t.Errorf("row %+v has no figure", l)
		}
		got = append(got, l.what)
	}
	want := []string{
		"state GET, connections: 1", "state GET, connections: 8", "state GET, connections: 50", "state GET, connections: 50, p99",
		"state GET, connections: 50, against a hash per request", "state GET, memory of the node",
		"50 application POSTs at once, each a new connection: all answered",
		"10 clients just after start, under 50 wrong guesses/s: 429 or 503",
		"10 clients just after start, under 50 wrong guesses/s: p99 once cached",
		"create -> ALLOCATED, 20/s, p50", "create -> ALLOCATED, 20/s, p99",
		"whole lives, durable, for 600ms", "whole lives, durable, for 600ms, growth of memory",
		"300 finished applications: start to the first answer", "300 finished applications: state GET of an active one, p50",
		"300 finished applications: state GET of any finished one, p50", "300 finished applications: create -> ALLOCATED, p50",
		"300 finished applications: lives that fail during a backup",
		`start to "Fish initialized", not the first one`, "idle: memory", "idle: CPU", "idle: SIGTERM to exit",
		"300 agents polled every 5.00 s: CPU of the log", "300 agents polled without a pause: share of the log",
		"list of 50 labels", "list of 50 labels: growth of memory",
		"3 nodes: create on one -> ALLOCATED seen on another, 20/s, p50", "3 nodes: create on one -> ALLOCATED seen on another, 20/s, p99",
		"3 nodes: a change is visible on all, p99", "3 nodes: whole lives, durable, for 600ms",
		"3 nodes: CPU of all for a whole life",
		"rejoin after 300 missed rows", "rejoin after 300 missed rows: own lives meanwhile, p99",
		"SOCKS: throughput, of a bare io.Copy relay", "SOCKS: a connection, greeting to answer, p50",
	}
	want = slices.Concat(want, sshRows(b.table), dockerRows(b.table))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows of the table (-want +got):\n%s", diff)
	}
	b.profiles, b.only = t.TempDir(), regexp.MustCompile("lives")
	if err := b.measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if profile, err := os.ReadFile(filepath.Join(b.profiles, "lives.pprof")); err != nil || !bytes.HasPrefix(profile, []byte{0x1f, 0x8b}) {
		t.Errorf("profile of lives: %d bytes, %v, want gzip", len(profile), err)
	}
	b.close()
	for _, dir := range []string{b.dir, b.workspaces} {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is left", dir)
		}
	}
}

// sshRows are those of a machine with OpenSSH, and with root for a network of its own; elsewhere a row says why there
// are no more.
func sshRows(t *table) []string {
	lacking := func(what string) bool {
		return slices.ContainsFunc(t.lines, func(l line) bool { return l.what == what })
	}
	rows := []string{
		"SSH: throughput from the environment, of `ssh hop ssh target`", "SSH: throughput to the environment, of `ssh hop ssh target`",
		"SSH: a keystroke is shown later than without the proxy, p50", "SSH: 3 idle sessions, growth of memory",
	}
	if lacking("SSH") {
		rows = []string{"SSH"}
	}
	if lacking("link of 1 Gbit/s") {
		return append(rows, "link of 1 Gbit/s")
	}
	return append(rows,
		"SOCKS on a link of 1 Gbit/s: throughput to the environment, of direct", "SOCKS on a link of 1 Gbit/s: throughput from the environment, of direct",
		"SSH on a link of 1 Gbit/s: throughput from the environment, of direct", "SSH on a link of 1 Gbit/s: throughput to the environment, of direct")
}

// dockerRows are those of a machine with an engine; elsewhere one row says why
// there are no more.
func dockerRows(t *table) []string {
	if last := t.lines[len(t.lines)-1]; last.what == "docker" {
		return []string{last.what}
	}
	return []string{
		"docker: create -> ALLOCATED, the first of all, which makes the network", "docker: create -> ALLOCATED, p50, against `docker run -d`",
		"docker: gone after a stop that the process obeys, p99", "docker: 20 environments at once without an error",
	}
}

// TestDockerIsMeasured: in CI there is an engine, and so there are figures.
func TestDockerIsMeasured(t *testing.T) {
	e, missing, err := runEngine()
	if err != nil {
		t.Fatal(err)
	}
	if missing != "" {
		needs.Lacking(t, missing)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func TestTable(t *testing.T) {
	tb := &table{}
	tb.note("a", "1/s", "")
	tb.under("b", 5e6, 10e6, "")
	tb.less("c", "%.0f MB", 70, 64, "")
	tb.atLeast("d", "%.0f x", 500, 500, "of 1")
	want := strings.Join([]string{
		"what  goal      measured  verdict  beside it",
		"a     -         1/s                ",
		"b     < 10 ms   5.0 ms    PASS     ",
		"c     < 64 MB   70 MB     short    ",
		"d     >= 500 x  500 x     PASS     of 1",
		"2 of 3 goals met", "",
	}, "\n")
	if diff := cmp.Diff(want, tb.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}
