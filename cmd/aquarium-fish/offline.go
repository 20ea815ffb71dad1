package main

import (
	"context"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/offline"
)

// addOffline adds the commands that work on the folder of a node.
func addOffline(root *cobra.Command, stdout, stderr io.Writer) {
	o := offline.Options{
		Stdout: stdout, Stderr: stderr, Host: config.SystemHost(), Version: version(), Now: time.Now,
		Context: func() (context.Context, context.CancelFunc) {
			return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		},
	}
	for _, cmd := range offline.Commands(o) {
		withoutUsage(cmd)
		root.AddCommand(cmd)
	}
	reset := offline.UserReset(o)
	withoutUsage(reset)
	for _, cmd := range root.Commands() {
		if cmd.Name() == "user" {
			cmd.AddCommand(reset)
			return
		}
	}
	user := &cobra.Command{Use: "user", Short: "The users of the node", Args: cobra.NoArgs}
	user.AddCommand(reset)
	root.AddCommand(user)
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
