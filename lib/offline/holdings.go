package offline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/enrol"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// holdings are what a node that was used alone holds.
type holdings struct {
	folder       string // of its database; empty: it has none
	users        []model.User
	labels       []model.Label
	applications int
	// takenUsers and takenLabels are what the cluster has already.
	takenUsers, takenLabels []string
}

// empty reports whether nobody would miss anything: the admin is made with every database.
func (h holdings) empty() bool { return len(h.users)+len(h.labels)+h.applications == 0 }

// String counts.
func (h holdings) String() string {
	return fmt.Sprintf("%d labels, %d applications and %d users other than admin", len(h.labels), h.applications, len(h.users))
}

// names are those that would be brought along.
func (h holdings) names() (users, labels []string) {
	for _, u := range h.users {
		users = append(users, u.Name)
	}
	for _, l := range h.labels {
		labels = append(labels, labelRef(l))
	}
	return users, labels
}

func labelRef(l model.Label) string { return fmt.Sprintf("%s:%d", l.Name, l.Version) }

// without takes out what the cluster has already.
func (h *holdings) without(a enrol.JoinAnswer) {
	h.takenUsers, h.takenLabels = a.TakenUsers, a.TakenLabels
	h.users = slices.DeleteFunc(h.users, func(u model.User) bool { return slices.Contains(a.TakenUsers, u.Name) })
	h.labels = slices.DeleteFunc(h.labels, func(l model.Label) bool { return slices.Contains(a.TakenLabels, labelRef(l)) })
}

// holdings reads the database of the node, if it has one.
func (j *joining) holdings(ctx context.Context) (h holdings, err error) {
	folder := filepath.Join(j.cfg.Directory, j.cfg.NodeAddress)
	all, err := databases(j.cfg.Directory)
	if err != nil {
		return h, err
	}
	switch {
	case len(all) == 0:
		return h, nil
	case slices.Contains(all, folder):
	case len(all) == 1:
		folder = all[0]
	default:
		return h, fmt.Errorf("there are several databases, %v: set node_address, or --node, to the name of the node's own folder", all)
	}
	h.folder = folder
	stats, err := store.Stat(ctx, filepath.Join(folder, databaseFile))
	if err != nil {
		return h, fmt.Errorf("look what the node holds: %w; if it is of an old version start it once without cluster_join, and stop it", err)
	}
	h.applications = stats.Applications
	node := model.UID{1} // writes nothing: any UID does
	if der, err := crypt.NodePublicKey(j.cfg.TLSKey); err == nil {
		node = crypt.NodeUID(der)
	}
	db, err := openQuietly(ctx, j.Options, folder, node)
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	h.labels = db.Labels()
	for u, err := range db.ListUsers(ctx, store.Query{Caller: store.Caller{Name: model.AdminName, Admin: true}}) {
		if err != nil {
			return h, fmt.Errorf("read users: %w", err)
		}
		if u.Name != model.AdminName {
			h.users = append(h.users, u)
		}
	}
	return h, nil
}

func openQuietly(ctx context.Context, o Options, folder string, node model.UID) (*store.Store, error) {
	log := slog.New(slog.NewTextHandler(o.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := store.Open(ctx, store.Options{Folder: folder, Node: node, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return db, nil
}

// bringAlong writes users and labels into the new database. What is there already stays: the step was done before. The
// node is written too: by its name and key a start finds the database, whatever the node's address is then.
func (j *joining) bringAlong(ctx context.Context, journal *enrol.Journal) (err error) {
	if len(journal.Users)+len(journal.Labels) == 0 {
		return nil
	}
	der, err := crypt.NodePublicKey(j.cfg.TLSKey)
	if err != nil {
		return err
	}
	node := model.Node{
		UID: crypt.NodeUID(der), Name: j.cfg.NodeName, Address: j.cfg.NodeAddress, Pubkey: der, Definition: json.RawMessage("{}"),
	}
	db, err := openQuietly(ctx, j.Options, filepath.Join(j.cfg.Directory, j.cfg.NodeAddress), node.UID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.PutNode(ctx, node); err != nil {
		return fmt.Errorf("write node: %w", err)
	}
	for _, u := range journal.Users { // they give way to whatever the cluster has, or gets to know, of their names
		if _, err := db.CreateFirstUser(ctx, model.User{Name: u.Name, Hash: u.Hash}); err != nil {
			return fmt.Errorf("bring user %q along: %w", u.Name, err)
		}
	}
	for _, l := range journal.Labels {
		if _, err := db.CreateLabel(ctx, l); err != nil && !errors.Is(err, store.ErrExists) {
			return fmt.Errorf("bring label %s along: %w", labelRef(l), err)
		}
	}
	return nil
}
