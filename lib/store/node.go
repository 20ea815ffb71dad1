package store

import (
	"bytes"
	"context"
	"fmt"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

const nodeColumns = "uid, name, address, location_name, pubkey, definition, created_at, updated_at, hlc"

func scanNode(row scanner) (n model.Node, err error) {
	err = row.Scan(&n.UID, &n.Name, &n.Address, &n.LocationName, &n.Pubkey, raw(&n.Definition),
		nanos{&n.CreatedAt}, nanos{&n.UpdatedAt}, &n.HLC)
	return n, err
}

// Node returns this node, as PutNode last stored it.
func (s *Store) Node() (model.Node, bool) {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	n, ok := s.memory.nodes.rows[s.opts.Node]
	return n, ok
}

// Nodes returns all nodes in creation order. The slice is shared: it must not
// be changed.
func (s *Store) Nodes() []model.Node {
	s.memory.mu.RLock()
	defer s.memory.mu.RUnlock()
	return s.memory.nodes.list
}

// nodeName is how this node is called in descriptions.
func (t *tx) nodeName() string {
	if n, ok := t.nodes.get(t.store.opts.Node); ok {
		return n.Name
	}
	return t.store.opts.Node.String()
}

// PutNode stores what a node says of itself, and that it is alive now: its
// UpdatedAt is set. A node of that name that is known keeps its UID and
// creation; ErrPubkeyChanged if its key is another.
func (s *Store) PutNode(ctx context.Context, n model.Node) (model.Node, error) {
	var put model.Node
	err := s.do(ctx, func(t *tx) (err error) {
		put, err = t.putNode(n)
		return err
	})
	if err != nil {
		return model.Node{}, err
	}
	return put, nil
}

func (t *tx) putNode(n model.Node) (model.Node, error) {
	n.CreatedAt, n.UpdatedAt, n.HLC, n.Definition = t.now, t.now, t.store.clock.Next(t.now), orEmpty(n.Definition)
	if named, ok := t.nodes.find(func(o model.Node) bool { return o.Name == n.Name && !t.retired(o.UID) }); ok {
		if !bytes.Equal(named.Pubkey, n.Pubkey) {
			return n, fmt.Errorf("node %q: %w", n.Name, ErrPubkeyChanged)
		}
		n.UID, n.CreatedAt = named.UID, named.CreatedAt
	} else if same, ok := t.nodes.get(n.UID); ok { // it was renamed
		n.CreatedAt = same.CreatedAt
	}
	if n.UID == t.store.opts.Node { // what others say of themselves is theirs
		if err := recordChange(t, n, replica.EncodeNode, model.NilUID); err != nil {
			return n, err
		}
	}
	return n, t.storeNode(n)
}

// retired reports whether a node is gone for good; its name is free.
func (t *tx) retired(node model.UID) bool {
	_, ok := t.retirements.find(func(r model.Retirement) bool { return r.NodeUID == node })
	return ok
}

func (t *tx) storeNode(n model.Node) error {
	if err := t.run(func(w nounWriter) error { return w.insertNode(n) }); err != nil {
		return err
	}
	t.then(Key{Kind: KindNode, UID: n.UID}, func() { t.nodes.changed[n.UID] = &n })
	return nil
}

func (exec execFunc) insertNode(n model.Node) error {
	_, err := exec("INSERT OR REPLACE INTO nodes ("+nodeColumns+") VALUES (?,?,?,?,?,?,?,?,?)",
		key(n.UID), n.Name, n.Address, n.LocationName, n.Pubkey, rawText(n.Definition), toNanos(n.CreatedAt), toNanos(n.UpdatedAt),
		int64(n.HLC))
	return exists(err, "insert node")
}
