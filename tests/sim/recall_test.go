package sim

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"math"
	"net"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/recall"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// gatedMemory is what lib/recall needs of a store, behind the gate.
type gatedMemory struct{ *gated }

func (g gatedMemory) EndLapse(ctx context.Context, incarnation uint32) error {
	g.stand()
	return g.Store.EndLapse(ctx, incarnation)
}

// recall makes what hears from all others what the disk may lack.
func (p *process) recall(heard func(), log *slog.Logger) (*recall.Recall, error) {
	return recall.New(recall.Options{
		Store: gatedMemory{p.rows}, Others: p.others, Ask: p.askVector, Name: model.UID.String, Heard: heard, Logger: log,
	})
}

// survey makes what hears from all others what a retired node may have decided.
func (p *process) survey(heard func(), log *slog.Logger) (*recall.Survey, error) {
	return recall.NewSurvey(recall.SurveyOptions{
		Vector: p.store.Vector, Cluster: p.cluster, Others: p.others, Ask: p.askVector, Name: model.UID.String, Heard: heard, Logger: log,
	})
}

// others are the other nodes that were not retired, and whether that can be all.
func (p *process) others() (nodes []model.UID, known bool) {
	known = len(p.join) == 0
	for _, k := range p.known() {
		if known = true; !k.Retired {
			nodes = append(nodes, k.Node)
		}
	}
	return nodes, known
}

func (p *process) lapsed() bool {
	_, lapsed := p.store.Lapsed()
	return lapsed
}

// askVector asks another node up to where it knows everything: a size that no
// vector has.
const askVector = math.MaxUint32

func (p *process) askVector(ctx context.Context, node model.UID) (replica.Vector, error) {
	p.stand()
	conn, err := p.cluster.Dial(ctx, node)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // it only carried a word
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := conn.Write(binary.BigEndian.AppendUint32(nil, askVector)); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(conn)
	if err != nil {
		return nil, err
	}
	var v replica.Vector
	return v, v.UnmarshalBinary(data)
}

// tellVector answers; not all that it names is durable here.
func (p *process) tellVector(conn net.Conn) {
	p.stand()
	if data, err := p.store.Vector().MarshalBinary(); err == nil {
		_, _ = conn.Write(data) // who is gone asks again
	}
	_ = conn.Close()
}
