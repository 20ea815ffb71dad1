package awscli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/drivers"
	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

var now = time.Date(2026, 5, 2, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

func dollars(amount float64) *float64 { return &amount }

// fakeShell is a program around the commands, and a node whose instances answer
// what a test says.
type fakeShell struct {
	instances map[string]map[string]any // instance -> command -> result, or an error
	names     map[string]string
	asked     []string
	out, err  bytes.Buffer
	data      any
	json      bool
}

var errUsage, errNotFound = errors.New("usage"), errors.New("not found")

func (f *fakeShell) Flags(*cobra.Command) {}
func (f *fakeShell) NodeFlag(c *cobra.Command, node *string) {
	c.PersistentFlags().StringVar(node, "node", "", "")
}
func (f *fakeShell) Now() time.Time { return now }

func (f *fakeShell) DriverCommands(context.Context, string) (map[string][]drivers.Command, error) {
	list := map[string][]drivers.Command{}
	for instance, commands := range f.instances {
		list[instance] = []drivers.Command{{Name: "other"}}
		for name := range commands {
			list[instance] = append(list[instance], drivers.Command{Name: name})
		}
	}
	return list, nil
}

func (f *fakeShell) DoDriverCommand(_ context.Context, node, instance, command string, args json.RawMessage) (json.RawMessage, error) {
	f.asked = append(f.asked, strings.TrimSpace(node+" "+instance+" "+command+" "+string(args)))
	switch result := f.instances[instance][command].(type) {
	case error:
		return nil, result
	case string:
		return json.RawMessage(result), nil
	default:
		return json.Marshal(result)
	}
}

func (f *fakeShell) NodeNames(context.Context) (map[string]string, error) {
	if f.names == nil {
		return nil, errors.New("the list is away")
	}
	return f.names, nil
}

func (f *fakeShell) Print(data any, names []string, tables ...[][]string) error {
	if f.json {
		return json.NewEncoder(&f.out).Encode(data)
	}
	for _, t := range tables {
		if len(t) < 2 {
			continue
		}
		w := tabwriter.NewWriter(&f.out, 0, 0, 1, ' ', 0)
		for _, row := range t {
			for i, cell := range row {
				if len(row) != len(t[0]) {
					return fmt.Errorf("row %d has %d cells under %d headings", i, len(row), len(t[0]))
				}
				if cell == "" {
					cell = "-"
				}
				fmt.Fprint(w, cell, map[bool]string{true: "\n", false: "\t"}[i == len(row)-1])
			}
		}
		w.Flush()
	}
	f.data = names
	return nil
}

func (f *fakeShell) Note(format string, args ...any) { fmt.Fprintf(&f.err, format+"\n", args...) }
func (f *fakeShell) Usage(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errUsage}, args...)...)
}
func (f *fakeShell) NotFound(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errNotFound}, args...)...)
}

// run gives a command line.
func (f *fakeShell) run(t *testing.T, line string) error {
	t.Helper()
	c := &cobra.Command{Use: "aquarium-fish"}
	c.AddCommand(Command(f))
	c.SetArgs(append([]string{"aws"}, strings.Fields(line)...))
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetOut(&f.out)
	c.SetContext(t.Context())
	return c.Execute()
}

const nodeA, nodeB = "aaaaaaaa-0000-4000-8000-000000000000", "bbbbbbbb-0000-4000-8000-000000000000"

// farm is a node with two instances that pay for something.
func farm() *fakeShell {
	mine := view.Owner{Mine: true, Node: nodeA, Instance: "aws/mac"}
	pool, app, task := mine, mine, mine
	pool.Pool, pool.Purpose = "m2", "pool"
	app.Application, app.Purpose = "12345678-0000-4000-8000-000000000000", "work"
	task.Task, task.Purpose = "98765432-0000-4000-8000-000000000000", "task"
	m2 := view.Pool{
		Name: "m2", Thing: "aws/eu-west-1/m2", Type: "mac2.metal", Zones: []string{"eu-west-1a"}, Max: 10, Owner: nodeA, Capacity: 8,
		Phases: map[string]int{"busy": 1, "available": 1}, Total: 2, Paid: 2, Scrub: view.Times{Count: 12, P50: view.SecondsOf(45 * time.Minute), P95: view.SecondsOf(110 * time.Minute)},
		Hosts: []view.PoolHost{
			{ID: "h-1", Type: "mac2.metal", Zone: "eu-west-1a", Phase: "busy", State: "available", Since: ago(time.Hour), Allocated: ago(20 * time.Hour), Release: now.Add(4 * time.Hour), Cost: dollars(13)},
			{Type: "mac2.metal", Zone: "eu-west-1a", Phase: "requested", Since: ago(time.Second), Allocated: ago(time.Second), Why: "EC2 was asked"},
		},
	}
	return &fakeShell{
		names: map[string]string{nodeA: "alpha"},
		instances: map[string]map[string]any{
			"docker": {}, "aws/mac": {
				view.Status: view.Account{
					Account: "123456789012", Region: "eu-west-1", Node: nodeA, Hourly: 0.65, Unpriced: []string{"x9.large"}, Pools: []view.Pool{m2},
					Memory: view.Memory{Asked: ago(10 * time.Second)},
					Things: []view.Thing{
						{Kind: view.Host, ID: "h-1", Type: "mac2.metal", Zone: "eu-west-1a", State: "available", Owner: pool, Created: ago(20 * time.Hour), Cost: dollars(13), Release: now.Add(4 * time.Hour)},
						{Kind: view.Instance, ID: "i-1", Type: "x9.large", Zone: "eu-west-1a", State: "running", Owner: app, Created: ago(90 * time.Minute), On: "h-1"},
						{Kind: view.Volume, ID: "vol-1", Type: "gp3", SizeGB: 100, State: "available", Owner: view.Owner{Node: nodeB, Instance: "aws"}, Created: ago(72 * time.Hour)},
						{Kind: view.Image, ID: "ami-1", State: "available", Owner: task, Created: ago(time.Minute), Release: ago(time.Hour), Cost: dollars(0)},
					},
				},
				view.Pools:     view.PoolList{Region: "eu-west-1", Pools: []view.Pool{m2}},
				view.SweepPlan: view.Sweeping{Region: "eu-west-1", Memory: view.Memory{Asked: now}},
				view.Drain:     view.Pool{Name: "m2", Type: "mac2.metal", Max: 10, Owner: nodeA, Draining: true, Phases: map[string]int{"busy": 1}, Total: 2},
			},
		},
	}
}

func TestStatus(t *testing.T) {
	f := farm()
	if err := f.run(t, "status --node b"); err != nil {
		t.Fatal(err)
	}
	want := `KIND     ID    TYPE       ZONE       STATE     AGE   USD   OWNER                                    FOR                                       RELEASE WHY
host     h-1   mac2.metal eu-west-1a available 20h0m 13.00 alpha aws/mac                            pool m2                                   in 4h0m -
instance i-1   x9.large   eu-west-1a running   1h30m ?     alpha aws/mac                            app 12345678-0000-4000-8000-000000000000  -       -
volume   vol-1 gp3 100GB  -          available 3d0h  ?     bbbbbbbb-0000-4000-8000-000000000000 aws -                                         -       -
image    ami-1 -          -          available 60s   0.00  alpha aws/mac                            task 98765432-0000-4000-8000-000000000000 now     -
POOL TYPE       OWNER MAX HOSTS PAID BUSY CAPACITY WAITING SCRUBS                 STATE
m2   mac2.metal alpha 10  2     2    1    8        0       45m, p95 1h50m (12) -
`
	if diff := cmp.Diff(squeeze(want), squeeze(f.out.String())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, want := f.err.String(), "aws/mac: 0.65 USD an hour, and what nobody knows the price of: x9.large\n"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if diff := cmp.Diff([]string{"b aws/mac status {}"}, f.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// squeeze takes the padding away.
func squeeze(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

// TestStatusOfMore: several instances are told apart; one that is away takes the
// others' answers from nobody.
func TestStatusOfMore(t *testing.T) {
	f := farm()
	old := view.Account{Region: "us-east-1", Memory: view.Memory{Asked: ago(12 * time.Minute), Trouble: "AWS (us-east-1) does not answer"}}
	blind := view.Account{Region: "us-east-2", Memory: view.Memory{Asked: now}, Missing: []view.Missing{{Kind: view.Volume, Error: "not allowed"}}}
	old.Aging = []view.Aging{{Of: "hosts", Asked: ago(2 * time.Hour), Error: "slow"}, {Of: "quotas", Error: "not allowed to read"}}
	f.instances["aws/old"] = map[string]any{view.Status: old}
	f.instances["aws/new"] = map[string]any{view.Status: view.Account{Region: "us-east-1", Memory: view.Memory{Trouble: "it was not asked"}}}
	f.instances["aws/none"] = map[string]any{view.Status: view.Account{Region: "us-east-1", Memory: view.Memory{Asked: now}}}
	f.instances["aws/blind"] = map[string]any{view.Status: blind}
	f.instances["aws/x"] = map[string]any{view.Status: errors.New("driver aws/x failed: no credentials")}
	f.instances["aws/young"] = map[string]any{}
	if err := f.run(t, "status"); !errors.Is(err, errNotAll) {
		t.Errorf("status = %v, want %v", err, errNotAll)
	}
	for _, want := range []string{
		"aws/old: from memory, as of 12m ago: AWS (us-east-1) does not answer\n",
		"aws/old: the hosts, by which room is judged, are 2h0m old: slow\n",
		"aws/old: the quotas, by which room is judged, are not known: not allowed to read\n", "aws/new: nothing is known yet: it was not asked\n",
		"aws/none: there is nothing of ours in us-east-1\n", "aws/blind: no volumes are listed: not allowed\n", "aws/x: driver aws/x failed: no credentials\n",
	} {
		if !strings.Contains(f.err.String(), want) {
			t.Errorf("%q is not told:\n%s", want, &f.err)
		}
	}
	if out := squeeze(f.out.String()); !strings.Contains(out, "INSTANCE KIND") || !strings.Contains(out, "\naws/mac host h-1") || !strings.Contains(out, "\naws/mac m2 mac2.metal") {
		t.Errorf("printed\n%s", out)
	}
	if strings.Contains(f.err.String(), "aws/old: there is nothing") {
		t.Error("what is not known is told as nothing")
	}
	f.instances = map[string]map[string]any{"aws/blind": f.instances["aws/blind"]}
	if err := f.run(t, "status"); !errors.Is(err, errNotListed) {
		t.Errorf("status of what can not be listed = %v, want %v", err, errNotListed)
	}
	f = farm()
	f.names, f.json = nil, true
	if err := f.run(t, "status"); err != nil || !strings.Contains(f.err.String(), "shown by their UID: the list is away") {
		t.Errorf("without names: %v, %s", err, &f.err)
	}
	if out := f.out.String(); !strings.HasPrefix(out, `[{"instance":"aws/mac","result":{"account":"123456789012","region":"eu-west-1",`) ||
		!strings.Contains(out, `"cost":null`) || !strings.Contains(out, `"p50_seconds":2700`) {
		t.Errorf("as JSON:\n%s", out)
	}
}

// TestStatusOfOneAccount: what two instances of an account list is shown once, by
// the one whose it is.
func TestStatusOfOneAccount(t *testing.T) {
	f := farm()
	other := f.instances["aws/mac"][view.Status].(view.Account)
	other.Pools = nil
	of := view.Owner{Mine: true, Node: nodeA, Instance: "aws", Purpose: "work"}
	other.Things = append(slices.Clone(other.Things), view.Thing{Kind: view.Instance, ID: "i-2", Owner: of, Created: ago(time.Hour), Cost: dollars(2)})
	both := f.instances["aws/mac"][view.Status].(view.Account)
	both.Things = append(slices.Clone(both.Things), view.Thing{Kind: view.Instance, ID: "i-2", Owner: of, Created: ago(time.Hour)})
	f.instances["aws"] = map[string]any{view.Status: other}
	f.instances["aws/mac"][view.Status] = both
	elsewhere := view.Thing{Kind: view.Instance, ID: "i-1", Created: ago(time.Hour), Cost: dollars(1)}
	f.instances["aws/us"] = map[string]any{view.Status: view.Account{Region: "us-east-1", Things: []view.Thing{elsewhere}}}
	if err := f.run(t, "status"); err != nil {
		t.Fatal(err)
	}
	got := squeeze(f.out.String())
	for row, times := range map[string]int{
		"\naws/mac host h-1 ": 1, "\naws/mac instance i-1 ": 1, "\naws/us instance i-1 ": 1, "\naws instance i-2 - - - 1h0m 2.00 alpha aws ": 1,
		" h-1 ": 1, " i-1 ": 2, " i-2 ": 1, " vol-1 ": 1, " ami-1 ": 1,
	} {
		if n := strings.Count(got, row); n != times {
			t.Errorf("%q is there %d times, want %d:\n%s", row, n, times, got)
		}
	}
	if want := []string{"vol-1", "i-2", "h-1", "i-1", "ami-1", "i-1"}; !slices.Equal(f.data.([]string), want) {
		t.Errorf("ids %v, want %v", f.data, want)
	}
}

// TestWhichInstance: who is asked, and what to do where nobody is there.
func TestWhichInstance(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		change     func(f *fakeShell)
		kind       error
		want       string
	}{
		{"none", "status", func(f *fakeShell) { delete(f.instances, "aws/mac") }, errNotFound, "no instance of the driver aws is ready on the node: 'aquarium-fish node drivers' tells"},
		{"none of a member", "pool list --node b", func(f *fakeShell) { delete(f.instances, "aws/mac") }, errNotFound, "is ready on b: 'aquarium-fish node drivers b' tells"},
		{"another", "status --instance aws/x", nil, errNotFound, `no instance "aws/x" of the driver aws is ready on the node, there are: aws/mac`},
		{"of another driver", "status --instance docker", nil, errNotFound, "there are: aws/mac"},
		{"of another version", "status", func(f *fakeShell) { delete(f.instances["aws/mac"], view.Status) }, errNotFound, `its version does not know "status"`},
		{"nonsense", "status", func(f *fakeShell) { f.instances["aws/mac"][view.Status] = `{"things":1}` }, nil, "of the same version as the node?"},
		{"no such pool", "pool drain m1", nil, errNotFound, `there is no pool "m1", there are: m2`},
		{"two pools", "pool drain m2", func(f *fakeShell) {
			f.instances["aws/us"] = map[string]any{view.Pools: view.PoolList{Pools: []view.Pool{{Name: "m2", Thing: "aws/us-east-1/m2"}}}}
		}, errUsage, `there are 2 pools "m2": say by --instance of which`},
		{"one may have it", "pool drain m1", func(f *fakeShell) { f.instances["aws/us"] = map[string]any{view.Pools: errors.New("is away")} }, errNotAll, ""},
		{"no word", "pool fly", nil, errUsage, `there is no command "fly"`},
		{"no word either", "fly", nil, errUsage, `there is no command "fly"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := farm()
			if tt.change != nil {
				tt.change(f)
			}
			err := f.run(t, tt.line)
			if err == nil || tt.kind != nil && !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s = %v, want %v: %s", tt.line, err, tt.kind, tt.want)
			}
		})
	}
}

func TestPools(t *testing.T) {
	f := farm()
	list := f.instances["aws/mac"][view.Pools].(view.PoolList)
	list.Pools = append(list.Pools, view.Pool{Name: "m4", Type: "mac-m4.metal", Max: 2, Owner: nodeB, Trouble: "its owner can not be reached"}, view.Pool{Name: "m5", Type: "mac-m4.metal", Max: 1},
		view.Pool{Name: "m6", Type: "mac-m4.metal", Owner: nodeA, Draining: true, Trouble: "the pool is being drained", Phases: map[string]int{}})
	f.instances["aws/mac"][view.Pools] = list
	if err := f.run(t, "pool list"); err != nil {
		t.Fatal(err)
	}
	want := `POOL TYPE OWNER MAX HOSTS PAID BUSY CAPACITY WAITING SCRUBS STATE
m2 mac2.metal alpha 10 2 2 1 8 0 45m, p95 1h50m (12) -
m4 mac-m4.metal ` + nodeB + ` 2 - - - - - - its owner can not be reached
m5 mac-m4.metal - 1 - - - - - - no node owns it now
m6 mac-m4.metal alpha 0 0 0 0 0 0 - draining
POOL HOST ZONE PHASE FOR STATE AGE USD RELEASE WHY
m2 h-1 eu-west-1a busy 1h0m available 20h0m 13.00 in 4h0m -
m2 - eu-west-1a requested 1s - 1s ? - EC2 was asked`
	if diff := cmp.Diff(want, strings.TrimSpace(squeeze(f.out.String()))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	f = farm()
	if err := f.run(t, "pool drain m2"); err != nil || !strings.Contains(f.err.String(), "pool m2 is drained: 1 of its hosts are busy") {
		t.Errorf("drain: %v, %s", err, &f.err)
	}
	f.instances["aws/mac"][view.Drain] = view.Pool{Name: "m2", Phases: map[string]int{}}
	if err := f.run(t, "pool drain m2 --off"); err != nil || !strings.Contains(f.err.String(), "pool m2 takes hosts into use") {
		t.Errorf("drain --off: %v, %s", err, &f.err)
	}
	want = `aws/mac pools {}
aws/mac pool-drain {"pool":"m2"}
aws/mac pools {}
aws/mac pool-drain {"pool":"m2","off":true}`
	if diff := cmp.Diff(want, strings.Join(f.asked, "\n")); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// TestSweep: what is confirmed is what was found, of which just that is removed
// which may be.
func TestSweep(t *testing.T) {
	stray := func(id string, change func(s *view.Stray)) view.Stray {
		s := view.Stray{Thing: view.Thing{Kind: view.Instance, ID: id, Type: "c6i.large", State: "running", Owner: view.Owner{Mine: true, Purpose: "work"}, Created: ago(time.Hour), Cost: dollars(0.085)}, Reason: "no allocation has its token"}
		if change != nil {
			change(&s)
		}
		return s
	}
	held := stray("i-2", func(s *view.Stray) { s.Held = "it was seen once" })
	doubtful := stray("i-4", func(s *view.Stray) { s.Doubtful = true })
	plan := view.Sweeping{Region: "eu-west-1", Memory: view.Memory{Asked: now}, Strays: []view.Stray{stray("i-1", nil), held, stray("i-3", nil)}}
	f := farm()
	f.instances["aws/mac"][view.SweepPlan] = plan
	if err := f.run(t, "sweep --dry-run"); err != nil {
		t.Fatal(err)
	}
	want := `KIND ID TYPE STATE AGE USD FOR REASON RESULT
instance i-1 c6i.large running 1h0m 0.09 work no allocation has its token would be removed
instance i-2 c6i.large running 1h0m 0.09 work no allocation has its token stays: it was seen once
instance i-3 c6i.large running 1h0m 0.09 work no allocation has its token would be removed`
	if diff := cmp.Diff(want, strings.TrimSpace(squeeze(f.out.String()))); diff != "" {
		t.Errorf("dry run (-want +got):\n%s", diff)
	}
	f = farm()
	forgot := plan
	forgot.Strays = []view.Stray{stray("i-1", nil), doubtful}
	f.instances["aws/mac"][view.SweepPlan], f.instances["aws/mac"][view.Sweep] = forgot, forgot
	for _, line := range []string{"sweep --dry-run", "sweep --confirm", "sweep --confirm --forgotten"} {
		if err := f.run(t, line); err != nil {
			t.Errorf("%s = %v", line, err)
		}
	}
	if n := strings.Count(f.out.String(), "stays without --forgotten"); n != 2 {
		t.Errorf("what is doubtful stays %d times, want 2:\n%s", n, &f.out)
	}
	asked := []string{"aws/mac sweep-plan {}", "aws/mac sweep-plan {}", `aws/mac sweep {"ids":["i-1"]}`, "aws/mac sweep-plan {}", `aws/mac sweep {"ids":["i-1","i-4"],"forgotten":true}`}
	if diff := cmp.Diff(asked, f.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	f = farm()
	f.instances["aws/mac"][view.SweepPlan] = plan
	plan.Strays = []view.Stray{
		stray("i-1", func(s *view.Stray) { s.Removed = true }), held, stray("i-3", func(s *view.Stray) { s.Error = "not allowed" }),
	}
	f.instances["aws/mac"][view.Sweep] = plan
	if err := f.run(t, "sweep --confirm"); !errors.Is(err, errNotSwept) {
		t.Errorf("sweep = %v, want %v", err, errNotSwept)
	}
	for _, want := range []string{"i-1 c6i.large running 1h0m 0.09 work no allocation has its token removed", "stays: it was seen once", "failed: not allowed"} {
		if !strings.Contains(squeeze(f.out.String()), want) {
			t.Errorf("%q is not printed:\n%s", want, &f.out)
		}
	}
	if diff := cmp.Diff([]string{"aws/mac sweep-plan {}", `aws/mac sweep {"ids":["i-1","i-3"]}`}, f.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	f = farm()
	if err := f.run(t, "sweep --confirm"); err != nil || !strings.Contains(f.err.String(), "aws/mac: nothing is there by mistake") || len(f.asked) != 1 {
		t.Errorf("sweep of nothing = %v, %s, asked %v", err, &f.err, f.asked)
	}
	for _, line := range []string{"sweep", "sweep --dry-run --confirm"} {
		f := farm()
		if err := f.run(t, line); err == nil || len(f.asked) > 0 {
			t.Errorf("%s = %v, asked %v", line, err, f.asked)
		}
	}
}

// TestOwners: of who is not there any more that is told.
func TestOwners(t *testing.T) {
	names := nodes{"n-1": "alpha"}
	for _, tt := range []struct {
		owner view.Owner
		want  string
	}{
		{view.Owner{Node: "n-1", Instance: "aws", Mine: true}, "alpha aws"},
		{view.Owner{Node: "n-9", Instance: "aws"}, "n-9 aws"},
		{view.Owner{Node: "n-1", Instance: "aws", Retired: true}, "alpha aws (retired node)"},
		{view.Owner{Node: "n-1", Instance: "aws/old", Former: true}, "alpha aws/old (not configured)"},
		{view.Owner{Pool: "m2"}, ""},
	} {
		if got := names.owner(tt.owner); got != tt.want {
			t.Errorf("owner(%+v) = %q, want %q", tt.owner, got, tt.want)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 3599 * time.Second: "59m", 47*time.Hour + 59*time.Minute: "47h59m", 50 * time.Hour: "2d2h",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %s, want %s", d, got, want)
		}
	}
}
