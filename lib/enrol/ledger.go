package enrol

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/durable"
)

// ledger is the file of invitations. What it returns without an error is on the disk.
type ledger struct {
	path string

	writing sync.Mutex // held while the file is written: one change after the other

	mu  sync.Mutex
	all []Invitation // guarded by mu
}

// openLedger reads the file; none is an empty one.
func openLedger(path string) (*ledger, error) {
	l := &ledger{path: path}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &l.all)
	}
	if err != nil {
		return nil, fmt.Errorf("read invitations %s: %w; if it can not be mended remove it: invitations that are not redeemed are lost then", path, err)
	}
	return l, nil
}

// list are the invitations, the oldest first.
func (l *ledger) list(now time.Time) []Invitation {
	l.mu.Lock()
	defer l.mu.Unlock()
	return prune(l.all, now)
}

// change replaces the invitations by what f makes of them, on the disk and then in memory. After an error nothing has
// changed.
func (l *ledger) change(now time.Time, f func(all []Invitation) ([]Invitation, error)) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	next, err := f(l.list(now))
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return fmt.Errorf("encode invitations: %w", err)
	}
	if err := durable.WriteFile(l.path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("store invitations: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = next
	return nil
}

// errTooMany is for invitations that nobody redeems.
var errTooMany = errors.New("there are 1000 invitations already: revoke those that nobody needs, or wait until they expire")

// add keeps a new one; an open one for the same name is revoked: a name is invited once.
func (l *ledger) add(i Invitation, now time.Time) error {
	return l.change(now, func(all []Invitation) ([]Invitation, error) {
		if len(all) >= maxInvitations {
			return nil, errTooMany
		}
		for n := range all {
			if strings.EqualFold(all[n].Name, i.Name) && all[n].Status(now) == StatusOpen {
				all[n].RevokedAt = now
			}
		}
		return append(all, i), nil
	})
}

// revoke ends an open invitation by its ID or name, and returns those that it ended.
func (l *ledger) revoke(ref string, now time.Time) (ended []Invitation, err error) {
	err = l.change(now, func(all []Invitation) ([]Invitation, error) {
		for n := range all {
			if (all[n].ID == ref || all[n].Name == ref) && all[n].Status(now) == StatusOpen {
				all[n].RevokedAt = now
				ended = append(ended, all[n])
			}
		}
		if ended == nil {
			return nil, errNotOpen
		}
		return all, nil
	})
	return ended, err
}

// errNotOpen is for what can not be revoked.
var errNotOpen = errors.New("no invitation of that ID or name is open")

// redeem decides, and notes that the invitation is redeemed before anybody acts on it: after a crash in between the same
// key may come again, and no other.
func (l *ledger) redeem(r claim, now time.Time) (found Invitation, again bool, err error) {
	err = l.change(now, func(all []Invitation) ([]Invitation, error) {
		at := find(all, r.secret)
		if at < 0 {
			return nil, errUnknown()
		}
		if refused := redeem(all[at], r.name, r.key, now); refused != nil {
			return nil, refused
		}
		if again = all[at].Key != nil; !again {
			all[at].Key, all[at].RedeemedAt = slices.Clone(r.key[:]), now
		}
		all[at].Address = r.address
		found = all[at]
		return all, nil
	})
	return found, again, err
}

// check is redeem that notes nothing.
func (l *ledger) check(r claim, now time.Time) error {
	all := l.list(now)
	at := find(all, r.secret)
	if at < 0 {
		return errUnknown()
	}
	if refused := redeem(all[at], r.name, r.key, now); refused != nil {
		return refused
	}
	return nil
}

// claim is who wants to redeem a token.
type claim struct {
	secret        Secret
	name, address string
	key           [32]byte
}

func errUnknown() *Refusal {
	return &Refusal{CodeUnknown, "This node knows no such invitation: it ended more than a day ago, or the token is of another node; " +
		"ask for another one: aquarium-fish cluster invite NAME"}
}

// idOf is how people call an invitation.
func idOf(s Secret) string {
	hash := s.Hash()
	return hex.EncodeToString(hash[:4])
}
