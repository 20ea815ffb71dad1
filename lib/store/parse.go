package store

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// parsed is what a row of another node means.
type parsed struct {
	app   model.UID // the application that it belongs to
	apply func(*syncRow) error
}

var errOtherKey = errors.New("the body is of another key")

// decodeRow reads the body of a live row, unless that was done, and checks that
// it is what the key says.
func decodeRow[T replica.Noun](r arrived, decode func([]byte) (T, error)) (T, error) {
	if noun, read := r.noun.(T); read {
		return noun, nil
	}
	noun, err := decode(r.Body)
	if err != nil {
		return noun, err
	}
	if _, key := replica.KeyOf(noun); !bytes.Equal(key, r.Key) {
		return noun, errOtherKey
	}
	return noun, nil
}

// parse reads a row. One that can not be read means nothing here.
func (t *tx) parse(r arrived) (parsed, error) {
	if r.Deleted {
		return t.parseDeleted(r)
	}
	switch r.Kind {
	case replica.KindUser:
		return plainRow(r, replica.DecodeUser, t.storeUser)
	case replica.KindNode:
		return plainRow(r, replica.DecodeNode, t.storeNode)
	case replica.KindLocation:
		return plainRow(r, replica.DecodeLocation, t.putLocation)
	case replica.KindLabel:
		return plainRow(r, replica.DecodeLabel, t.takeLabel)
	case replica.KindRetirement:
		return plainRow(r, replica.DecodeRetirement, t.keepRetirement)
	case replica.KindHandover:
		return plainRow(r, replica.DecodeHandover, t.keepHandover)
	case replica.KindOwnership:
		return plainRow(r, replica.DecodeOwnership, t.keepOwnership)
	}
	return t.parsePart(r)
}

// plainRow is one of a noun that stands alone.
func plainRow[T replica.Noun](r arrived, decode func([]byte) (T, error), apply func(T) error) (parsed, error) {
	noun, err := decodeRow(r, decode)
	if err != nil {
		return parsed{}, fmt.Errorf("read row: %w", err)
	}
	return parsed{apply: func(*syncRow) error { return apply(noun) }}, nil
}

// parsePart reads a row that belongs to an application, or is one.
func (t *tx) parsePart(r arrived) (p parsed, err error) {
	switch r.Kind {
	case replica.KindServiceMapping:
		m, err := decodeRow(r, replica.DecodeServiceMapping)
		return parsed{m.ApplicationUID, func(*syncRow) error { return t.putMapping(m) }}.or(err)
	case replica.KindApplication:
		a, err := decodeRow(r, replica.DecodeApplication)
		return parsed{a.UID, func(row *syncRow) error {
			return t.takePart(row, func(e *model.Entry) error { return t.takeApplication(e, a) })
		}}.or(err)
	case replica.KindApplicationState:
		s, err := decodeRow(r, replica.DecodeApplicationState)
		return parsed{s.ApplicationUID, func(row *syncRow) error {
			return t.takePart(row, func(e *model.Entry) error { return t.takeState(e, s) })
		}}.or(err)
	case replica.KindApplicationTask:
		n, err := decodeRow(r, replica.DecodeApplicationTask)
		return parsed{n.ApplicationUID, func(row *syncRow) error {
			return t.takePart(row, func(e *model.Entry) error { return t.takeTask(e, n) })
		}}.or(err)
	case replica.KindResource:
		n, err := decodeRow(r, replica.DecodeResource)
		return parsed{n.ApplicationUID, func(row *syncRow) error { return t.takePart(row, func(*model.Entry) error { return nil }) }}.or(err)
	case replica.KindResourceAccess:
		a, err := decodeRow(r, replica.DecodeResourceAccess)
		return parsed{a.ApplicationUID, func(row *syncRow) error { return t.takeAccess(row, a) }}.or(err)
	case replica.KindAccessUse:
		u, err := decodeRow(r, replica.DecodeAccessUse)
		return parsed{u.ApplicationUID, func(row *syncRow) error { return t.takeUse(row, u) }}.or(err)
	}
	return p, nil // of a kind that a newer program knows
}

func (p parsed) or(err error) (parsed, error) {
	if err != nil {
		return parsed{}, fmt.Errorf("read row: %w", err)
	}
	return p, nil
}

// parseDeleted reads a tombstone. The other kinds have none.
func (t *tx) parseDeleted(r arrived) (p parsed, err error) {
	switch r.Kind {
	case replica.KindUser:
		p.apply = func(*syncRow) error { return t.deleteUser(string(r.Key)) }
		return p, nil
	case replica.KindLocation:
		p.apply = func(*syncRow) error { return t.deleteLocation(string(r.Key)) }
		return p, nil
	case replica.KindLabel, replica.KindServiceMapping:
	case replica.KindResource:
		p.apply = func(row *syncRow) error {
			if row.app == model.NilUID { // what it deletes is not known here
				return nil
			}
			return t.takePart(row, func(*model.Entry) error { return nil })
		}
		return p, nil
	default:
		return p, nil
	}
	uid, err := replica.UIDKey(r.Key)
	if err != nil {
		return p, fmt.Errorf("read row: %w", err)
	}
	p.apply = func(*syncRow) error { return t.deleteMapping(uid) }
	if r.Kind == replica.KindLabel {
		p.apply = func(*syncRow) error {
			if err := t.deleteLabel(uid); err != nil {
				return err
			}
			return t.labelCame(uid)
		}
	}
	return p, nil
}
