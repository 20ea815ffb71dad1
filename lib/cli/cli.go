package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Options is what the command line takes from the process. Nothing else of the process is used, so that a test can run
// every command within its own.
type Options struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Env reads an environment variable; empty if it is not set.
	Env func(name string) string
	// ConfigDir is the user's folder of contexts and stored passwords; empty if the user has none.
	ConfigDir string
	// WorkDir is where relative paths start and where the files of a node on this machine are looked for.
	WorkDir string
	// Now is the time that ages count to.
	Now func() time.Time
	// TempDir is where private files of a moment are made, in folders of their own; empty for the system's.
	TempDir string
	// LookPath finds a program of the user's.
	LookPath func(name string) (path string, err error)
	// ReadSecret shows the prompt and reads a line that is not shown; nil without a terminal.
	ReadSecret func(ctx context.Context, prompt string) (string, error)
	// Interruptible returns a context that ends when the user interrupts the program.
	Interruptible func(context.Context) (context.Context, context.CancelFunc)
}

// group is the heading of the client's commands in the help.
const group = "client"

// Add adds the commands to the program's root, and those that others make with its Shell.
func Add(root *cobra.Command, options Options, more ...func(*Shell) *cobra.Command) {
	s := &shell{Options: options}
	root.AddGroup(&cobra.Group{ID: group, Title: "Commands that ask a node:"})
	all := nouns(s)
	for _, command := range more {
		all = append(all, command(&Shell{s: s}))
	}
	for _, c := range all {
		c.GroupID = group
		s.wrap(c)
		root.AddCommand(c)
	}
}

// nouns is the tree of commands.
func nouns(s *shell) []*cobra.Command {
	return []*cobra.Command{
		appCommand(s),
		labelCommand(s),
		taskCommand(s),
		resourceCommand(s),
		userCommand(s),
		nodeCommand(s),
		imageCommand(s),
		clusterCommand(s),
		auditCommand(s),
		voteCommand(s),
		locationCommand(s),
		mappingCommand(s),
		contextCommand(s),
		loginCommand(s),
		logoutCommand(s),
	}
}

// shell is what the verbs share in one run of the program.
type shell struct {
	Options
	target targetFlags
	output string
}

// noun makes the command that holds the verbs of one noun.
func (s *shell) noun(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q in %q", args[0], cmd.CommandPath())
			}
			return cmd.Help()
		},
	}
	s.register(c.PersistentFlags())
	s.completeFlags(c)
	c.AddCommand(verbs...)
	return c
}

// register declares the flags that every command has which asks a node.
func (s *shell) register(set *pflag.FlagSet) {
	s.target.register(set)
	set.StringVarP(&s.output, "output", "o", outputTable, "table, json, yaml or name")
}

// flagHint is the annotation with what a command says of a flag that it does not know.
const flagHint = "flag_hint"

// wrap makes a command and those below fail with an error of this package and end when the user interrupts them.
func (s *shell) wrap(c *cobra.Command) {
	c.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if hint := cmd.Annotations[flagHint]; hint != "" {
			err = fmt.Errorf("%w: %s", err, hint)
		}
		return &Failure{CodeUsage, err}
	})
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usagef("%w; want: %s", err, cmd.UseLine())
			}
			return nil
		}
	}
	c.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := cmd.ValidateFlagGroups(); err != nil { // before cobra does, which knows no exit codes
			return &Failure{CodeUsage, err}
		}
		return nil
	}
	if run := c.RunE; run != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			ctx, stop := s.Interruptible(contextOf(cmd))
			defer stop()
			cmd.SetContext(ctx)
			return s.failed(ctx, run(cmd, args))
		}
	}
	for _, sub := range c.Commands() {
		s.wrap(sub)
	}
}

// contextOf is the context that the program was run with.
func contextOf(cmd *cobra.Command) context.Context {
	if ctx := cmd.Context(); ctx != nil {
		return ctx
	}
	return context.Background()
}
