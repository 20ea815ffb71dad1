package awscli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

const sweepHelp = `Find what a node pays for by mistake: what carries its tags and belongs to no allocation, task or pool. The node removes such
things by itself after a while; on a restored database it only reports them, until this command confirms.

Only what is provably of the node and instance that are asked is touched. With --confirm what is found is listed first, and
then just that is removed, unless it has an owner again.`

// sweepCommand is `aws sweep`.
func sweepCommand(sh Shell) *cobra.Command {
	t := &target{sh: sh}
	dry, confirm := false, false
	c := &cobra.Command{
		Use: "sweep {--dry-run | --confirm}", Args: cobra.NoArgs,
		Short: "List what is paid for by mistake, or remove it (admin)", Long: sweepHelp,
		RunE: func(cmd *cobra.Command, _ []string) error { return t.sweep(cmd.Context(), confirm) },
	}
	t.flags(c)
	c.Flags().BoolVar(&dry, "dry-run", false, "list only")
	c.Flags().BoolVar(&confirm, "confirm", false, "remove it")
	c.MarkFlagsMutuallyExclusive("dry-run", "confirm")
	c.MarkFlagsOneRequired("dry-run", "confirm")
	return c
}

var errNotSwept = errors.New("not everything was removed: see above")

func (t *target) sweep(ctx context.Context, confirm bool) error {
	list, failed := ask[view.Sweeping](ctx, t, view.SweepPlan)
	if len(list) == 0 {
		return failed
	}
	if confirm {
		for i := range list {
			err := t.removePlanned(ctx, &list[i])
			if err != nil && (ctx.Err() != nil || len(list) == 1) {
				return err
			}
			if err != nil {
				t.sh.Note("%s: %v", list[i].Instance, err)
				failed = errNotSwept
			}
		}
	}
	table, ids, left := t.strayTable(list, confirm)
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
func (t *target) removePlanned(ctx context.Context, a *answer[view.Sweeping]) error {
	var args view.SweepArgs
	for _, s := range a.Result.Strays {
		if s.Held == "" {
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
func (t *target) strayTable(list []answer[view.Sweeping], confirmed bool) (table [][]string, ids []string, left bool) {
	several, now := len(list) > 1, t.sh.Now()
	table = [][]string{column(several, "INSTANCE", "KIND", "ID", "TYPE", "STATE", "AGE", "USD", "FOR", "REASON", "RESULT")}
	for _, a := range list {
		for _, s := range a.Result.Strays {
			ids = append(ids, s.ID)
			left = left || confirmed && s.Error != ""
			table = append(table, column(several, a.Instance, string(s.Kind), s.ID, what(s.Thing), s.State, since(s.Created, now), usd(s.Cost),
				purpose(s.Owner), s.Reason, result(s, confirmed)))
		}
	}
	return table, ids, left
}

// result is what became of a stray, or would.
func result(s view.Stray, confirmed bool) string {
	switch {
	case s.Removed:
		return "removed"
	case s.Error != "":
		return "failed: " + s.Error
	case s.Held != "":
		return "stays: " + s.Held
	case confirmed:
		return "stays"
	}
	return "would be removed"
}
