package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

const retirement = "POST /cluster/retirement/"

// onRetire answers what would be done and what was done, and notes the latter.
func onRetire(t *testing.T, f *farmTest, plan apiv1.ClusterRetirementResult) *[]apiv1.ClusterRetirementRequest {
	t.Helper()
	var done []apiv1.ClusterRetirementRequest
	plan.Retirement.Name, plan.Retirement.SuccessorName = "mac-7", "mac-3"
	plan.Retirement.NodeUID, plan.Retirement.SuccessorUID = memberUID(7), memberUID(3)
	var asked apiv1.ClusterRetirementRequest
	f.answer(retirement, func(*http.Request) (int, string) {
		line := f.asked[len(f.asked)-1]
		asked = apiv1.ClusterRetirementRequest{}
		if err := json.Unmarshal([]byte(line[strings.IndexByte(line, '{'):]), &asked); err != nil {
			t.Error(err)
		}
		if !asked.DryRun {
			done = append(done, asked)
		}
		return http.StatusOK, asJSON(t, plan)
	})
	return &done
}

// at a terminal the user is asked.
func (f *farmTest) terminal(typed string) {
	f.options.Stdin = strings.NewReader(typed)
	f.options.ReadSecret = func(context.Context, string) (string, error) { return "", io.EOF }
}

func TestRetire(t *testing.T) {
	plan := apiv1.ClusterRetirementResult{Applications: 3}
	for _, tt := range []struct {
		name, typed string
		args        []string
		change      func(*apiv1.ClusterRetirementResult)
		code        int
		done        bool
		want        []string // told
	}{
		{"meant", "mac-7\n", nil, nil, 0, true, []string{"You say that its machine is off", "The 3 that ran there", "decided by mac-3", "Type the name"}},
		{"without the end of the line", "mac-7", nil, nil, 0, true, nil},
		{"not meant", "n\n", nil, nil, CodeUsage, false, []string{"that is not mac-7: nothing was done"}},
		{"nothing typed", "", nil, nil, CodeUsage, false, []string{"nothing was done"}},
		{"told before", "", []string{"--yes"}, nil, 0, true, []string{"You say that its machine is off"}},
		{"forced", "", []string{"--yes", "--force"}, func(p *apiv1.ClusterRetirementResult) {
			p.Running, p.Unreachable, p.Retirement.Forced = true, []string{"mac-8"}, true
		}, 0, true, []string{"SO IT RUNS: strict no longer holds", "mac-8 can not be asked what they know: strict no longer holds"}},
		{"retired before", "", nil, func(p *apiv1.ClusterRetirementResult) { p.Already = true }, 0, false, []string{"was retired before: nothing to do"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFarm(t)
			p := plan
			if tt.change != nil {
				tt.change(&p)
			}
			done := onRetire(t, f, p)
			f.terminal(tt.typed)
			code, out, told := f.run(append([]string{"cluster", "retire", "mac-7", "--successor", "mac-3"}, tt.args...)...)
			if code != tt.code || code == 0 && !strings.Contains(out, "Successor  mac-3") {
				t.Errorf("exit code %d, want %d: %s%s", code, tt.code, out, told)
			}
			for _, want := range tt.want {
				if !strings.Contains(told, want) {
					t.Errorf("told %q, want %q", told, want)
				}
			}
			if tt.done != (len(*done) == 1) {
				t.Fatalf("done: %+v, want %v", *done, tt.done)
			}
			if tt.done {
				if got := (*done)[0]; got.Node != (apiv1.UID(memberUID(7))).String() || got.Successor != (apiv1.UID(memberUID(3))).String() || got.Force != p.Running {
					t.Errorf("asked for %+v", got)
				}
			}
		})
	}
}

// Of nodes that are gone together each is retired, and the others are told to be off.
func TestRetireSeveral(t *testing.T) {
	f := newFarm(t)
	done := onRetire(t, f, apiv1.ClusterRetirementResult{})
	f.ok("cluster", "retire", "mac-7", "mac-8", "mac-9", "--yes")
	if len(*done) != 3 || !slices.Equal((*done)[1].AlsoOff, []string{"mac-7", "mac-9"}) {
		t.Errorf("asked for %+v", *done)
	}
}

func TestRetireThatIsRefused(t *testing.T) {
	f := newFarm(t)
	f.fails(CodeUsage, "is empty", "cluster", "retire", "")
	f.fails(CodeUsage, "requires at least 1 arg", "cluster", "retire")
	f.answer(retirement, func(*http.Request) (int, string) { return 404, `{"message":"There is no member \"x\", there are: a"}` })
	f.fails(CodeNotFound, "there are: a", "cluster", "retire", "x", "--yes")
	f.answer(retirement, func(*http.Request) (int, string) { return 400, `{"message":"Unable to retire: x runs"}` })
	f.fails(CodeError, "x runs", "cluster", "retire", "x", "--yes")
	done := onRetire(t, f, apiv1.ClusterRetirementResult{})
	f.fails(CodeUsage, "--yes says that the machine is off", "cluster", "retire", "mac-7")
	if len(*done) != 0 {
		t.Errorf("done without a word: %+v", *done)
	}
}

func TestRetirements(t *testing.T) {
	f := newFarm(t)
	f.on("GET /cluster/retirement/", `[]`)
	if code, out, told := f.run("cluster", "retirements"); code != 0 || !strings.Contains(out+told, "nobody was retired") {
		t.Errorf("told %d, %q, %q", code, out, told)
	}
	at := testNow().AddDate(0, 0, -2)
	f.on("GET /cluster/retirement/", asJSON(t, []apiv1.ClusterRetirement{{
		NodeUID: memberUID(7), Name: "mac-7", SuccessorUID: memberUID(3), SuccessorName: "mac-3", Forced: true, By: "admin", CreatedAt: &at,
	}}))
	if out := f.ok("cluster", "retirements"); !strings.Contains(out, "mac-7  07010101-0101-0101-0100-000000000000  mac-3      yes     admin  2d") {
		t.Errorf("listed %q", out)
	}
}
