package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/lib/app"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
)

// configCommand is about config files, and asks no node.
func configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check the config file of a node", Args: cobra.NoArgs}
	c.AddCommand(&cobra.Command{
		Use: "check FILE", Short: "Read a config file as the node would, and tell all that is wrong or doubtful", Args: cobra.ExactArgs(1),
		Long: `Read a config file as the node would when it starts, the drivers' parts too, and print every error and warning as
FILE:LINE: error: KEY: what is wrong and what is allowed. Nothing is made or started. The exit code is 1 if there are errors.`,
		RunE: checkConfig,
	})
	return c
}

func checkConfig(cmd *cobra.Command, args []string) error {
	file, failed := args[0], 0
	found := app.CheckConfig(cmd.Context(), file, factories(), config.SystemHost())
	for _, f := range found {
		if f.Error {
			failed++
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), f.String(file)); err != nil {
			return fmt.Errorf("print what was found: %w", err)
		}
	}
	if failed > 0 {
		return runError{fmt.Errorf("%s has %s", file, count(failed, "error"))}
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is good, %s\n", file, count(len(found), "warning"))
	return err
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
