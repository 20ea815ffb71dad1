package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// nodeDrivers lists the driver instances of a node.
func nodeDrivers(s *shell) *cobra.Command {
	f := &memberFlags{}
	c := &cobra.Command{
		Use: "drivers [NODE]", Aliases: []string{"driver"}, Args: cobra.MaximumNArgs(1), ValidArgsFunction: s.completeNode,
		Short: "List the driver instances of a node, of the one that answers by default, with what they failed with (admin)",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := notBoth(*f, args); err != nil {
				return err
			}
			if f.all {
				return s.allDrivers(cmd.Context())
			}
			m, err := s.one(cmd.Context(), args)
			if err != nil {
				return err
			}
			list, err := m.drivers(cmd.Context())
			if err != nil {
				return err
			}
			return s.print(s.driversView(*list))
		},
	}
	f.register(c)
	return c
}

// memberDrivers are the driver instances of one member, among those of all.
type memberDrivers struct {
	Node    string                   `json:"node"`
	Drivers apiv1.DriverInstanceList `json:"drivers"`
}

// allDrivers lists those of all members.
func (s *shell) allDrivers(ctx context.Context) error {
	all := view{Empty: "no driver instances"}
	data := []memberDrivers{}
	failed := s.each(ctx, func(m member) error {
		list, err := m.drivers(ctx)
		if err != nil {
			return err
		}
		data = append(data, memberDrivers{m.ref, *list})
		one := s.driversView(*list)
		all.Header = append([]string{"NODE"}, one.Header...)
		for i, row := range one.Rows {
			all.Names = append(all.Names, m.ref+" "+one.Names[i])
			all.Rows = append(all.Rows, append([]string{m.ref}, row...))
		}
		return nil
	})
	all.Data = data
	if err := s.print(all); err != nil {
		return err
	}
	return failed
}

func (s *shell) driversView(list []apiv1.DriverInstance) view {
	v := view{
		Data: list, Empty: "no driver instances",
		Header: []string{"NAME", "STATE", "SINCE", "RUNNING", "CPU", "RAM", "DISK", "RETRY", "LAST ERROR"},
	}
	for _, d := range list {
		v.Names = append(v.Names, d.Name)
		cpu, ram, disk := fmt.Sprint(d.InUse.CPU), fmt.Sprintf("%dGB", d.InUse.RAM), fmt.Sprintf("%dGB", d.InUse.Disk)
		if l := d.Limits; l != nil {
			cpu, ram, disk = ofLimit(cpu, l.CPU, ""), ofLimit(ram, l.RAM, "GB"), ofLimit(disk, l.Disk, "GB")
		}
		retry := ""
		if d.NextRetry != nil {
			retry = "in " + age(*d.NextRetry, s.Now())
		}
		v.Rows = append(v.Rows, []string{d.Name, d.State, age(s.Now(), d.Since), fmt.Sprint(d.InUse.Environments), cpu, ram, disk, retry, d.LastError})
	}
	return v
}

// ofLimit is what is used of how much; 0 is no limit.
func ofLimit(used string, limit uint, unit string) string {
	if limit == 0 {
		return used
	}
	return fmt.Sprintf("%s of %d%s", used, limit, unit)
}
