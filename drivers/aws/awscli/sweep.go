package awscli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

const sweepHelp = `Find what a node pays for by mistake: what carries its tags and belongs to no allocation, task or pool. The node
removes the environments among it by itself after a minute, but hosts of pools that are not configured any more
only where orphan_hosts says so.

Only what is provably of the node and instance that are asked is touched, and what is of nobody any more: of an
instance that the node is not configured for now, and of nodes that were retired, whose applications ended with
that. With --confirm just what was found is removed, unless it has an owner again. A restored database may not know
the owner of what was made since the copy: with --forgotten that is removed too, whether somebody uses it or not; so
is all that a retired node left if it made something since, which shows that it runs.`

// sweepCommand is `aws sweep`.
func sweepCommand(sh Shell) *cobra.Command {
	t := &target{sh: sh}
	dry, how := false, sweepFlags{}
	c := &cobra.Command{
		Use: "sweep {--dry-run | --confirm}", Args: cobra.NoArgs,
		Short: "List what is paid for by mistake, or remove it (admin)", Long: sweepHelp,
		RunE: func(cmd *cobra.Command, _ []string) error { return t.sweep(cmd.Context(), how) },
	}
	t.flags(c)
	c.Flags().BoolVar(&dry, "dry-run", false, "list only")
	c.Flags().BoolVar(&how.confirm, "confirm", false, "remove it")
	c.Flags().BoolVar(&how.forgotten, "forgotten", false, "also what a restored database may only have forgotten, and what is of a retired node that runs")
	c.MarkFlagsMutuallyExclusive("dry-run", "confirm")
	c.MarkFlagsOneRequired("dry-run", "confirm")
	return c
}

// sweepFlags are those of `aws sweep`.
type sweepFlags struct{ confirm, forgotten bool }

var errNotSwept = errors.New("not everything was removed: see above")

func (t *target) sweep(ctx context.Context, how sweepFlags) error {
	list, failed := ask[view.Sweeping](ctx, t, view.SweepPlan)
	if len(list) == 0 {
		return failed
	}
	if how.confirm {
		for i := range list {
			err := t.removePlanned(ctx, &list[i], how.forgotten)
			if err != nil && (ctx.Err() != nil || len(list) == 1) {
				return err
			}
			if err != nil {
				t.sh.Note("%s: %v", list[i].Instance, err)
				failed = errNotSwept
			}
		}
	}
	table, ids, left := t.strayTable(list, how)
	if err := t.sh.Print(list, ids, table); err != nil {
		return err
	}
	for _, a := range list {
		t.tellMemory(a.Instance, a.Result.Memory)
		if len(a.Result.Strays) == 0 && a.Result.Trouble == "" {
			t.sh.Note("%s: nothing is there by mistake", a.Instance)
		}
	}
	if left && failed == nil {
		failed = errNotSwept
	}
	return failed
}

// removePlanned has an instance remove what it planned to, and nothing else.
func (t *target) removePlanned(ctx context.Context, a *answer[view.Sweeping], forgotten bool) error {
	args := view.SweepArgs{Forgotten: forgotten}
	for _, s := range a.Result.Strays {
		if s.Held == "" && (!s.Doubtful || forgotten) {
			args.IDs = append(args.IDs, s.ID)
		}
	}
	if len(args.IDs) == 0 {
		return nil
	}
	done, err := do[view.Sweeping](ctx, t, a.Instance, view.Sweep, args)
	if err != nil {
		return err
	}
	a.Result = done
	return nil
}

// strayTable has a row for each stray; left is whether something should have been removed and was not.
func (t *target) strayTable(list []answer[view.Sweeping], how sweepFlags) (table [][]string, ids []string, left bool) {
	several, now := len(list) > 1, t.sh.Now()
	table = [][]string{column(several, "INSTANCE", "KIND", "ID", "TYPE", "STATE", "AGE", "USD", "FOR", "REASON", "RESULT")}
	for _, a := range list {
		for _, s := range a.Result.Strays {
			ids = append(ids, s.ID)
			left = left || how.confirm && s.Error != ""
			table = append(table, column(several, a.Instance, string(s.Kind), s.ID, what(s.Thing), s.State, since(s.Created, now), usd(s.Cost),
				purpose(s.Owner), s.Reason, result(s, how)))
		}
	}
	return table, ids, left
}

// result is what became of a stray, or would.
func result(s view.Stray, how sweepFlags) string {
	switch {
	case s.Removed:
		return "removed"
	case s.Error != "":
		return "failed: " + s.Error
	case s.Held != "":
		return "stays: " + s.Held
	case s.Doubtful && !how.forgotten:
		return "stays without --forgotten"
	case how.confirm:
		return "stays"
	}
	return "would be removed"
}
