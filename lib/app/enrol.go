package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/config"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/enrol"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// newEnrolment makes what invites machines into the cluster and signs their certificates, and keeps the node's own one
// up to date: where the CA's key is not here, a member that has it signs.
func (a *App) newEnrolment(cfg *config.Config, db *store.Store, id *crypt.Identity, m *member, trail *audit.Log, log *slog.Logger) (*enrol.Service, error) {
	a.addPart("certificates", func(ctx context.Context) error { return id.Run(ctx, m.askRenewal) })
	service, err := enrol.New(enrol.Options{
		Node: id.UID, File: filepath.Join(cfg.Directory, cfg.NodeName+"_invitations.json"), Identity: id,
		Cluster: known{db}, Addresses: reachedAt(cfg.NodeAddress, a.api.addr()), Holders: m.holders, Joined: joinedEvent(trail, log),
		Log: log.With("component", "enrol"),
	})
	if err != nil {
		return nil, fmt.Errorf("make enrolment: %w", err)
	}
	return service, nil
}

// reachedAt are the addresses of this node for others: the one that it is known by, and the one that it listens on, if
// that is one.
func reachedAt(nodeAddress, bound string) []string {
	addresses := []string{nodeAddress}
	host, _, err := net.SplitHostPort(bound)
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() || slices.Contains(addresses, bound) {
		return addresses
	}
	return append(addresses, bound)
}

// joinedEvent tells log and audit who joined, or was refused.
func joinedEvent(trail *audit.Log, log *slog.Logger) func(enrol.Event) {
	log = log.With("component", "enrol")
	return func(e enrol.Event) {
		noted := audit.Event{Action: "cluster.join", ObjectName: e.Name, Address: e.Remote, Result: audit.ResultOK, Detail: "invited by " + e.By}
		switch {
		case e.Err != nil:
			noted.Result, noted.Detail = audit.ResultRefused, e.Err.Error()
			log.Warn("node did not join", "joining", e.Name, "remote", e.Remote, "reason", e.Err.Error())
		case e.Again:
			noted.Detail += ", answered again"
			log.Info("node that joined was answered again", "joining", e.Name, "remote", e.Remote, "invited_by", e.By)
		default:
			log.Info("node joined: its certificate is signed", "joining", e.Name, "remote", e.Remote, "invited_by", e.By)
		}
		trail.Note(noted)
	}
}

// known is what the database says of the cluster.
type known struct{ db *store.Store }

// Members are the stored nodes, and those that were retired.
func (k known) Members(context.Context) ([]enrol.Member, error) {
	var members []enrol.Member
	stored := map[model.UID]bool{}
	for _, n := range k.db.Nodes() {
		_, retired := k.db.Retirement(n.UID)
		members = append(members, enrol.Member{UID: n.UID, Name: n.Name, Address: n.Address, Retired: retired})
		stored[n.UID] = true
	}
	for _, r := range k.db.Retirements() {
		if !stored[r.NodeUID] { // it was retired before this node heard of it
			members = append(members, enrol.Member{UID: r.NodeUID, Retired: true})
		}
	}
	return members, nil
}

// Admin is the user admin.
func (k known) Admin() (model.User, bool) { return k.db.UserByName(model.AdminName) }

// HasUser reports whether there is a user of the name.
func (k known) HasUser(name string) bool {
	_, ok := k.db.UserByName(name)
	return ok
}

// HasLabel reports whether there is a label NAME:VERSION.
func (k known) HasLabel(ref string) bool {
	i := strings.LastIndexByte(ref, ':')
	if i < 0 {
		return false
	}
	version, err := strconv.Atoi(ref[i+1:])
	return err == nil && slices.ContainsFunc(k.db.Labels(), func(l model.Label) bool { return l.Name == ref[:i] && l.Version == version })
}
