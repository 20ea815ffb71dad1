package tests

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/drivers/drivertest/needs"
	"github.com/aquarium-fish/aquarium-fish/drivers/space"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// explanation is the answer of the explain route.
type explanation struct {
	Status, Description, Text, Since, Until string
	Never                                   bool
	Nodes                                   []struct {
		Name        string
		NodeUID     string `json:"node_UID"`
		Definitions []obstacle
	}
	Trouble *struct{ What, Error string }
}

type obstacle struct {
	Cause, Driver, Text string
	DefinitionIndex     int     `json:"definition_index"`
	HeadUID             *string `json:"head_UID"`
	Shortage            *struct{ Need, Free, Limit int }
}

func explain(c fish.Client, app string) explanation {
	return fish.Get[explanation](c, applicationsPath+app+"/explain")
}

// waitCause waits until the first definition of the application has the cause.
func waitCause(t *testing.T, c fish.Client, app, cause string) (x explanation) {
	t.Helper()
	fish.Eventually(t, "application "+app+" waits because of "+cause, func() bool {
		x = explain(c, app)
		return len(x.Nodes) == 1 && len(x.Nodes[0].Definitions) > 0 && x.Nodes[0].Definitions[0].Cause == cause
	})
	return x
}

// TestExplain asks a real node for every reason that an application may have
// to wait.
func TestExplain(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: `node_identifiers: ["OS:linux", "rack:a"]
drivers:
- {name: test, cfg: {cpu_limit: 4, ram_limit: 8}}
- {name: test/broken, cfg: {fail_config_apply: 255}}
`})
	ask := func(definition string) string {
		return n.CreateApplication(n.CreateLabel(fmt.Sprintf(`{"name":%q,"definitions":[%s]}`, fresh("w"), definition)), `{}`)
	}
	sized := func(cpu, ram int) string {
		return fmt.Sprintf(`{"driver":"test","resources":{"cpu":%d,"ram":%d}}`, cpu, ram)
	}
	running := ask(sized(3, 3))
	n.WaitStatus(running, "ALLOCATED")
	if x := explain(n.Client, running); x.Status != "ALLOCATED" || len(x.Nodes) != 0 || x.Never || x.Text == "" {
		t.Errorf("what runs is told %+v", x)
	}
	for _, tt := range []struct {
		name, definition, cause, text string
		never                         bool
	}{
		{"driver failed", `{"driver":"test/broken","resources":{"cpu":1,"ram":1}}`, "driver_absent", "driver test/broken is not ready: ", false},
		{"driver unknown", `{"driver":"docker/none","resources":{"cpu":1,"ram":1}}`, "driver_unknown", "is not configured on this node", true},
		{"filter", `{"driver":"test","resources":{"cpu":1,"ram":1,"node_filter":["OS:*","rack:b*"]}}`, "node_filter", `"rack:b*" matches no identifier`, true},
		{"driver full", `{"driver":"test","options":{"fail_available_capacity":255},"resources":{"cpu":1,"ram":1}}`, "driver_capacity", "has no place for one more", false},
		{"above the limit", sized(5, 1), "too_large", "cpu short: needs 5, free 4 of 4", true},
		{"ram above the limit", sized(1, 9), "too_large", "ram short: needs 9, free 8 of 8", true},
		{"cpu in use", sized(2, 1), "cpu", "cpu short: needs 2, free 1 of 4", false},
		{"ram in use", sized(1, 6), "ram", "ram short: needs 6, free 5 of 8", false},
	} {
		app := ask(tt.definition)
		x := waitCause(t, n.Client, app, tt.cause)
		o := x.Nodes[0].Definitions[0]
		if x.Status != "NEW" || x.Never != tt.never || !strings.Contains(o.Text, tt.text) || !strings.Contains(x.Text, o.Text) ||
			x.Nodes[0].Name != fish.NodeName || x.Since != n.State(app).CreatedAt {
			t.Errorf("%s is told %+v, want %q, never %v", tt.name, x, tt.text, tt.never)
		}
		if (x.Never) != strings.HasPrefix(x.Text, "No member can ever run this") {
			t.Errorf("%s: never is %v in %q", tt.name, x.Never, x.Text)
		}
		n.Deallocate(app)
	}
	nothing := ask("")
	if x := explain(n.Client, nothing); !x.Never || !strings.Contains(x.Text, "no definitions") {
		t.Errorf("a label without definitions is told %+v", x)
	}
	two := ask(`{"driver":"docker/none","resources":{"cpu":1,"ram":1}},` + sized(4, 1))
	x := waitCause(t, n.Client, two, "driver_unknown")
	if second := x.Nodes[0].Definitions[1]; x.Never || second.Cause != "cpu" || second.DefinitionIndex != 1 || second.Shortage == nil || second.Shortage.Free != 1 {
		t.Errorf("the second definition is told %+v", x)
	}
	n.Request("GET", maintenancePath, nil)
	if x := explain(n.Client, two); x.Nodes[0].Definitions[1].Cause != "maintenance" {
		t.Errorf("in maintenance it is told %+v", x)
	}
	n.Request("GET", maintenancePath+"?enable=false", nil)
	n.Deallocate(running)
	n.WaitStatus(two, "ALLOCATED") // it was never hopeless
}

// TestExplainDisk: disks are counted against the file system that the
// workspace is on, what is promised of it included.
func TestExplainDisk(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "drivers:\n- {name: test}\n"})
	ask := func(gb uint) string {
		return n.CreateApplication(n.CreateLabel(fmt.Sprintf(
			`{"name":%q,"definitions":[{"driver":"test","resources":{"cpu":1,"ram":1,"disks":{"d":{"size":%d}}}}]}`, fresh("d"), gb)), `{}`)
	}
	x := waitCause(t, n.Client, ask(1<<20), "too_large")
	if o := x.Nodes[0].Definitions[0]; !x.Never || !strings.Contains(o.Text, "disk short: needs 1048576 GB") {
		t.Errorf("a disk larger than the file system is told %+v", x)
	}
	_, free, err := space.Of(n.Dir)
	if err != nil {
		t.Fatal(err)
	}
	large := space.ToGB(free) * 2 / 3 // one fits and two do not, also where others fill or free a third meanwhile
	if large < 10 {
		needs.Lacking(t, "15 GB of free disk: others may fill it meanwhile")
	}
	first := ask(large)
	n.WaitStatus(first, "ALLOCATED")
	second := ask(large)
	x = waitCause(t, n.Client, second, "disk")
	if o := x.Nodes[0].Definitions[0]; x.Never || o.Shortage == nil || uint(o.Shortage.Need) != large || uint(o.Shortage.Free) >= large { //nolint:gosec // small
		t.Errorf("the second is told %+v, want %d GB short", x, large)
	}
	n.Restart()
	waitCause(t, n.Client, second, "disk")
	n.Deallocate(first)
	n.WaitStatus(second, "ALLOCATED")
}

// TestExplainRefusedOptions: what was fine when the label was created, and is
// refused since the configuration changed.
func TestExplainRefusedOptions(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "drivers:\n- {name: test, cfg: {allow_crash: true}}\n"})
	n.Request("GET", maintenancePath, nil)
	crashing := n.CreateApplication(n.CreateLabel(fish.TestLabel("crash", `{"crash_allocate":"before"}`)), `{}`)
	n.Reconfigure("drivers:\n- {name: test}\n")
	n.Restart()
	if x := waitCause(t, n.Client, crashing, "options"); !x.Never || !strings.Contains(x.Text, "crash_allocate") {
		t.Errorf("refused options are told %+v", x)
	}
}

// TestExplainHead: who waits behind a starving application is told so, and
// whose it is only if he may know.
func TestExplainHead(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "starvation_after: 1s\ndrivers:\n- {name: test, cfg: {cpu_limit: 4, ram_limit: 8}}\n"})
	owner := addUser(t, n.Client, "reader")
	ask := func(c fish.Client, cpu int) string {
		return c.CreateApplication(n.CreateLabel(fmt.Sprintf(
			`{"name":%q,"definitions":[{"driver":"test","resources":{"cpu":%d,"ram":1}}]}`, fresh("h"), cpu)), `{}`)
	}
	running := ask(n.Client, 2)
	n.WaitStatus(running, "ALLOCATED")
	large := ask(n.Client, 4)
	waitCause(t, n.Client, large, "cpu")
	var small string
	fish.Eventually(t, "somebody waits behind the large one", func() bool {
		small = ask(owner, 1)
		x := explain(owner, small)
		if len(x.Nodes) == 1 && x.Nodes[0].Definitions[0].Cause == "behind_older" {
			return true
		}
		fish.Eventually(t, "the small one ends", func() bool {
			owner.Request("GET", applicationsPath+small+"/deallocate", nil)
			return !strings.Contains("NEW ELECTED ALLOCATED", owner.State(small).Status)
		})
		return false
	})
	if o := explain(owner, small).Nodes[0].Definitions[0]; o.HeadUID != nil || strings.Contains(o.Text, large) {
		t.Errorf("a stranger is told who is first: %+v", o)
	}
	if o := explain(n.Client, small).Nodes[0].Definitions[0]; o.HeadUID == nil || *o.HeadUID != large {
		t.Errorf("the admin is told %+v, want behind %s", o, large)
	}
	if x := explain(n.Client, large); x.Nodes[0].Definitions[0].Cause != "cpu" || x.Never {
		t.Errorf("the head is told %+v", x)
	}
}

// TestExplainLife: how long ELECTED may last, and what a release fails with.
func TestExplainLife(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "allocate_timeout: 1h\ndrivers:\n- {name: test}\n- {name: test/sticky, cfg: {fail_deallocate: 255}}\n"})
	slow := n.CreateApplication(n.CreateLabel(fish.TestLabel("slow", `{"hang_allocate":true}`)), `{}`)
	n.WaitStatus(slow, "ELECTED")
	if x := explain(n.Client, slow); x.Until == "" || !strings.Contains(x.Text, "1h0m0s (allocate_timeout)") {
		t.Errorf("ELECTED is told %+v", x)
	}
	stuck := n.CreateApplication(n.CreateLabel(fish.DriverLabel("stuck", "test/sticky", `{}`)), `{}`)
	n.WaitStatus(stuck, "ALLOCATED")
	n.Deallocate(stuck)
	var x explanation
	fish.Eventually(t, "the release fails", func() bool {
		x = explain(n.Client, stuck)
		return x.Trouble != nil
	})
	if x.Status != "DEALLOCATE" || x.Trouble.What != "environment not released" || x.Trouble.Error == "" || !strings.Contains(x.Text, x.Trouble.Error) {
		t.Errorf("a release that fails is told %+v %+v", x, x.Trouble)
	}
	n.Restart()
	fish.Eventually(t, "the release fails after a restart too", func() bool { return explain(n.Client, stuck).Trouble != nil })
	if s := n.Deallocate(slow); s.Status != "RECALLED" {
		t.Errorf("what is being allocated is %s after its recall", s.Status)
	}
	n.WaitStatus(slow, "DEALLOCATED")
}

// TestDriverInstances: every configured instance, with its error and what it
// has given out.
func TestDriverInstances(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: `drivers:
- {name: test/a, cfg: {cpu_limit: 4, ram_limit: 8, is_remote: true}}
- {name: test/broken, cfg: {fail_config_apply: 255}}
`})
	app := n.CreateApplication(n.CreateLabel(fish.DriverLabel("one", "test/a", `{}`)), `{}`)
	n.WaitStatus(app, "ALLOCATED")
	n.WaitLine("driver is not available")
	got := n.Request("GET", "/api/v1/node/this/drivers", nil)
	wanted := `^\[\{"driver":"test","in_use":\{"cpu":1,"disk":0,"environments":1,"ram":1\},"last_error":"",` +
		`"limits":\{"cpu":4,"cpu_overbook":0,"disk":[1-9][0-9]*,"ram":8,"ram_overbook":0,"remote":true\},"name":"test/a","retries":0,"since":"[^"]+","state":"ready"\},` +
		`\{"driver":"test","in_use":\{"cpu":0,"disk":0,"environments":0,"ram":0\},"last_error":"[^"]+","name":"test/broken","next_retry":"[^"]+","retries":[0-9]+,"since":"[^"]+","state":"failed"\}\]`
	if got.Status != 200 || !regexp.MustCompile(wanted).Match(got.Body) {
		t.Errorf("instances are %d %s", got.Status, got.Body)
	}
}

// TestLabelCheck: the real driver's checks, warnings for what is not here, and
// nothing is created.
func TestLabelCheck(t *testing.T) {
	t.Parallel()
	n := fish.Start(t, fish.Options{Config: "node_identifiers: [gpu]\ndrivers:\n- {name: test}\n"})
	check := func(body string) fish.Response { return n.Request("POST", labelsPath+"check", []byte(body)) }
	def := func(text string) string {
		return `{"name":"l","version":1,"definitions":[{` + text + `,"resources":{"cpu":1,"ram":1,"node_filter":["gpu"]}}]}`
	}
	want(t, "a good one", check(def(`"driver":"test"`)), 200, `{"warnings":[]}`)
	want(t, "an option that the driver refuses", check(def(`"driver":"test","options":{"fail_allocate":256}`)), 400, "fail_allocate")
	want(t, "an unknown driver", check(def(`"driver":"aws/x"`)), 200, "driver aws/x is not configured on this node")
	want(t, "a filter for nobody", check(strings.Replace(def(`"driver":"test"`), "gpu", "mac", 1)), 200, `node filter \"mac\" matches no identifier`)
	n.CreateLabel(def(`"driver":"test"`))
	want(t, "one that is there", check(def(`"driver":"test"`)), 200, "has a version 1 already")
	want(t, "only that one was created", n.Request("GET", labelsPath+"?filter=version%3D1", nil), 200, `"name":"l","version":1}]`)
}
