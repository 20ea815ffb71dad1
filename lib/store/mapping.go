package store

import (
	"context"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

const mappingColumns = "uid, application_uid, location_name, service, redirect, created_at, hlc"

func scanMapping(row scanner) (m model.ServiceMapping, err error) {
	err = row.Scan(&m.UID, &m.ApplicationUID, &m.LocationName, &m.Service, &m.Redirect, nanos{&m.CreatedAt}, &m.HLC)
	return m, err
}

// ServiceMapping returns a service mapping.
func (s *Store) ServiceMapping(uid model.UID) (model.ServiceMapping, bool) {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	m, ok := s.memory.mappings.rows[uid]
	return m, ok
}

// ServiceMappings returns all service mappings in creation order. The slice is
// shared: it must not be changed.
func (s *Store) ServiceMappings() []model.ServiceMapping {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return s.memory.mappings.list
}

// CreateServiceMapping stores a new service mapping, with UID, time and clock
// reading filled in. ErrExists if the service is mapped already for that
// application and location.
func (s *Store) CreateServiceMapping(ctx context.Context, m model.ServiceMapping) (model.ServiceMapping, error) {
	var created model.ServiceMapping
	err := s.do(ctx, func(t *tx) (err error) {
		created, err = t.createMapping(m)
		return err
	})
	if err != nil {
		return model.ServiceMapping{}, err
	}
	return created, nil
}

func (t *tx) createMapping(m model.ServiceMapping) (model.ServiceMapping, error) {
	if _, taken := t.mappings.find(func(o model.ServiceMapping) bool {
		return o.ApplicationUID == m.ApplicationUID && o.LocationName == m.LocationName && o.Service == m.Service
	}); taken {
		return m, fmt.Errorf("mapping of service %q: %w", m.Service, ErrExists)
	}
	m.UID, m.CreatedAt, m.HLC = t.store.uids.New(t.now), t.now, t.store.clock.Next(t.now)
	if err := record(t, m, replica.EncodeServiceMapping, m.ApplicationUID); err != nil {
		return m, err
	}
	return m, t.putMapping(m)
}

func (t *tx) putMapping(m model.ServiceMapping) error {
	if err := t.run(func(w nounWriter) error { return w.insertMapping(m) }); err != nil {
		return err
	}
	t.then(Key{Kind: KindServiceMapping, UID: m.UID}, func() { t.mappings.changed[m.UID] = &m })
	return nil
}

func (exec execFunc) insertMapping(m model.ServiceMapping) error {
	_, err := exec("INSERT OR REPLACE INTO service_mappings ("+mappingColumns+") VALUES (?,?,?,?,?,?,?)",
		key(m.UID), key(m.ApplicationUID), m.LocationName, m.Service, m.Redirect, toNanos(m.CreatedAt), int64(m.HLC))
	return exists(err, "insert service mapping")
}

func (t *tx) deleteMapping(uid model.UID) error {
	if err := t.run(func(w nounWriter) error { return w.deleteMapping(uid) }); err != nil {
		return err
	}
	t.then(Key{Kind: KindServiceMapping, UID: uid}, func() { t.mappings.changed[uid] = nil })
	return nil
}

func (exec execFunc) deleteMapping(uid model.UID) error {
	return exec.step("delete service mapping", "DELETE FROM service_mappings WHERE uid = ?", key(uid))
}

// DeleteServiceMapping removes a service mapping, and reports whether there
// was one.
func (s *Store) DeleteServiceMapping(ctx context.Context, uid model.UID) (bool, error) {
	var existed bool
	err := s.do(ctx, func(t *tx) error {
		if _, existed = t.mappings.get(uid); !existed {
			return nil
		}
		if err := t.recordDeleted(replica.KindServiceMapping, uid[:]); err != nil {
			return err
		}
		return t.deleteMapping(uid)
	})
	if err != nil {
		return false, err
	}
	return existed, nil
}

// dropStray drops the mappings of applications that are not here, and were not
// for as long as rows wait for theirs: they came after their application was
// removed. Each node does so for itself, so there is no tombstone.
func (s *Store) dropStray(ctx context.Context, now time.Time) error {
	before := model.HLC(now.Add(-max(keepWaiting, s.opts.Retention)).UnixNano())
	var old []model.ServiceMapping
	s.memory.mu.RLock()
	for _, m := range s.memory.mappings.rows {
		if m.ApplicationUID != model.NilUID && m.HLC < before && s.memory.open[m.ApplicationUID] == nil {
			old = append(old, m)
		}
	}
	s.memory.mu.RUnlock()
	for len(old) > 0 {
		n := min(len(old), dropBatch)
		if err := s.do(ctx, func(t *tx) error { return t.dropStray(old[:n]) }); err != nil {
			return fmt.Errorf("drop service mappings: %w", err)
		}
		old = old[n:]
	}
	return nil
}

func (t *tx) dropStray(old []model.ServiceMapping) error {
	for _, m := range old {
		e, err := t.find(m.ApplicationUID)
		if err != nil {
			return err
		}
		now, known := t.mappings.get(m.UID)
		if e != nil || !known || now.HLC != m.HLC {
			continue
		}
		if err := t.deleteMapping(m.UID); err != nil {
			return err
		}
		if err := t.fail(t.store.engine.dropRow(rowKey{replica.KindServiceMapping, string(m.UID[:])})); err != nil {
			return err
		}
	}
	return nil
}
