// Package awscli is `aquarium-fish aws`: what an operator looks at and does about
// the driver aws beside applications. It knows neither the driver nor the SDK:
// what it shows, nodes answer in the types of package view, and what it
// computes, it computes here.
package awscli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/drivers"
)

// Shell is what the commands that ask a node take from the program around
// them.
type Shell interface {
	// Flags declares on a command, for those below it too, the flags that say
	// which node to ask, as whom, and in which form to print.
	Flags(c *cobra.Command)
	// NodeFlag declares --node, whose value goes to the methods below; empty is
	// the node that answers.
	NodeFlag(c *cobra.Command, node *string)
	// DriverCommands are the commands that the ready driver instances of a node
	// have, by instance.
	DriverCommands(ctx context.Context, node string) (map[string][]drivers.Command, error)
	// DoDriverCommand does one of them.
	DoDriverCommand(ctx context.Context, node, instance, command string, args json.RawMessage) (json.RawMessage, error)
	// Print shows a table, or data where the user wants JSON or YAML; empty is
	// said where there are no rows.
	Print(data any, header []string, rows [][]string, empty string) error
	// Note tells something on stderr that is no output.
	Note(format string, args ...any)
	// Usage makes an error of the command line.
	Usage(format string, args ...any) error
}

// Command is the command `aws`.
func Command(sh Shell) *cobra.Command {
	c := &cobra.Command{
		Use: "aws", Short: "Look at what the aws driver pays for, tidy up, and compute what a pool would cost", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(simulateCommand(sh))
	return c
}
