package awscli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/drivers/aws/view"
)

const statusHelp = `List every host, instance, spot request, volume, snapshot and image in the account and region that carries the tags of a
node, with whose it is, how old, what it has cost, and when a host can be given back at the earliest; and the pools.

Costs are USD at list prices, or those of the configuration, and an upper bound: a question mark is a price that nobody
knows. Where AWS does not answer it is shown from memory, and its age is told.`

// statusCommand is `aws status`.
func statusCommand(sh Shell) *cobra.Command {
	t := &target{sh: sh}
	c := &cobra.Command{
		Use: "status", Args: cobra.NoArgs,
		Short: "List what AWS is paid for, whose it is, and what it has cost (admin)", Long: statusHelp,
		RunE: func(cmd *cobra.Command, _ []string) error { return t.status(cmd.Context()) },
	}
	t.flags(c)
	return c
}

var errNotListed = errors.New("not everything could be listed: see above")

func (t *target) status(ctx context.Context) error {
	list, failed := ask[view.Account](ctx, t, view.Status)
	if len(list) == 0 {
		return failed
	}
	names := t.names(ctx)
	things, ids := t.thingTable(list, names)
	pools := poolTable(accountPools(list), names)
	if err := t.sh.Print(list, ids, things, pools); err != nil {
		return err
	}
	for _, a := range list {
		t.tellAccount(a)
		if len(a.Result.Missing) > 0 && failed == nil {
			failed = errNotListed
		}
	}
	return failed
}

// names are those of the nodes; where they are not to be had, UIDs are shown.
func (t *target) names(ctx context.Context) nodes {
	names, err := t.sh.NodeNames(ctx)
	if err != nil {
		t.sh.Note("nodes are shown by their UID: %v", err)
	}
	return names
}

// thingTable has a row for each thing.
func (t *target) thingTable(list []answer[view.Account], names nodes) (table [][]string, ids []string) {
	several, now, teller := len(list) > 1, t.sh.Now(), tellers(list)
	table = [][]string{column(several, "INSTANCE", "KIND", "ID", "TYPE", "ZONE", "STATE", "AGE", "USD", "OWNER", "FOR", "RELEASE", "WHY")}
	for _, a := range list {
		for _, one := range a.Result.Things {
			if teller[thingOf(a, one)] != a.Instance {
				continue
			}
			ids = append(ids, one.ID)
			table = append(table, column(several, a.Instance, string(one.Kind), one.ID, what(one), one.Zone, one.State, since(one.Created, now),
				usd(one.Cost), names.owner(one.Owner), purpose(one.Owner), until(one.Release, now), one.Why))
		}
	}
	return table, ids
}

// thing tells things of different regions apart.
type thing struct{ region, id string }

func thingOf(a answer[view.Account], one view.Thing) thing { return thing{a.Result.Region, one.ID} }

// tellers says which instance's row of a thing is shown. Instances of one
// account list the same things, and who adds them up would pay twice: the one
// whose a thing is tells of it, as its prices count, else the first.
func tellers(list []answer[view.Account]) map[thing]string {
	by := map[thing]string{}
	for _, a := range list {
		for _, one := range a.Result.Things {
			_, told := by[thingOf(a, one)]
			if !told || one.Mine && one.Instance == a.Instance {
				by[thingOf(a, one)] = a.Instance
			}
		}
	}
	return by
}

// tellAccount tells on stderr what the table has no rows for.
func (t *target) tellAccount(a answer[view.Account]) {
	account := a.Result
	t.tellMemory(a.Instance, account.Memory)
	if len(account.Things) == 0 && len(account.Missing) == 0 && account.Trouble == "" {
		t.sh.Note("%s: there is nothing of ours in %s", a.Instance, account.Region)
	}
	for _, m := range account.Missing {
		t.sh.Note("%s: no %ss are listed: %s", a.Instance, m.Kind, m.Error)
	}
	for _, old := range account.Aging {
		age := "not known"
		if !old.Asked.IsZero() {
			age = span(t.sh.Now().Sub(old.Asked)) + " old"
		}
		t.sh.Note("%s: the %s, by which room is judged, are %s: %s", a.Instance, old.Of, age, old.Error)
	}
	if account.Hourly > 0 || len(account.Unpriced) > 0 {
		text := ""
		if len(account.Unpriced) > 0 {
			text = ", and what nobody knows the price of: " + strings.Join(account.Unpriced, ", ")
		}
		t.sh.Note("%s: %.2f USD an hour%s", a.Instance, account.Hourly, text)
	}
}

// accountPools are the pools that accounts came with.
func accountPools(list []answer[view.Account]) []answer[view.PoolList] {
	var pools []answer[view.PoolList]
	for _, a := range list {
		pools = append(pools, answer[view.PoolList]{a.Instance, view.PoolList{Region: a.Result.Region, Pools: a.Result.Pools}})
	}
	return pools
}
