package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// LocateOptions say whose database to find.
type LocateOptions struct {
	// Directory is the node's data directory.
	Directory string
	// NodeAddress names the database's folder in it (contract 3).
	NodeAddress string
	// NodeName and NodeKeyDER, the public key in PKIX DER, are who the
	// database belongs to.
	NodeName   string
	NodeKeyDER []byte
	Logger     *slog.Logger
}

// Locate returns the folder of the node's database, which need not exist yet.
// If it does not, but exactly one other in the directory holds this node's
// name and key, that one is moved there: the node got a new address. With
// several it is an error that lists them, because a fresh database beside an
// old one would forget everything that runs.
func Locate(ctx context.Context, o LocateOptions) (folder string, err error) {
	if o.NodeAddress == "" || !filepath.IsLocal(o.NodeAddress) || filepath.Base(o.NodeAddress) != o.NodeAddress {
		return "", fmt.Errorf("node address %q can not name a folder", o.NodeAddress)
	}
	folder = filepath.Join(o.Directory, o.NodeAddress)
	if _, err := os.Stat(filepath.Join(folder, fileName)); !errors.Is(err, os.ErrNotExist) {
		return folder, err
	}
	mine, err := o.others(ctx)
	if err != nil {
		return "", err
	}
	switch len(mine) {
	case 0:
		return folder, nil
	case 1:
		return folder, o.move(mine[0], folder)
	}
	slices.Sort(mine)
	return "", fmt.Errorf("there is no database in %s, but %d others are of node %q: %s; rename the right one to %s or set node_address to its name",
		folder, len(mine), o.NodeName, strings.Join(mine, ", "), folder)
}

// others are the folders with a database of this node.
func (o LocateOptions) others(ctx context.Context) ([]string, error) {
	entries, err := os.ReadDir(o.Directory)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the database: %w", err)
	}
	var mine []string
	for _, entry := range entries {
		folder := filepath.Join(o.Directory, entry.Name())
		path := filepath.Join(folder, fileName)
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		key, err := nodeKey(ctx, path, o.NodeName)
		if err != nil {
			o.Logger.Warn("a database in the directory can not be read, it is taken for another node's", "path", path, "error", err)
			continue
		}
		if len(key) > 0 && bytes.Equal(key, o.NodeKeyDER) {
			mine = append(mine, folder)
		}
	}
	return mine, nil
}

// nodeKey reads the key that a database holds for a node, nil if it holds
// none. It changes nothing, and reads our shape as well as v0.7's.
func nodeKey(ctx context.Context, path, node string) (_ []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	db, err := sql.Open(driverName, uri(path)+"?mode=ro&_pragma=query_only(1)&_pragma=busy_timeout(1000)")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	keys, err := column[[]byte](ctx, db, "SELECT pubkey FROM nodes WHERE name = ?", node)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	return keys[0], nil
}

// move gives the database the folder of the node's present address.
func (o LocateOptions) move(from, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) { // only an empty folder goes
		return fmt.Errorf("the database %s can not be moved: %s is in the way and not empty: %w", from, to, err)
	}
	if err := durable.Rename(from, to); err != nil {
		return fmt.Errorf("move database to the node's address: %w", err)
	}
	o.Logger.Info("database moved to the node's address", "from", from, "to", to)
	return nil
}
