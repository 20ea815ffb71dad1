package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
	"github.com/aquarium-fish/aquarium-fish/openapi/client"
)

// userCommand is the noun of Users.
func userCommand(s *shell) *cobra.Command {
	c := s.noun("user", "Say who may use the farm",
		userList(s),
		userGet(s),
		userCreate(s),
		userPassword(s),
		userRemove(s),
	)
	c.Aliases = []string{"users"}
	return c
}

func userList(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List users (admin)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			users, err := result(api.UserListWithResponse(cmd.Context(), nil))
			if err != nil {
				return err
			}
			return s.print(s.usersView(users, *users))
		},
	}
}

func (s *shell) usersView(data any, users []apiv1.User) view {
	v := view{Data: data, Header: []string{"NAME", "AGE", "CHANGED"}, Empty: "no users"}
	for _, u := range users {
		v.Names = append(v.Names, u.Name)
		v.Rows = append(v.Rows, []string{u.Name, age(s.Now(), u.CreatedAt), age(s.Now(), u.UpdatedAt)})
	}
	return v
}

func userGet(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "get [NAME]", Short: "Show a user (admin), or who you are", Args: cobra.MaximumNArgs(1), ValidArgsFunction: s.completeUsers,
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			var user *apiv1.User
			if len(args) == 0 {
				user, err = result(api.UserMeGetWithResponse(cmd.Context()))
			} else {
				user, err = getUser(cmd.Context(), api, args[0])
			}
			if err != nil {
				return err
			}
			return s.print(s.usersView(user, []apiv1.User{*user}))
		},
	}
}

// getUser asks for one user.
func getUser(ctx context.Context, api client.ClientWithResponsesInterface, name string) (*apiv1.User, error) {
	if name == "" {
		return nil, usagef("the name of the user is empty")
	}
	u, err := result(api.UserGetWithResponse(ctx, name))
	if isStatus(err, 404) {
		return nil, notFoundf("there is no user %q: 'aquarium-fish user list' shows those there are", name)
	}
	return u, err
}

// newPassword are the flags of where a new password comes from.
type newPassword struct {
	generate, stdin bool
	file            string
}

func (n *newPassword) register(c *cobra.Command) {
	c.Flags().BoolVar(&n.generate, "generate", false, "let the node make one and print it, this once")
	c.Flags().StringVar(&n.file, "new-password-file", "", "file of the new password, readable by you alone")
	c.Flags().BoolVar(&n.stdin, "password-stdin", false, "read the new password from stdin")
	c.MarkFlagsMutuallyExclusive("generate", "new-password-file", "password-stdin")
}

// read finds the new password; empty for one that the node makes.
func (n *newPassword) read(ctx context.Context, s *shell, user string) (string, error) {
	switch {
	case n.generate:
		return "", nil
	case n.file != "":
		return readPassword(s.path(n.file))
	case n.stdin:
		return s.passwordFromStdin()
	case s.ReadSecret == nil:
		return "", usagef("no terminal to ask for the new password on: use --generate, --password-stdin or --new-password-file FILE")
	}
	p, err := s.askPassword(ctx, fmt.Sprintf("New password of %s: ", printable(user)))
	if err != nil {
		return "", err
	}
	again, err := s.askPassword(ctx, "Once more: ")
	if err == nil && p != again {
		return "", usagef("the two passwords differ: nothing was changed")
	}
	return p, err
}

// passwordFromStdin reads one line.
func (s *shell) passwordFromStdin() (string, error) {
	text, err := readSmall(s.Stdin, "stdin")
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	p := trimLine(string(text))
	if p == "" {
		return "", usagef("stdin holds no password")
	}
	return p, nil
}

func userCreate(s *shell) *cobra.Command {
	n := &newPassword{}
	c := &cobra.Command{
		Use: "create NAME", Short: "Create a user (admin)", Args: cobra.ExactArgs(1),
		Long: "Create a user (admin). The password is asked for on a terminal, or comes as the flags say: never as an argument, which others on the machine can see.",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			_, err = getUser(cmd.Context(), api, args[0])
			if err == nil {
				return fmt.Errorf("there is a user %q already: 'aquarium-fish user passwd' sets the password", args[0])
			}
			if !isNotFound(err) {
				return err
			}
			password, err := n.read(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			return s.setPassword(cmd.Context(), api, args[0], password)
		},
	}
	n.register(c)
	return c
}

// isNotFound reports whether what was asked for is not there.
func isNotFound(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Code == CodeNotFound
}

// setPassword makes the user or sets the password, and shows one that the node made.
func (s *shell) setPassword(ctx context.Context, api client.ClientWithResponsesInterface, name, password string) error {
	made, err := result(api.UserCreateWithResponse(ctx, apiv1.UserRequest{Name: name, Password: password}))
	if err != nil {
		return err
	}
	rows := [][]string{{"Name", made.Name}}
	if made.Password != "" {
		rows = append(rows, []string{"Password", made.Password})
	}
	return s.print(view{Data: made, Names: []string{made.Name}, Rows: rows})
}

func userPassword(s *shell) *cobra.Command {
	n := &newPassword{}
	c := &cobra.Command{
		Use: "passwd [NAME]", Short: "Set your own password, or as the admin that of another user", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: s.completeUsers,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.changePassword(cmd.Context(), args, n)
		},
	}
	n.register(c)
	return c
}

// changePassword sets the password of a user who is there.
func (s *shell) changePassword(ctx context.Context, args []string, n *newPassword) error {
	t, err := s.resolve()
	if err != nil {
		return err
	}
	api, err := s.api(ctx)
	if err != nil {
		return err
	}
	name := t.User
	if len(args) > 0 {
		name = args[0]
	}
	if name != t.User {
		if _, err := getUser(ctx, api, name); err != nil { // else a misspelt name would become a user
			return err
		}
	}
	password, err := n.read(ctx, s, name)
	if err != nil {
		return err
	}
	if err := s.setPassword(ctx, api, name, password); err != nil {
		return err
	}
	if name != t.User || s.ConfigDir == "" {
		return nil
	}
	removed, err := s.removeStored(t)
	if removed {
		s.note("the stored password is no longer right and was removed: 'aquarium-fish login' stores the new one")
	}
	return err
}

func userRemove(s *shell) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME...", Aliases: []string{"remove", "delete"}, Short: "Remove users (admin); their applications stay", Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: s.completeUsers,
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := s.api(cmd.Context())
			if err != nil {
				return err
			}
			for _, name := range args {
				if _, err := getUser(cmd.Context(), api, name); err != nil {
					return err
				}
			}
			for _, name := range args {
				if _, err := result(api.UserDeleteWithResponse(cmd.Context(), name)); err != nil {
					return err
				}
				s.note("user %s removed", printable(name))
			}
			return nil
		},
	}
}
