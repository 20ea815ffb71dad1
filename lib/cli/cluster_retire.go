package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// retireFlags are those of `cluster retire`.
type retireFlags struct {
	successor  string
	force, yes bool
}

func clusterRetire(s *shell) *cobra.Command {
	f := &retireFlags{}
	c := &cobra.Command{
		Use: "retire NODE...", Args: cobra.MinimumNArgs(1), ValidArgsFunction: s.completeNode,
		Short: "Take nodes out of the cluster for good: their machines are off and will not come back (admin)",
		Long: `Take a node out of the cluster for good, or several that are gone together. You say by it that its machine is off: nothing else makes sure that what it was to run
is not run twice. Its key is refused from then on and its name is free. What ran there ends as ERROR, what was granted to it
and did not run is granted again, and the successor decides what waited for its decision. A machine that is found again joins
anew, with another key ('cluster invite', 'cluster join').

It is refused for the node that answers, for one that can be reached, and while another member can not be asked what it
knows. With --force the last two are done all the same, as for a stolen machine that runs; then election.safety strict holds
no longer for what was decided there, and an application may run twice.`,
		Example: "  aquarium-fish cluster retire mac-7 --successor mac-3",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, node := range args {
				others := slices.DeleteFunc(slices.Clone(args), func(other string) bool { return other == node })
				if err := s.retire(cmd.Context(), node, others, f); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&f.successor, "successor", "", "the member that decides in its place; by default the least loaded one that is there")
	c.Flags().BoolVar(&f.force, "force", false, "also if it can be reached, or another member can not: something may run twice")
	c.Flags().BoolVar(&f.yes, "yes", false, "do not ask: its machine is off")
	return c
}

// retire asks the node what it would do, the user whether that is meant, and
// then has done just that. The others are said to be off too.
func (s *shell) retire(ctx context.Context, node string, others []string, f *retireFlags) error {
	if node == "" {
		return usagef("the name of the node is empty")
	}
	api, err := s.api(ctx)
	if err != nil {
		return err
	}
	request := apiv1.ClusterRetirementRequest{Node: node, Successor: f.successor, Force: f.force, AlsoOff: others, DryRun: true}
	plan, err := result(api.ClusterRetirementCreateWithResponse(ctx, request))
	if err != nil {
		return noMember(err)
	}
	if plan.Already {
		s.note("%s was retired before: nothing to do", printable(plan.Retirement.Name))
		return s.printRetired(plan)
	}
	for _, line := range consequences(*plan) {
		s.note("%s", line)
	}
	if !f.yes {
		if err := s.confirm(ctx, plan.Retirement.Name); err != nil {
			return err
		}
	}
	// What was shown is what is done, whoever has joined or stopped meanwhile.
	request.Node, request.Successor, request.DryRun = plan.Retirement.NodeUID.String(), plan.Retirement.SuccessorUID.String(), false
	done, err := result(api.ClusterRetirementCreateWithResponse(ctx, request))
	if err != nil {
		return noMember(err)
	}
	return s.printRetired(done)
}

// noMember gives the answer that there is no such member its exit code.
func noMember(err error) error {
	if isStatus(err, 404) {
		return &Failure{CodeNotFound, err}
	}
	return err
}

// consequences tell what to retire the node means.
func consequences(p apiv1.ClusterRetirementResult) []string {
	name := printable(p.Retirement.Name)
	lines := []string{
		fmt.Sprintf("%s will be out of the cluster for good: its key is refused, its name is free, and only a new key comes back.", name),
		fmt.Sprintf("You say that its machine is off. The %d that ran there when it was last heard of end as ERROR; what waits there is decided by %s.",
			p.Applications, printable(p.Retirement.SuccessorName)),
	}
	if p.Running {
		lines = append(lines, fmt.Sprintf("IT CAN BE REACHED, SO IT RUNS: strict no longer holds, and what it was to run may run twice. Switch %s off as soon as you can.", name))
	}
	if len(p.Unreachable) > 0 {
		lines = append(lines, fmt.Sprintf("%s can not be asked what they know: strict no longer holds, and what %s had decided may run twice.",
			printable(strings.Join(p.Unreachable, ", ")), name))
	}
	return lines
}

// confirm has the user type the name on a terminal.
func (s *shell) confirm(ctx context.Context, name string) error {
	if s.ReadSecret == nil {
		return usagef("no terminal to ask on: --yes says that the machine is off")
	}
	_, _ = fmt.Fprintf(s.Stderr, "Type the name of the node to retire it: ") // without it the terminal waits all the same
	typed, err := s.readLine(ctx)
	if err != nil {
		return err
	}
	if strings.TrimSpace(typed) != name {
		return usagef("that is not %s: nothing was done", printable(name))
	}
	return nil
}

// readLine reads a line of the input. The read itself can not be ended and goes
// with the process.
func (s *shell) readLine(ctx context.Context) (string, error) {
	type line struct {
		text string
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := bufio.NewReader(s.Stdin).ReadString('\n')
		read <- line{text, err}
	}()
	select {
	case l := <-read:
		if errors.Is(l.err, io.EOF) {
			return l.text, nil
		}
		return l.text, l.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (s *shell) printRetired(r *apiv1.ClusterRetirementResult) error {
	x := r.Retirement
	return s.print(view{Data: r, Names: []string{x.NodeUID.String()}, Rows: [][]string{
		{"Retired", printable(x.Name)}, {"UID", x.NodeUID.String()}, {"Successor", printable(x.SuccessorName)}, {"Forced", yes(x.Forced)},
	}})
}

func clusterRetirements(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "retirements", Short: "List the nodes that were taken out of the cluster for good (admin)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			all, err := result(api.ClusterRetirementListWithResponse(cmd.Context()))
			if err != nil {
				return err
			}
			v := view{Data: all, Header: []string{"NAME", "UID", "SUCCESSOR", "FORCED", "BY", "AGE"}, Empty: "nobody was retired"}
			for _, r := range *all {
				v.Names = append(v.Names, r.NodeUID.String())
				v.Rows = append(v.Rows, []string{
					printable(r.Name), r.NodeUID.String(), printable(r.SuccessorName), yes(r.Forced), printable(r.By), ageOf(s.Now(), r.CreatedAt),
				})
			}
			return s.print(v)
		},
	}
}

// ageOf is age of a time that may not be known.
func ageOf(now time.Time, at *time.Time) string {
	if at == nil {
		return ""
	}
	return age(now, *at)
}
