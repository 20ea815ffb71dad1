package cli

import (
	"github.com/spf13/cobra"
)

// appSSH runs ssh to an environment.
func appSSH(s *shell) *cobra.Command {
	f := &sshFlags{}
	var terminal, noTerminal, agent bool
	c := &cobra.Command{
		Use: "ssh UID [-- COMMAND...]", Short: "Log in to the environment of an application, or run a command there",
		Long: `Log in to the environment of an application through the SSH proxy, or run a command there, by your own ssh. It asks the node
for credentials that are good for one login, and for the proxy's host key, so there is nothing to type and nobody else to trust.

What stands after -- is the command, its words joined by spaces, as ssh does it: quote what the shell over there shall not split.
Stdin, stdout and the terminal are ssh's. The exit code is the command's, and 255 where ssh failed.

ssh reads none of your config files: what they say of all hosts, such as shared connections, could lead to another environment.
Say what you need by -o, which also wins over what is set here.`,
		Example: `  aquarium-fish app ssh UID
  aquarium-fish app ssh UID -- tail -n 100 /var/log/build.log
  aquarium-fish app ssh UID -- 'cd /work && make test'
  tar cz src | aquarium-fish app ssh UID -- tar xz -C /work
  aquarium-fish app ssh UID --wait -t -- htop
  aquarium-fish app ssh UID -o LocalForward='8080 localhost:80'`,
		Args: oneAndCommand, ValidArgsFunction: s.completeApp,
		Annotations: map[string]string{flagHint: "put -- before the command; other flags of ssh are options, such as -o LogLevel=DEBUG, and ports are for 'app forward'"},
		RunE: func(cmd *cobra.Command, args []string) error {
			options := chosen(map[string]bool{"-tt": terminal, "-T": noTerminal, "-A": agent})
			return s.ssh(cmd, f, args, append(options, f.arguments()...))
		},
	}
	f.register(c)
	c.Flags().BoolVarP(&terminal, "tty", "t", false, "a terminal for the command as well, even without one here")
	c.Flags().BoolVarP(&noTerminal, "no-tty", "T", false, "no terminal, not even for a shell")
	c.Flags().BoolVarP(&agent, "forward-agent", "A", false, "let the environment use your ssh agent: whoever is root there can, too")
	c.MarkFlagsMutuallyExclusive("tty", "no-tty")
	return c
}

// oneAndCommand takes a UID, and what stands after --.
func oneAndCommand(cmd *cobra.Command, args []string) error {
	before := len(args)
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		before = dash
	}
	switch {
	case before == 0:
		return usagef("the application is missing")
	case before > 1:
		return usagef("%q: put -- before the command", args[1])
	}
	return nil
}

// ssh runs ssh with the options to the application that comes first of the arguments; the others are the command.
func (s *shell) ssh(cmd *cobra.Command, f *sshFlags, args, options []string) error {
	program, err := s.opensshProgram("ssh")
	if err != nil {
		return err
	}
	e, err := s.environment(cmd, f, args[0])
	if err != nil {
		return err
	}
	return e.enter(cmd.Context(), func(config string) error {
		line := append([]string{"-F", config}, options...)
		line = append(line, e.host())
		if len(args) > 1 {
			line = append(append(line, "--"), args[1:]...)
		}
		return s.runProgram(cmd.Context(), program, line)
	})
}
