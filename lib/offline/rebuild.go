package offline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

func rebuildCommand(o Options, t *target) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "rebuild", Args: cobra.NoArgs,
		Short: "Make the tables of a stopped node's database again from what it shares with other nodes",
		Long: "The database has of everything a row that other nodes have too, and tables that are a view of these rows. This\n" +
			"puts the tables in step with the rows again, after rows of a table were lost or changed by hand, and says what was\n" +
			"otherwise. What only this node knows, the records of its environments, stays as it is. The node must be stopped.\n" +
			"All is done in one transaction: after an error, or a kill, the database is as it was. It does not mend a file that\n" +
			"is damaged itself (db check says \"SQLite\"): restore a backup of that.",
		RunE: run(o, func(ctx context.Context, _ []string) error { return rebuild(ctx, o, t, asJSON) }),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func rebuild(ctx context.Context, o Options, t *target, asJSON bool) (err error) {
	p, err := t.existing(ctx, o.Host)
	if err != nil {
		return err
	}
	der, unlock, err := p.take()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	r, err := store.Rebuild(ctx, store.Options{
		Folder: p.folder, Node: crypt.NodeUID(der), Logger: slog.New(slog.NewTextHandler(o.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	if r.Changed() > 0 {
		o.note(p, audit.Event{Action: audit.ActionRebuild, ObjectName: databaseFile}) //nolint:contextcheck // what is done is noted, also when ctx ends just now
	}
	if asJSON {
		enc := json.NewEncoder(o.Stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(r)
	} else {
		err = tellRebuilt(o.Stdout, r)
	}
	if err == nil && len(r.After.Findings) > 0 {
		err = errUnsound
	}
	return err
}

// tellRebuilt prints a line for each kind that there is anything of.
func tellRebuilt(w io.Writer, r store.RebuildReport) error {
	for _, k := range r.Kinds {
		if k == (store.Rebuilt{Kind: k.Kind}) {
			continue
		}
		line := fmt.Sprintf("%s: %d rows, %d missing, %d changed, %d removed", k.Kind, k.Rows, k.Missing, k.Changed, k.Removed)
		if k.Waiting > 0 {
			line += fmt.Sprintf(", %d wait for what is not here yet", k.Waiting)
		}
		if k.Unreadable > 0 {
			line += fmt.Sprintf(", %d of a newer version kept as they are", k.Unreadable)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	if r.Unshared > 0 {
		if _, err := fmt.Fprintf(w, "%d applications were over before the database was shared, and stay as they are\n", r.Unshared); err != nil {
			return err
		}
	}
	for _, f := range r.After.Findings {
		if _, err := fmt.Fprintln(w, f); err != nil {
			return err
		}
	}
	end := "nothing was otherwise than it should be"
	if n := r.Changed(); n > 0 {
		end = fmt.Sprintf("rebuilt: %d entries of the tables were otherwise", n)
	}
	_, err := fmt.Fprintln(w, end)
	return err
}
