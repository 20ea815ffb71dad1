// Package awscli is `aquarium-fish aws`: what an operator looks at and does about
// the driver aws beside applications. It knows neither the driver nor the SDK:
// what it shows, nodes answer in the types of package view, and what it
// computes, it computes here.
package awscli

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// Shell is what the commands take from the program around them. An empty node
// is the one that answers.
type Shell interface {
	// Flags declares on a command, for those below it too, the flags that say
	// which node to ask, as whom, and in which form to print.
	Flags(c *cobra.Command)
	// NodeFlag declares --node, whose value goes to the methods below.
	NodeFlag(c *cobra.Command, node *string)
	// DriverCommands are the commands that the ready driver instances of a node
	// have, by instance.
	DriverCommands(ctx context.Context, node string) (map[string][]drivers.Command, error)
	// DoDriverCommand does one of them.
	DoDriverCommand(ctx context.Context, node, instance, command string, args json.RawMessage) (json.RawMessage, error)
	// NodeNames are the names of the nodes of the cluster by their UID.
	NodeNames(ctx context.Context) (map[string]string, error)
	// Print shows tables, the first row of which is the header and which are left
	// out if they have no other; or data, where the user wants JSON or YAML, or
	// names.
	Print(data any, names []string, tables ...[][]string) error
	// Note tells something on stderr that is no output.
	Note(format string, args ...any)
	// Usage makes an error of the command line, NotFound one about something
	// that is not there.
	Usage(format string, args ...any) error
	NotFound(format string, args ...any) error
	// Now is the time that ages count to.
	Now() time.Time
}

// Command is the command `aws`.
func Command(sh Shell) *cobra.Command {
	c := &cobra.Command{
		Use: "aws", Short: "Look at what the aws driver pays for, tidy up, and compute what a pool would cost",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return sh.Usage("there is no command %q in %q", args[0], cmd.CommandPath())
			}
			return cmd.Help()
		},
	}
	c.AddCommand(statusCommand(sh), poolCommand(sh), sweepCommand(sh), simulateCommand(sh))
	return c
}
