package farm

import (
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// Rows are all that the database of a node that does not run shares with the
// others, as text by (kind, key): version and body, byte for byte. node is its
// UID.
func (m *Member) Rows(node string) map[string]string {
	m.t.Helper()
	uid, err := uuid.Parse(node)
	if err != nil {
		m.t.Fatal(err)
	}
	s, err := store.Open(m.t.Context(), store.Options{Folder: m.Backup(), Node: uid, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		m.t.Fatalf("open a copy of the database of node %d: %v", m.Index, err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			m.t.Errorf("close the copy: %v", err)
		}
	}()
	rows := map[string]string{}
	for origin, newest := range s.Vector() {
		for after := uint64(0); after < newest; {
			b, err := s.Rows(m.t.Context(), origin, after, replica.Limit{Rows: 1000, Bytes: 8 << 20})
			if err != nil {
				m.t.Fatal(err)
			}
			for _, r := range b.Rows {
				rows[RowName(r.Kind, r.Key)] = fmt.Sprintf("%+v deleted=%v %s", r.Version, r.Deleted, r.Body)
			}
			if after == b.To {
				break
			}
			after = b.To
		}
	}
	return rows
}

// RowName names a row in Rows.
func RowName(kind replica.Kind, key []byte) string { return fmt.Sprintf("%d %q", kind, key) }
