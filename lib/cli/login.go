package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// loginCommand checks a password and stores it.
func loginCommand(s *shell) *cobra.Command {
	var stdin bool
	c := &cobra.Command{
		Use: "login", Short: "Check a password and store it for later commands", Args: cobra.NoArgs,
		Long: `Ask for the password of the user, check it with the node, and store it in a file that only you can read, in your config
folder. 'aquarium-fish logout' removes it.`,
		Example: `  aquarium-fish login --user alice
  aquarium-fish login --context lab --password-stdin < password`,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.login(cmd.Context(), stdin) },
	}
	s.target.register(c.Flags())
	s.completeFlags(c)
	c.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from stdin")
	return c
}

func (s *shell) login(ctx context.Context, stdin bool) error {
	if s.ConfigDir == "" {
		return usagef("no folder for the password: set HOME or XDG_CONFIG_HOME")
	}
	t, err := s.resolve()
	if err != nil {
		return err
	}
	password, err := s.loginPassword(ctx, t, stdin)
	if err != nil {
		return err
	}
	api, err := s.connect(t, password)
	if err != nil {
		return err
	}
	if _, err := result(api.UserMeGetWithResponse(ctx)); err != nil {
		if isStatus(err, 401) {
			return fmt.Errorf("wrong user name or password for %s at %s: nothing was stored", t.User, t.Address)
		}
		return err
	}
	if err := durable.WriteFile(s.storedPassword(t), []byte(password+"\n"), modeOwn); err != nil {
		return fmt.Errorf("store password: %w", err)
	}
	s.note("logged in as %s at %s", printable(t.User), t.Address)
	if s.Env(envPassword) != "" {
		s.note("Warning: %s is set and wins over what was stored.", envPassword)
	}
	return nil
}

// loginPassword finds the password to check: what is stored is what login is to replace, so it is not looked at.
func (s *shell) loginPassword(ctx context.Context, t target, stdin bool) (string, error) {
	switch {
	case stdin:
		return s.passwordFromStdin()
	case s.target.passwordFile != "":
		return readPassword(s.path(s.target.passwordFile))
	case s.ReadSecret == nil:
		return "", usagef("no terminal to ask for the password on: use --password-stdin or --password-file FILE")
	}
	return s.askPassword(ctx, fmt.Sprintf("Password of %s at %s: ", printable(t.User), t.Address))
}

// logoutCommand removes what login stored.
func logoutCommand(s *shell) *cobra.Command {
	c := &cobra.Command{
		Use: "logout", Short: "Remove the password that login stored", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			t, err := s.resolve()
			if err != nil {
				return err
			}
			removed, err := s.removeStored(t)
			if err == nil && !removed {
				s.note("no password is stored for %s at %s", printable(t.User), t.Address)
			}
			return err
		},
	}
	s.target.register(c.Flags())
	s.completeFlags(c)
	return c
}

// removeStored removes the password that login stored, if it did.
func (s *shell) removeStored(t target) (removed bool, err error) {
	if s.ConfigDir == "" {
		return false, nil
	}
	err = os.Remove(s.storedPassword(t))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove stored password: %w", err)
	}
	return true, nil
}
