package store

import (
	"context"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

const userColumns = "name, algo, prop_memory, prop_iterations, prop_threads, salt, hash, created_at, updated_at, hlc"

func scanUser(row scanner) (u model.User, err error) {
	h := &u.Hash
	err = row.Scan(&u.Name, &h.Algo, &h.Memory, &h.Iterations, &h.Threads, &h.Salt, &h.Hash,
		nanos{&u.CreatedAt}, nanos{&u.UpdatedAt}, &u.HLC)
	return u, err
}

// UserByName returns a user. Its HLC changes with every write of the user on this
// node; one of another node may have the same reading, and another password.
func (s *Store) UserByName(name string) (model.User, bool) {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	u, ok := s.memory.users.rows[name]
	return u, ok
}

// PutUser creates or changes a user: change gets the stored one, nil if there
// is none, and returns what to store. Name, times and clock reading are filled
// in. Its error is returned as it is, and nothing is written. It runs in the
// writer, maybe twice: a password is hashed before.
func (s *Store) PutUser(
	ctx context.Context, name string, change func(old *model.User) (model.User, error),
) (model.User, error) {
	var put model.User
	err := s.do(ctx, func(t *tx) (err error) {
		put, err = t.putUser(name, change)
		return err
	})
	if err != nil {
		return model.User{}, err
	}
	return put, nil
}

func (t *tx) putUser(name string, change func(*model.User) (model.User, error)) (model.User, error) {
	var old *model.User
	if u, ok := t.users.get(name); ok {
		old = &u
	}
	u, err := change(old)
	if err != nil {
		return u, err
	}
	u.Name, u.CreatedAt, u.UpdatedAt, u.HLC = name, t.now, t.now, t.store.clock.Next(t.now)
	if old != nil {
		u.CreatedAt = old.CreatedAt
	}
	if err := recordChange(t, u, replica.EncodeUser, model.NilUID); err != nil {
		return u, err
	}
	return u, t.storeUser(u)
}

// RehashUser stores another hash of the password that a user has, unless the user was changed since it was read: its HLC
// or its hash is another one. Nothing new is said of the user by that, so the row is hardly newer than the one that it
// replaces: a change or a deletion that was made on a node which can not be heard stays when it comes, also if it is
// older than this call.
func (s *Store) RehashUser(ctx context.Context, read model.User, hash model.PasswordHash) (model.User, error) {
	var put model.User
	err := s.do(ctx, func(t *tx) error {
		old, known := t.users.get(read.Name)
		if !known || old.HLC != read.HLC || !old.Hash.Equal(read.Hash) {
			return fmt.Errorf("user %q was changed meanwhile", read.Name)
		}
		put = old
		put.Hash, put.HLC = hash, t.store.clock.Next(t.now)
		if err := t.recordRehash(put); err != nil {
			return err
		}
		return t.storeUser(put)
	})
	if err != nil {
		return model.User{}, err
	}
	return put, nil
}

func (t *tx) recordRehash(u model.User) error {
	old, err := t.findRow(replica.KindUser, []byte(u.Name))
	if err != nil {
		return err
	}
	body, err := replica.EncodeUser(u)
	version := t.nextVersion()
	if old != nil && err == nil {
		version.HLC = old.Version.HLC + 1
		body, err = replica.Rewrite(old.Body, body)
	}
	if err != nil {
		return err
	}
	return t.stageOwn(&syncRow{Row: replica.Row{Kind: replica.KindUser, Key: []byte(u.Name), Version: version, Body: body}})
}

// CreateFirstUser creates a user that nobody asked for, such as a fresh node's
// admin, if no node is known to have had one of that name. It loses against any
// other of the name: that one somebody knows the password of. u.HLC is what it
// counts among first users of several nodes: the higher one stays; far below any
// reading of a clock. It reports whether it was created.
func (s *Store) CreateFirstUser(ctx context.Context, u model.User) (created bool, err error) {
	err = s.do(ctx, func(t *tx) error {
		if _, known := t.users.get(u.Name); known {
			created = false
			return nil
		}
		first := u
		first.CreatedAt, first.UpdatedAt, first.HLC = t.now, t.now, t.store.clock.Next(t.now)
		body, err := replica.EncodeUser(first)
		if err != nil {
			return err
		}
		if created, err = t.stageFirst(replica.KindUser, u.Name, u.HLC, body); err != nil || !created {
			return err
		}
		return t.storeUser(first)
	})
	return created && err == nil, err
}

func (t *tx) storeUser(u model.User) error {
	if err := t.run(func(w nounWriter) error { return w.insertUser(u) }); err != nil {
		return err
	}
	t.then(Key{Kind: KindUser, Name: u.Name}, func() { t.users.changed[u.Name] = &u })
	return nil
}

func (exec execFunc) insertUser(u model.User) error {
	_, err := exec("INSERT OR REPLACE INTO users ("+userColumns+") VALUES (?,?,?,?,?,?,?,?,?,?)",
		u.Name, u.Hash.Algo, u.Hash.Memory, u.Hash.Iterations, u.Hash.Threads, u.Hash.Salt, u.Hash.Hash,
		toNanos(u.CreatedAt), toNanos(u.UpdatedAt), int64(u.HLC))
	return exists(err, "insert user")
}

func (t *tx) deleteUser(name string) error {
	if err := t.run(func(w nounWriter) error { return w.deleteUser(name) }); err != nil {
		return err
	}
	t.then(Key{Kind: KindUser, Name: name}, func() { t.users.changed[name] = nil })
	return nil
}

func (exec execFunc) deleteUser(name string) error {
	return exec.step("delete user", "DELETE FROM users WHERE name = ?", name)
}

// DeleteUser removes a user, and reports whether there was one. The user's
// applications stay.
func (s *Store) DeleteUser(ctx context.Context, name string) (bool, error) {
	var existed bool
	err := s.do(ctx, func(t *tx) error {
		if _, existed = t.users.get(name); !existed {
			return nil
		}
		if err := t.recordDeleted(replica.KindUser, []byte(name)); err != nil {
			return err
		}
		return t.deleteUser(name)
	})
	if err != nil {
		return false, err
	}
	return existed, nil
}
