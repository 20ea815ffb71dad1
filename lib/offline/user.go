package offline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// resetTimeout bounds a reset: opening a large database included.
const resetTimeout = 5 * time.Minute

// UserReset returns the command `reset` of `user`: a new password for somebody
// who lost it, with the node stopped. Whoever can write the node's folder is
// its operator.
func UserReset(o Options) *cobra.Command {
	t := &target{}
	var offline bool
	cmd := &cobra.Command{
		Use: "reset NAME --offline", Args: cobra.ExactArgs(1),
		Short: "Give a user a new password and print it; the node must be stopped",
		RunE: run(o, func(ctx context.Context, args []string) error {
			if !offline {
				return errors.New("a lost password is replaced with the node stopped: stop it and say --offline; " +
					"while it runs an admin sets the passwords of others")
			}
			return resetUser(ctx, o, t, args[0])
		}),
	}
	t.register(cmd)
	cmd.Flags().BoolVar(&offline, "offline", false, "work on the folder of a stopped node")
	return cmd
}

// resetUser stores a new password and then prints it: what is printed is
// durable, and what was not printed is made anew by the next try.
func resetUser(ctx context.Context, o Options, t *target, name string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, resetTimeout)
	defer cancel()
	p, err := t.existing(ctx, o.Host)
	if err != nil {
		return err
	}
	der, unlock, err := p.take()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	password := crypt.RandomPassword()
	if err := storePassword(ctx, o, p.folder, passwordOf{crypt.NodeUID(der), name, crypt.HashPassword(password)}); err != nil {
		return err
	}
	o.note(p, audit.Event{Action: audit.ActionUserReset, ObjectName: name}) //nolint:contextcheck // what is done is noted, also when ctx ends just now
	_, err = fmt.Fprintln(o.Stdout, password)
	return err
}

// passwordOf is a user's new one, and the node that writes it.
type passwordOf struct {
	node model.UID
	name string
	hash model.PasswordHash
}

func storePassword(ctx context.Context, o Options, folder string, u passwordOf) (err error) {
	log := slog.New(slog.NewTextHandler(o.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := store.Open(ctx, store.Options{Folder: folder, Node: u.node, Logger: log})
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.PutUser(ctx, u.name, func(old *model.User) (model.User, error) {
		if old == nil {
			return model.User{}, fmt.Errorf("there is no user %q: start the node and create it; admin comes back by itself", u.name)
		}
		user := *old
		user.Hash = u.hash
		return user, nil
	})
	if err != nil {
		return fmt.Errorf("store the new password: %w", err)
	}
	return nil
}
