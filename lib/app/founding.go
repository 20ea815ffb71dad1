package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// founding makes what a cluster needs and does not have: the user admin, and the location of the node. A node that knows
// of others asks them first, or its own would take the place of theirs.
type founding struct {
	config *config.Config
	store  *store.Store
	member *member
	stderr io.Writer
	trail  *audit.Log
	log    *slog.Logger
}

// standing is what the decision follows from.
type standing struct {
	self    model.UID
	ready   bool             // this node has caught up, or found nobody
	covered bool             // it has all that the members told of which it can reach
	members []cluster.Member // as they are seen from here
}

// founds reports whether it is this node that makes what nobody has. Of several that can reach each other it is the one
// with the lowest UID.
func (s standing) founds() bool {
	if !s.ready || !s.covered {
		return false
	}
	for _, m := range s.members {
		if m.Reachable() && bytes.Compare(m.LSA.Node[:], s.self[:]) < 0 {
			return false
		}
	}
	return true
}

// found begins the founding: at once where there is nobody to ask, so that the password is printed before the node
// serves, else as soon as it is known what the others have.
func (a *App) found(ctx context.Context, f founding) error {
	if len(f.config.ClusterJoin) > 0 || len(f.member.known()) > 0 {
		a.addPart("founding", f.wait)
		return nil
	}
	if err := f.location(ctx); err != nil {
		return err
	}
	_, err := f.admin(ctx)
	return err
}

// foundingLook is how often it is looked at whether there is an admin. Nobody can ask the node for anything before.
const foundingLook = 100 * time.Millisecond

// wait makes what is lacking when the others were heard, and lives as long as the node.
func (f founding) wait(ctx context.Context) error {
	users := f.store.Subscribe(store.KindUser)
	defer users.Close()
	for !f.settled(ctx) {
		select {
		case <-ctx.Done():
			return nil
		case <-users.C():
			users.Take()
		case <-time.After(foundingLook):
		}
	}
	<-ctx.Done()
	return nil
}

// settled reports whether all is there; it makes it where that is up to this node.
func (f founding) settled(ctx context.Context) bool {
	if !f.member.Ready() {
		return false
	}
	err := f.location(ctx)
	if err == nil && !f.adminKnown() {
		s := standing{self: f.member.node.UID, ready: true, covered: f.member.coversReachable(), members: f.member.Members()}
		if !s.founds() {
			return false
		}
		var hash model.PasswordHash
		if hash, err = f.admin(ctx); err == nil {
			f.tellIfLost(ctx, hash)
			return true
		}
	}
	if err != nil && ctx.Err() == nil {
		f.log.Error("what the cluster lacks can not be made yet", "error", err)
	}
	return err == nil
}

func (f founding) adminKnown() bool {
	_, ok := f.store.UserByName(model.AdminName)
	return ok
}

// admin creates the user admin if it is absent and tells its password (contract 4, 10). It is told before it is stored: a
// node that dies in between makes another one at the next start, and none is lost. It gives way to one that another node
// has.
func (f founding) admin(ctx context.Context) (hash model.PasswordHash, err error) {
	if f.adminKnown() {
		return hash, nil
	}
	password := crypt.RandomPassword()
	hash = crypt.HashPassword(password)
	if _, err := fmt.Fprintf(f.stderr, "Admin user pass: %s\n", password); err != nil {
		return hash, fmt.Errorf("tell the password of the new admin: %w", err)
	}
	created, err := f.store.CreateFirstUser(ctx, model.User{Name: model.AdminName, Hash: hash, HLC: f.rank()})
	if err == nil && !created && !f.adminKnown() { // it was deleted: this is a change like any other
		_, err = f.store.PutUser(ctx, model.AdminName, func(old *model.User) (model.User, error) {
			if old != nil {
				return *old, nil
			}
			return model.User{Hash: hash}, nil
		})
	}
	if err != nil {
		return hash, fmt.Errorf("create user admin: %w", err)
	}
	f.trail.Note(audit.Event{Action: "user.set", ObjectName: model.AdminName, Result: audit.ResultOK, Detail: "created by the node: there was none"})
	return hash, nil
}

// rank says whose admin, and whose location, stays where several nodes made one. That of a cluster's first node has long been in use: it must
// not go because somebody comes who was to join, and could not reach anybody for a while.
func (f founding) rank() model.HLC {
	if len(f.config.ClusterJoin) == 0 {
		return 1
	}
	return 0
}

// tellIfLost waits until the admin is another one than this node printed the password of, and says so.
func (f founding) tellIfLost(ctx context.Context, printed model.PasswordHash) {
	users := f.store.Subscribe(store.KindUser)
	defer users.Close()
	for {
		if now, ok := f.store.UserByName(model.AdminName); !ok || !bytes.Equal(now.Hash.Hash, printed.Hash) {
			f.log.Warn("the password of admin that this node printed holds no more: it was changed, or another node of the cluster made " +
				"the admin first; use the newer one, or the one that the other node printed")
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-users.C():
			users.Take()
		}
	}
}

// location creates the node's location if nobody has yet; one that is described already stays as it is, and so does one
// of which this node does not know yet.
func (f founding) location(ctx context.Context) error {
	name := f.config.NodeLocation
	if _, ok := f.store.Location(name); ok || name == "" {
		return nil
	}
	l := model.Location{Name: name, Description: "Created by node " + f.config.NodeName, HLC: f.rank()}
	created, err := f.store.CreateFirstLocation(ctx, l)
	if _, ok := f.store.Location(name); err == nil && !created && !ok { // it was deleted: this is a change like any other
		_, err = f.store.PutLocation(ctx, l)
	}
	if err != nil {
		return fmt.Errorf("create location %q: %w", name, err)
	}
	return nil
}
