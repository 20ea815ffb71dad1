package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// drainFlags are those of `node drain`.
type drainFlags struct {
	persist, wait bool
	timeout       time.Duration
}

// nodeDrain lets a node take nothing new.
func nodeDrain(s *shell) *cobra.Command {
	f := &drainFlags{}
	c := &cobra.Command{
		Use: "drain [NODE]", Args: cobra.MaximumNArgs(1), ValidArgsFunction: s.completeNode,
		Short: "Let a node, the one that answers by default, take no new applications (admin)",
		Long: `Let a node take no new applications; running ones go on. NODE is the name or UID of any member, whichever node is asked;
without it, it is the node that answers. A restart ends the drain, unless --persist keeps it. With --wait it returns when
nothing runs there any more. Exit code 4: not in time, and the node stays drained. 5: somebody ended the drain meanwhile.
'aquarium-fish node undrain' puts the node back to work.`,
		Example: "  aquarium-fish node drain mac-7 --persist --wait --timeout 4h && ssh mac-7 sudo softwareupdate -ia -R",
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := s.one(cmd.Context(), args)
			if err != nil {
				return err
			}
			return s.drainNode(cmd.Context(), m, f)
		},
	}
	c.Flags().BoolVar(&f.persist, "persist", false, "keep it over a restart of the node")
	c.Flags().BoolVarP(&f.wait, "wait", "w", false, "wait until nothing runs there any more")
	c.Flags().DurationVar(&f.timeout, "timeout", 0, "how long to wait; 0 for as long as it takes")
	return c
}

// nodeUndrain puts a node back to work.
func nodeUndrain(s *shell) *cobra.Command {
	f := &memberFlags{}
	c := &cobra.Command{
		Use: "undrain [NODE]", Args: cobra.MaximumNArgs(1), ValidArgsFunction: s.completeNode,
		Short: "Let a node, the one that answers by default, take applications again (admin)",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := notBoth(*f, args); err != nil {
				return err
			}
			if f.all {
				return s.undrainAll(cmd.Context())
			}
			m, err := s.one(cmd.Context(), args)
			if err != nil {
				return err
			}
			d, err := m.setDrain(cmd.Context(), false, false)
			if err != nil {
				return err
			}
			return s.printDrain(m, d)
		},
	}
	f.register(c)
	return c
}

// undrainAll puts every member back to work.
func (s *shell) undrainAll(ctx context.Context) error {
	type drained struct {
		Node  string           `json:"node"`
		Drain *apiv1.NodeDrain `json:"drain"`
	}
	data := []drained{}
	v := view{Header: []string{"NODE", "DRAINED", "RUNNING"}}
	failed := s.each(ctx, func(m member) error {
		d, err := m.setDrain(ctx, false, false)
		if err != nil {
			return err
		}
		data = append(data, drained{m.ref, d})
		v.Names = append(v.Names, m.ref)
		v.Rows = append(v.Rows, []string{m.ref, yes(d.Enabled), strconv.Itoa(d.Running)})
		return nil
	})
	v.Data = data
	if err := s.print(v); err != nil {
		return err
	}
	return failed
}

// yes is a switch in a table.
func yes(on bool) string {
	if on {
		return "yes"
	}
	return "no"
}

func (s *shell) drainNode(ctx context.Context, m member, f *drainFlags) error {
	d, err := m.setDrain(ctx, true, f.persist)
	if err != nil {
		return err
	}
	if f.wait {
		if d, err = s.waitDrained(ctx, m, d, f.timeout); err != nil {
			return err
		}
	}
	return s.printDrain(m, d)
}

// errUndrained ends a wait for a node that somebody put back to work.
var errUndrained = errors.New("somebody ended the drain meanwhile, or the node restarted without --persist: it takes applications again")

// waitDrained waits until nothing runs on the node, and tells how much is left.
func (s *shell) waitDrained(ctx context.Context, m member, d *apiv1.NodeDrain, timeout time.Duration) (*apiv1.NodeDrain, error) {
	bounded, cancel := withTimeout(ctx, timeout)
	defer cancel()
	told := -1
	err := poll(bounded, func(ctx context.Context) (bool, error) {
		now, err := m.drain(ctx)
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

func (s *shell) printDrain(m member, d *apiv1.NodeDrain) error {
	var rows [][]string
	if m.ref != "" {
		rows = append(rows, []string{"Node", m.ref})
	}
	rows = append(rows, []string{"Drained", yes(d.Enabled)})
	if d.Enabled {
		rows = append(rows, []string{"By", printable(d.By)}, []string{"Persistent", yes(d.Persistent)})
	}
	if d.Since != nil {
		rows = append(rows, []string{"Since", age(s.Now(), *d.Since)})
	}
	if d.Shutdown {
		rows = append(rows, []string{"Shutdown", "ordered"})
	}
	rows = append(rows, []string{"Running", strconv.Itoa(d.Running)})
	return s.print(view{Data: d, Names: []string{yes(d.Enabled)}, Rows: rows})
}
