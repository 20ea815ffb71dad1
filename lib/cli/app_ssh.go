package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// appSSH runs ssh to an environment.
func appSSH(s *shell) *cobra.Command {
	f := &sshFlags{}
	var terminal, noTerminal, agent bool
	c := &cobra.Command{
		Use: "ssh UID [COMMAND...]", Short: "Log in to the environment of an application, or run a command there",
		Long: `Log in to the environment of an application through the SSH proxy, or run a command there, by your own ssh. It asks the node
for credentials that are good for one login, and for the proxy's host key, so there is nothing to type and nobody else to trust.

What follows the UID, and flags after it, is the command with flags of its own, its words joined by spaces, as ssh does it: quote
what the shell over there shall not split. A -- before it does no harm. So rsync -e and git take 'aquarium-fish app ssh' as their
ssh, with UID as the name of the host.

Stdin, stdout and the terminal are ssh's. The exit code is the command's, and 255 where ssh failed.

ssh reads none of your config files: what they say of all hosts, such as shared connections, could lead to another environment.
Say what you need by -o, which also wins over what is set here.`,
		Example: `  aquarium-fish app ssh UID
  aquarium-fish app ssh UID -- tail -n 100 /var/log/build.log
  aquarium-fish app ssh UID -- 'cd /work && make test'
  tar cz src | aquarium-fish app ssh UID -- tar xz -C /work
  aquarium-fish app ssh UID --wait -t -- htop
  aquarium-fish app ssh UID -o LocalForward='8080 localhost:80'
  rsync -a -e 'aquarium-fish app ssh' UID:/work/out/ out`,
		Args: uidAndCommand, ValidArgsFunction: s.completeSSH,
		Annotations: map[string]string{flagHint: "other flags of ssh are options, such as -o LogLevel=DEBUG, ports are for 'app forward', and the user is the label's"},
		RunE: func(cmd *cobra.Command, args []string) error {
			options := chosen(map[string]bool{"-tt": terminal, "-T": noTerminal, "-A": agent})
			return s.ssh(cmd, f, slices.Concat(args[:1], cmd.Flags().Args()), append(options, f.arguments()...))
		},
	}
	c.Flags().SetInterspersed(false) // what follows is the command's; uidAndCommand goes on
	f.register(c)
	c.Flags().BoolVarP(&terminal, "tty", "t", false, "a terminal for the command as well, even without one here")
	c.Flags().BoolVarP(&noTerminal, "no-tty", "T", false, "no terminal, not even for a shell")
	c.Flags().BoolVarP(&agent, "forward-agent", "A", false, "let the environment use your ssh agent: whoever is root there can, too")
	c.MarkFlagsMutuallyExclusive("tty", "no-tty")
	return c
}

// uidAndCommand takes a UID and a command as ssh takes a host and a command: flags may stand before and after the UID, and
// what follows the first word that is none, or --, is the command, whatever it looks like. Programs that run ssh rely on
// that. The words of the command are the arguments of the flags then.
func uidAndCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 || cmd.ArgsLenAtDash() == 0 {
		return usagef("the application is missing")
	}
	if err := cmd.ParseFlags(args[1:]); err != nil { // it has stopped at the UID
		return cmd.FlagErrorFunc()(cmd, err)
	}
	if help, err := cmd.Flags().GetBool("help"); err == nil && help { // cobra has looked before
		return pflag.ErrHelp
	}
	return nil
}

// completeSSH completes the UID of an Application, and the flags after it: as they are parsed in two steps, cobra knows of
// those before it alone.
func (s *shell) completeSSH(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return s.completeApps(cmd, args, word)
	}
	if !strings.HasPrefix(word, "-") || slices.Contains(args, "--") || cmd.ParseFlags(args[1:]) != nil || cmd.Flags().NArg() > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []cobra.Completion
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			words = append(words, cobra.CompletionWithDesc("--"+f.Name, f.Usage))
		}
	})
	return words, cobra.ShellCompDirectiveNoFileComp
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
