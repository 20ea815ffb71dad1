package offline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aquarium-fish/aquarium-fish/lib/app"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
)

// databaseFile is the database's name in its folder (contract 3).
const databaseFile = "sqlite.db"

// Options are what the commands need from outside. All but Stdin and ReadSecret
// are required.
type Options struct {
	// Stdin is where a token may come from.
	Stdin io.Reader
	// ReadSecret shows the prompt and reads a line that is not shown; nil without a terminal.
	ReadSecret func(ctx context.Context, prompt string) (string, error)

	Stdout, Stderr io.Writer
	// Context ends with the signals that end the program.
	Context func() (context.Context, context.CancelFunc)
	// Host is what config defaults follow from.
	Host config.Host
	// Version names the build.
	Version string
	// Now is the time of day.
	Now func() time.Time
}

// Commands returns the commands `db` and `debug`.
func Commands(o Options) []*cobra.Command { return []*cobra.Command{dbCommand(o), debugCommand(o)} }

// target are the flags that say which node is meant; they are those of the node
// itself.
type target struct{ flags config.Flags }

func (t *target) register(cmd *cobra.Command) {
	set := cmd.PersistentFlags()
	set.StringVarP(&t.flags.File, "cfg", "c", "", "the node's config file")
	set.StringVarP(&t.flags.Dir, "dir", "D", "", "the node's folder of keys and database; overrides directory")
	set.StringVarP(&t.flags.Node, "node", "n", "", "the node's address; overrides node_address")
}

// place is where a node keeps its things.
type place struct {
	cfg    *config.Config
	folder string // of the database
	found  bool   // a database is there
}

func (p place) database() string { return filepath.Join(p.folder, databaseFile) }

// find loads the node's config as the node would, and finds its database: in
// the folder of the node's address, or the only one that there is.
func (t *target) find(ctx context.Context, host config.Host) (place, error) {
	cfg, _, err := config.Load(ctx, t.flags, host)
	if err != nil {
		return place{}, err
	}
	p := place{cfg: cfg, folder: filepath.Join(cfg.Directory, cfg.NodeAddress)}
	switch _, err := os.Stat(p.database()); {
	case errors.Is(err, fs.ErrPermission):
		return place{}, fmt.Errorf("look for the database: %w; run this as the node's user, or as root", err)
	case !errors.Is(err, fs.ErrNotExist):
		p.found = err == nil
		return p, err
	}
	others, err := databases(cfg.Directory)
	if err != nil {
		return place{}, err
	}
	switch len(others) {
	case 0:
		return p, nil
	case 1:
		p.folder, p.found = others[0], true
		return p, nil
	}
	return place{}, fmt.Errorf("there is no database in %s, but in %s: say which one by --cfg, or by --node and the name of its folder",
		p.folder, strings.Join(others, ", "))
}

// databases are the folders below directory with a database.
func databases(directory string) ([]string, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, fmt.Errorf("look for the database: %w; name the node's folder by --dir, or its config by --cfg", err)
	}
	var found []string
	for _, e := range entries {
		folder := filepath.Join(directory, e.Name())
		if info, err := os.Stat(filepath.Join(folder, databaseFile)); err == nil && info.Mode().IsRegular() {
			found = append(found, folder)
		}
	}
	return found, nil
}

// existing is find for commands that need a database.
func (t *target) existing(ctx context.Context, host config.Host) (place, error) {
	p, err := t.find(ctx, host)
	if err == nil && !p.found {
		err = fmt.Errorf("there is no database in %s: name the node's folder by --dir, or its config by --cfg", p.cfg.Directory)
	}
	return p, err
}

// take keeps the node from running until unlock, and returns its public key.
func (p place) take() (der []byte, unlock func() error, err error) {
	if der, err = p.key(); err != nil {
		return nil, nil, err
	}
	unlock, err = app.LockNode(p.cfg.Directory, p.cfg.NodeName)
	return der, unlock, err
}

// key is the node's public key.
func (p place) key() ([]byte, error) {
	der, err := crypt.NodePublicKey(p.cfg.TLSKey)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the key of node %q is not there: a database without it is nobody's; put it back, or name the node by --cfg: %w",
			p.cfg.NodeName, err)
	}
	return der, err
}
