package main

import (
	"context"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/lib/cli"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/offline"
)

// addOffline adds the commands that work on the folder of a node.
func addOffline(root *cobra.Command, client cli.Options) {
	o := offline.Options{
		Stdout: client.Stdout, Stderr: client.Stderr, Host: config.SystemHost(), Version: version(), Now: time.Now,
		Stdin: client.Stdin, ReadSecret: client.ReadSecret,
		Context: func() (context.Context, context.CancelFunc) {
			return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		},
	}
	for _, cmd := range offline.Commands(o) {
		withoutUsage(cmd)
		root.AddCommand(cmd)
	}
	addTo(root, "user", "The users of the node", offline.UserReset(o))
	addTo(root, "cluster", "The cluster", offline.ClusterCommands(o)...)
}

// addTo adds commands that work on a folder to a noun whose others ask a node.
func addTo(root *cobra.Command, noun, short string, verbs ...*cobra.Command) {
	for _, verb := range verbs {
		withoutUsage(verb)
	}
	for _, cmd := range root.Commands() {
		if cmd.Name() == noun {
			cmd.AddCommand(verbs...)
			return
		}
	}
	cmd := &cobra.Command{Use: noun, Short: short, Args: cobra.NoArgs}
	cmd.AddCommand(verbs...)
	root.AddCommand(cmd)
}

// withoutUsage makes the errors of a command, once its arguments are right,
// such that no usage follows them.
func withoutUsage(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := run(cmd, args); err != nil {
				return runError{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		withoutUsage(sub)
	}
}
