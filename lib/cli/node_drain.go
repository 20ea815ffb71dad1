package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// drainFlags are those of `node drain`.
type drainFlags struct {
	persist, wait bool
	timeout       time.Duration
}

// nodeDrain lets the node take nothing new.
func nodeDrain(s *shell) *cobra.Command {
	f := &drainFlags{}
	c := &cobra.Command{
		Use: "drain", Args: cobra.NoArgs, Short: "Let the node that answers take no new applications (admin)",
		Long: `Let the node that answers take no new applications; running ones go on. A restart ends the drain, unless --persist keeps
it. With --wait it returns when nothing runs there any more. Exit code 4: not in time, and the node stays drained. 5:
somebody ended the drain meanwhile. 'aquarium-fish node undrain' puts the node back to work.`,
		Example: "  aquarium-fish node drain --persist --wait --timeout 4h && ssh mac-7 sudo softwareupdate -ia -R",
		RunE:    func(cmd *cobra.Command, _ []string) error { return s.drainNode(cmd.Context(), f) },
	}
	c.Flags().BoolVar(&f.persist, "persist", false, "keep it over a restart of the node")
	c.Flags().BoolVarP(&f.wait, "wait", "w", false, "wait until nothing runs there any more")
	c.Flags().DurationVar(&f.timeout, "timeout", 0, "how long to wait; 0 for as long as it takes")
	return c
}

// nodeUndrain puts the node back to work.
func nodeUndrain(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "undrain", Args: cobra.NoArgs, Short: "Let the node that answers take applications again (admin)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			return s.setDrain(cmd.Context(), api, false, false)
		},
	}
}

func (s *shell) drainNode(ctx context.Context, f *drainFlags) error {
	api, err := s.api(ctx)
	if err != nil {
		return err
	}
	if !f.wait {
		return s.setDrain(ctx, api, true, f.persist)
	}
	enable := true
	d, err := result(api.NodeThisDrainSetWithResponse(ctx, apiv1.NodeDrainRequest{Enable: &enable, Persist: f.persist}))
	if err != nil {
		return err
	}
	d, err = s.waitDrained(ctx, api, d, f.timeout)
	if err != nil {
		return err
	}
	return s.printDrain(d)
}

// setDrain switches the drain and shows it.
func (s *shell) setDrain(ctx context.Context, api client.ClientWithResponsesInterface, enable, persist bool) error {
	d, err := result(api.NodeThisDrainSetWithResponse(ctx, apiv1.NodeDrainRequest{Enable: &enable, Persist: persist}))
	if err != nil {
		return err
	}
	return s.printDrain(d)
}

// errUndrained ends a wait for a node that somebody put back to work.
var errUndrained = errors.New("somebody ended the drain meanwhile, or the node restarted without --persist: it takes applications again")

// waitDrained waits until nothing runs on the node, and tells how much is left.
func (s *shell) waitDrained(ctx context.Context, api client.ClientWithResponsesInterface, d *apiv1.NodeDrain, timeout time.Duration) (*apiv1.NodeDrain, error) {
	bounded, cancel := withTimeout(ctx, timeout)
	defer cancel()
	told := -1
	err := poll(bounded, func(ctx context.Context) (bool, error) {
		now, err := result(api.NodeThisDrainGetWithResponse(ctx))
		if err != nil {
			return false, err
		}
		d = now
		if !d.Enabled {
			return false, &Failure{CodeEnded, errUndrained}
		}
		if d.Running > 0 && d.Running != told {
			told = d.Running
			s.note("applications that still run: %d", told)
		}
		return d.Running == 0, nil
	})
	if err != nil {
		return nil, unfinished(ctx, err, fmt.Sprintf("applications still run on the node after %v: %d", timeout, d.Running),
			"it stays drained: the same command waits on, 'aquarium-fish node undrain' puts it back to work")
	}
	return d, nil
}

func (s *shell) printDrain(d *apiv1.NodeDrain) error {
	words := map[bool]string{true: "yes", false: "no"}
	rows := [][]string{{"Drained", words[d.Enabled]}}
	if d.Enabled {
		rows = append(rows, []string{"By", printable(d.By)}, []string{"Persistent", words[d.Persistent]})
	}
	if d.Since != nil {
		rows = append(rows, []string{"Since", age(s.Now(), *d.Since)})
	}
	if d.Shutdown {
		rows = append(rows, []string{"Shutdown", "ordered"})
	}
	rows = append(rows, []string{"Running", strconv.Itoa(d.Running)})
	return s.print(view{Data: d, Names: []string{words[d.Enabled]}, Rows: rows})
}
