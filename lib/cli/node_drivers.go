package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// nodeDrivers lists the driver instances of the node.
func nodeDrivers(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "drivers", Aliases: []string{"driver"}, Short: "List the driver instances of the node with what they failed with (admin)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			list, err := result(api.NodeThisDriversWithResponse(cmd.Context()))
			if err != nil {
				return err
			}
			return s.print(s.driversView(*list))
		},
	}
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
