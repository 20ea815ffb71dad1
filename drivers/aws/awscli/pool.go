package awscli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

// poolCommand is `aws pool`.
func poolCommand(sh Shell) *cobra.Command {
	t := &target{sh: sh}
	c := &cobra.Command{
		Use: "pool", Short: "Look at the pools of dedicated hosts, and drain them",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return sh.Usage("there is no command %q in %q", args[0], cmd.CommandPath())
			}
			return cmd.Help()
		},
	}
	t.flags(c)
	c.AddCommand(
		&cobra.Command{
			Use: "list", Aliases: []string{"ls"}, Args: cobra.NoArgs,
			Short: "List the pools and their hosts, as the nodes that run them tell (admin)",
			RunE:  func(cmd *cobra.Command, _ []string) error { return t.listPools(cmd.Context()) },
		},
		drainCommand(t),
	)
	return c
}

func (t *target) listPools(ctx context.Context) error {
	list, failed := ask[view.PoolList](ctx, t, view.Pools)
	if len(list) == 0 {
		return failed
	}
	names := t.names(ctx)
	if err := t.sh.Print(list, poolNames(list), poolTable(list, names), t.hostTable(list)); err != nil {
		return err
	}
	for _, a := range list {
		if len(a.Result.Pools) == 0 {
			t.sh.Note("%s: no pools are configured", a.Instance)
		}
	}
	return failed
}

func poolNames(list []answer[view.PoolList]) (names []string) {
	for _, a := range list {
		for _, p := range a.Result.Pools {
			if !slices.Contains(names, p.Name) {
				names = append(names, p.Name)
			}
		}
	}
	return names
}

// poolTable has a row for each pool.
func poolTable(list []answer[view.PoolList], names nodes) [][]string {
	several := len(list) > 1
	table := [][]string{column(several, "INSTANCE", "POOL", "TYPE", "OWNER", "MAX", "HOSTS", "PAID", "BUSY", "CAPACITY", "WAITING", "SCRUBS", "STATE")}
	for _, a := range list {
		for _, p := range a.Result.Pools {
			row := []string{p.Name, p.Type, names.name(p.Owner), fmt.Sprint(p.Max), "", "", "", "", "", "", poolState(p)}
			if p.Phases != nil { // else its owner has told nothing
				row = []string{
					p.Name, p.Type, names.name(p.Owner), fmt.Sprint(p.Max), fmt.Sprint(p.Total), fmt.Sprint(p.Paid), fmt.Sprint(p.Phases["busy"]),
					fmt.Sprint(p.Capacity), fmt.Sprint(p.Wait), scrubs(p.Scrub), poolState(p),
				}
			}
			table = append(table, column(several, a.Instance, row...))
		}
	}
	return table
}

// poolState is what there is to say about a pool beside its numbers.
func poolState(p view.Pool) string {
	var parts []string
	if p.Draining {
		parts = append(parts, "draining")
	}
	if p.Owner == "" {
		parts = append(parts, "no node owns it now")
	}
	if p.Trouble != "" && (!p.Draining || p.Phases == nil) { // else that is the trouble
		parts = append(parts, p.Trouble)
	}
	return strings.Join(parts, "; ")
}

// scrubs is how long half of the observed scrubs took at most, and most of them.
func scrubs(t view.Times) string {
	if t.Count == 0 {
		return ""
	}
	return fmt.Sprintf("%s, p95 %s (%d)", span(t.P50.Duration()), span(t.P95.Duration()), t.Count)
}

// hostTable has a row for each host of a pool.
func (t *target) hostTable(list []answer[view.PoolList]) [][]string {
	several, now := len(list) > 1, t.sh.Now()
	table := [][]string{column(several, "INSTANCE", "POOL", "HOST", "ZONE", "PHASE", "FOR", "STATE", "AGE", "USD", "RELEASE", "WHY")}
	for _, a := range list {
		for _, p := range a.Result.Pools {
			for _, h := range p.Hosts {
				table = append(table, column(several, a.Instance, p.Name, h.ID, h.Zone, h.Phase, since(h.Since, now), h.State,
					since(h.Allocated, now), usd(h.Cost), until(h.Release, now), h.Why))
			}
		}
	}
	return table
}

const drainHelp = `Have a pool give no host to anybody any more and allocate none: what runs there ends in its own time, and each host is
released as soon as AWS takes it back. It stays so, also over restarts, until --off.

The node that owns the pool does it, whichever is asked.`

// drainCommand is `aws pool drain`.
func drainCommand(t *target) *cobra.Command {
	off := false
	c := &cobra.Command{
		Use: "drain NAME", Args: cobra.ExactArgs(1),
		Short: "Have a pool take no more hosts into use and give back those it has, or end that with --off (admin)", Long: drainHelp,
		RunE: func(cmd *cobra.Command, args []string) error { return t.drain(cmd.Context(), args[0], off) },
	}
	c.Flags().BoolVar(&off, "off", false, "put the pool back to work")
	return c
}

func (t *target) drain(ctx context.Context, pool string, off bool) error {
	instance, err := t.poolInstance(ctx, pool)
	if err != nil {
		return err
	}
	p, err := do[view.Pool](ctx, t, instance, view.Drain, view.DrainArgs{Pool: pool, Off: off})
	if err != nil {
		return err
	}
	list := []answer[view.PoolList]{{instance, view.PoolList{Pools: []view.Pool{p}}}}
	if err := t.sh.Print(p, []string{p.Name}, poolTable(list, t.names(ctx)), t.hostTable(list)); err != nil {
		return err
	}
	if p.Draining {
		t.sh.Note("pool %s is drained: %d of its hosts are busy, and each is released as soon as it may be", p.Name, p.Phases["busy"])
	} else {
		t.sh.Note("pool %s takes hosts into use", p.Name)
	}
	return nil
}

// poolInstance is the instance that has the pool.
func (t *target) poolInstance(ctx context.Context, pool string) (string, error) {
	list, err := ask[view.PoolList](ctx, t, view.Pools)
	if err != nil {
		return "", err // also beside answers: it may be the one that failed
	}
	have := map[string]string{} // the pool among nodes -> the first instance that has it
	for _, a := range list {
		for _, p := range a.Result.Pools {
			if p.Name == pool && have[p.Thing] == "" {
				have[p.Thing] = a.Instance
			}
		}
	}
	switch len(have) {
	case 0:
		return "", t.sh.NotFound("there is no pool %q, there are: %s", pool, orNone(poolNames(list)))
	case 1:
		for _, instance := range have {
			return instance, nil
		}
	}
	return "", t.sh.Usage("there are %d pools %q: say by --instance of which", len(have), pool)
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
