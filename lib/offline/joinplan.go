package offline

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/lib/audit"
	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/lib/enrol"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// plan writes down all that is to be done.
func (j *joining) plan(answer enrol.JoinAnswer, cas []*x509.Certificate) enrol.Journal {
	journal := enrol.Journal{
		Node: j.cfg.NodeName, CAs: string(crypt.EncodeBundle(cas)), Chain: answer.Certificate, Addresses: answer.Addresses,
	}
	aside := asideSuffix + j.Now().UTC().Format("20060102T150405Z")
	if !j.ofCluster() && j.found.CAs != nil {
		journal.Moves = append(journal.Moves, [2]string{j.cfg.TLSCACrt, j.cfg.TLSCACrt + aside})
	}
	if !j.ofCluster() && j.found.CAKey {
		key := strings.TrimSuffix(j.cfg.TLSCACrt, filepath.Ext(j.cfg.TLSCACrt)) + ".key"
		journal.Moves = append(journal.Moves, [2]string{key, key + aside})
	}
	if j.found.Chain != nil {
		journal.Moves = append(journal.Moves, [2]string{j.cfg.TLSCrt, j.cfg.TLSCrt + aside})
	}
	if j.data.folder != "" {
		journal.Database, journal.Kept = j.data.folder, databaseFile+aside
	}
	if j.importing {
		journal.Users, journal.Labels = j.data.users, j.data.labels
	}
	if answer.Admin != nil && !j.keepsDatabase() {
		journal.Users = append(journal.Users, model.User{Name: model.AdminName, Hash: *answer.Admin})
	}
	return journal
}

// keepsDatabase reports whether the node goes on with a database that is there: it is of the cluster already.
func (j *joining) keepsDatabase() bool {
	found, err := databases(j.cfg.Directory)
	return j.ofCluster() && err == nil && len(found) > 0
}

// finish does what the journal says. Every step may have been done before.
func (j *joining) finish(ctx context.Context, journal *enrol.Journal) error {
	cas, err := crypt.ParseBundle([]byte(journal.CAs))
	if err != nil {
		return fmt.Errorf("read journal of the join: %w", err)
	}
	if err := journal.SetFilesAside(); err != nil {
		return err
	}
	if err := crypt.StoreMembership(j.files, cas, []byte(journal.Chain)); err != nil {
		return err
	}
	if err := j.finishDatabase(ctx, journal); err != nil {
		return err
	}
	missing, err := j.file.complete(ctx, j, journal)
	if err != nil {
		return err
	}
	if _, err := os.Stat(j.cfg.AuditFile); err == nil { // a fresh machine has none yet
		j.note(place{cfg: j.cfg}, audit.Event{Action: "cluster.join", ObjectName: j.cfg.NodeName}) //nolint:contextcheck // what is done is noted, also when ctx ends just now
	}
	if err := journal.Done(j.cfg.Directory); err != nil {
		return err
	}
	return j.tell(j.result(journal, cas[0], missing))
}

// finishDatabase sets the old one aside, and brings along what is to be in the new one.
func (j *joining) finishDatabase(ctx context.Context, journal *enrol.Journal) error {
	if journal.Database != "" {
		if err := store.SetAside(ctx, journal.Database, journal.Kept); err != nil {
			return err
		}
	}
	return j.bringAlong(ctx, journal)
}

// result is what the user is told at the end.
func (j *joining) result(journal *enrol.Journal, ca *x509.Certificate, missing string) string {
	uid := crypt.KeyHash(ca)
	text := fmt.Sprintf("joined: node %s of the cluster %x, by way of %s", j.cfg.NodeName, uid[:8], strings.Join(journal.Addresses, ", "))
	others := slices.DeleteFunc(slices.Clone(journal.Users), func(u model.User) bool { return u.Name == model.AdminName })
	if len(others)+len(journal.Labels) > 0 {
		text += fmt.Sprintf("\nbrought along: %d users, %d labels", len(others), len(journal.Labels))
	}
	if len(others) < len(journal.Users) {
		text += "\nthe user admin has the password that it has in the cluster"
	}
	if journal.Database != "" {
		text += "\nkept: " + filepath.Join(journal.Database, journal.Kept)
	}
	if missing != "" {
		text += "\nput into the node's config, and start it:\n" + strings.TrimSuffix(missing, "\n")
	} else {
		text += "\nstart the node with --cfg " + j.file.path
	}
	host, _, _ := net.SplitHostPort(j.cfg.NodeAddress) // checked with the config
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		text += "\nnode_address is " + j.cfg.NodeAddress + ": nodes on other machines do not reach it there, set the address that they use"
	}
	return text
}

func (j *joining) tell(text string) error {
	_, err := fmt.Fprintln(j.Stdout, text)
	return err
}

// tellPlan says what would have been done.
func (j *joining) tellPlan() error {
	text := fmt.Sprintf("would join as %s by way of %s; nothing was done, the token can still be redeemed", j.token.Name, strings.Join(j.token.Addresses, ", "))
	if !j.data.empty() {
		text += fmt.Sprintf("\nthe node holds %s, which would be kept beside", j.data)
	}
	if j.importing {
		users, labels := j.data.names()
		text += fmt.Sprintf("\nwould bring along: users %s, labels %s\nthe cluster has already: users %s, labels %s",
			listed(users), listed(labels), listed(j.data.takenUsers), listed(j.data.takenLabels))
	}
	return j.tell(text)
}

// listed is a list of names for people.
func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
