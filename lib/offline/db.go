package offline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// errUnsound is the end of a check that found something.
var errUnsound = errors.New("the database is not sound: stop the node, keep the file, and restore a backup " +
	"(aquarium-fish db restore FILE)")

func dbCommand(o Options) *cobra.Command {
	t := &target{}
	db := &cobra.Command{Use: "db", Short: "Copy, check, mend and put back the node's database", Args: cobra.NoArgs}
	t.register(db)
	db.AddCommand(backupCommand(o, t), restoreCommand(o, t), confirmCommand(o, t), checkCommand(o, t), rebuildCommand(o, t))
	return db
}

// run adapts a command to cobra.
func run(o Options, do func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(_ *cobra.Command, args []string) error {
		ctx, stop := o.Context()
		defer stop()
		return do(ctx, args)
	}
}

func backupCommand(o Options, t *target) *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Args: cobra.ExactArgs(1),
		Short: "Write a whole, checked copy of the database to FILE, also while the node runs",
		Long: "Writes a whole copy of the database, of one moment, to FILE, which must not exist; the node may run.\n" +
			"FILE gets its name when it is whole, checked and on disk, and is for its owner alone. Keep the keys\n" +
			"of the node beside it (*.key, *.crt, *_id_ecdsa in its folder): no database starts without them.",
		RunE: run(o, func(ctx context.Context, args []string) error {
			p, err := t.existing(ctx, o.Host)
			if err != nil {
				return err
			}
			yieldCPU()
			start := o.Now()
			stats, err := store.Backup(ctx, store.BackupOptions{Folder: p.folder, File: args[0], Now: start})
			if err != nil {
				return fmt.Errorf("back up %s: %w", p.database(), err)
			}
			_, err = fmt.Fprintf(o.Stdout, "%s: %d bytes, %d applications (%d not over), %d users, %d labels\n",
				args[0], stats.Size, stats.Applications, stats.Open, stats.Users, stats.Labels)
			return err
		}),
	}
}

func restoreCommand(o Options, t *target) *cobra.Command {
	return &cobra.Command{
		Use: "restore FILE", Args: cobra.ExactArgs(1),
		Short: "Put a copy in place of the database of a stopped node",
		Long: "Checks FILE, keeps the present database beside as a dated copy, and puts FILE in its place. The node must\n" +
			"be stopped. A restored node knows nothing of what happened after the copy: until `aquarium-fish db confirm` it\n" +
			"reports environments that it does not know and leaves them alone, and runs nothing that waited in the copy.",
		RunE: run(o, func(ctx context.Context, args []string) error { return restore(ctx, o, t, args[0]) }),
	}
}

func restore(ctx context.Context, o Options, t *target, file string) (err error) {
	p, err := t.find(ctx, o.Host)
	if err != nil {
		return err
	}
	der, unlock, err := p.take()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	kept, stats, err := store.Restore(ctx, store.RestoreOptions{
		Folder: p.folder, File: file, NodeName: p.cfg.NodeName, NodeKeyDER: der, Now: o.Now(),
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", file, err)
	}
	o.note(p, audit.Event{Action: audit.ActionRestore, ObjectName: filepath.Base(file)}) //nolint:contextcheck // what is done is noted, also when ctx ends just now
	if kept != "" {
		kept = "\nkept: " + kept
	}
	_, err = fmt.Fprintf(o.Stdout, "restored: %d applications (%d not over), %d users, %d labels%s\n"+
		"Until you say `aquarium-fish db confirm` the node leaves environments alone that this database does not know, and\n"+
		"does not run what waited in it: it may have been run since.\n", stats.Applications, stats.Open, stats.Users, stats.Labels, kept)
	return err
}

func confirmCommand(o Options, t *target) *cobra.Command {
	var waiting string
	cmd := &cobra.Command{
		Use: "confirm", Args: cobra.NoArgs,
		Short: "Let the node go on with a restored database; it may run",
		Long: "Lets the node remove the environments that its restored database does not know, and decides about the applications\n" +
			"that waited, or were being made, when the copy was made. They may have been run since, which nobody can tell but\n" +
			"those who asked for them: --waiting=run runs them (again), --waiting=end ends them as ERROR. To decide one by one,\n" +
			"look with `app list --active` and deallocate those that nobody needs before.",
		RunE: run(o, func(ctx context.Context, _ []string) error {
			choice := store.Choice(waiting)
			if choice != store.ChoiceNone && choice != store.ChoiceRun && choice != store.ChoiceEnd {
				return fmt.Errorf("--waiting: got %q, want %s or %s", waiting, store.ChoiceRun, store.ChoiceEnd)
			}
			p, err := t.existing(ctx, o.Host)
			if err != nil {
				return err
			}
			c, err := store.Confirm(ctx, p.folder, choice)
			if errors.Is(err, store.ErrChoose) {
				return fmt.Errorf("%d %w: say --waiting=run to run them, or --waiting=end to end them as ERROR", c.Waiting, err)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(o.Stdout, confirmed(c, choice))
			return err
		}),
	}
	cmd.Flags().StringVar(&waiting, "waiting", "", "what becomes of applications that waited: run or end; needed if there are any")
	return cmd
}

func confirmed(c store.Confirmation, choice store.Choice) string {
	if c.Taken.IsZero() {
		return "nothing to confirm: the database is no restored copy"
	}
	text := fmt.Sprintf("confirmed the copy of %s: what it does not know is removed within some minutes", c.Taken.Local().Format(time.DateTime))
	if c.Waiting == 0 {
		return text
	}
	return fmt.Sprintf("%s, %d applications that waited will %s", text, c.Waiting, choice)
}

func checkCommand(o Options, t *target) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "check [FILE]", Args: cobra.MaximumNArgs(1),
		Short: "Check the database, or a copy of it in FILE; the node may run",
		RunE: run(o, func(ctx context.Context, args []string) error {
			co, path, err := whatToCheck(ctx, o, t, args)
			if err != nil {
				return err
			}
			report, err := store.Check(ctx, co)
			if err != nil {
				return fmt.Errorf("check %s: %w", path, err)
			}
			return o.tell(path, report, asJSON)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// whatToCheck is the node's database, or the named file.
func whatToCheck(ctx context.Context, o Options, t *target, args []string) (co store.CheckOptions, path string, err error) {
	if len(args) == 1 {
		return store.CheckOptions{File: args[0]}, args[0], nil
	}
	p, err := t.existing(ctx, o.Host)
	if err != nil {
		return co, "", err
	}
	if der, err := p.key(); err == nil { // without it there is less to check
		co.Node = crypt.NodeUID(der)
	}
	co.File = p.database()
	return co, co.File, nil
}

// tell prints what a check found.
func (o Options) tell(path string, r store.CheckReport, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(o.Stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return err
		}
	} else {
		for _, f := range r.Findings {
			if _, err := fmt.Fprintln(o.Stdout, f); err != nil {
				return err
			}
		}
		s := r.Stats
		copied := ""
		if s.Restored != nil {
			copied = ", a copy of " + s.Restored.Local().Format(time.DateTime) + " that nobody confirmed"
		}
		if _, err := fmt.Fprintf(o.Stdout, "%s: %d bytes, %d applications (%d not over, %d environments), %d users, %d labels%s\n",
			path, s.Size, s.Applications, s.Open, s.Allocations, s.Users, s.Labels, copied); err != nil {
			return err
		}
	}
	if len(r.Findings) > 0 {
		return errUnsound
	}
	return nil
}
