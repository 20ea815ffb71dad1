package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster"
	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
	"github.com/aquarium-fish/aquarium-fish/lib/store"
)

// What lib/app does for a member of a cluster.

func (p *process) report() cluster.Report {
	p.stand()
	origin := p.store.Origin()
	return cluster.Report{
		Incarnation: origin.Incarnation, RowSeq: p.store.Vector()[origin], NotAfter: epoch.Add(10000 * time.Hour),
		Maintenance: p.drained.Load(), Available: p.farm.safety == election.Available,
		Succession: model.SumOfRetirements(p.store.Retirements()),
	}
}

func (p *process) known() []cluster.Known {
	p.stand()
	retired := map[model.UID]bool{}
	for _, r := range p.store.Retirements() {
		retired[r.NodeUID] = true
	}
	var known []cluster.Known
	for _, n := range p.store.Nodes() {
		if n.UID != p.uid {
			known = append(known, cluster.Known{Node: n.UID, Name: n.Name, Address: n.Address, Location: n.LocationName, Retired: retired[n.UID]})
		}
		delete(retired, n.UID)
	}
	for uid := range retired {
		if uid != p.uid {
			known = append(known, cluster.Known{Node: uid, Retired: true})
		}
	}
	return known
}

// watchKnown tells the cluster that other nodes are known now.
func (p *process) watchKnown(ctx context.Context) {
	sub := p.store.Subscribe(store.KindNode, store.KindRetirement)
	defer sub.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sub.C():
			sub.Take()
			p.cluster.Touch()
		}
	}
}

func (p *process) unfit() string {
	if !p.cluster.Ready() {
		return "not ready"
	}
	return ""
}

// settled says that no other node can have been granted what this one was.
func (p *process) settled() func() bool {
	if p.farm.safety != election.Available {
		return nil
	}
	began := time.Now()
	return func() bool { return p.cluster.Covered(began) }
}

// rewind is what others know of an origin of this node.
type rewind struct {
	origin replica.Origin
	seq    uint64
}

func (p *process) rewound(origin replica.Origin, seq uint64) {
	if !p.store.Suspect(origin, seq) {
		return
	}
	select {
	case p.rewinds <- rewind{origin, seq}:
	default:
	}
}

// reincarnate takes a new incarnation when others know more of this node than
// itself.
func (p *process) reincarnate(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-p.rewinds:
			p.stand()
			_ = p.store.Reincarnate(ctx, r.origin, r.seq) // the next advert brings the next try
			p.cluster.Touch()
		}
	}
}

// handOver gives away what the node decides.
func (p *process) handOver(ctx context.Context) error {
	_, err := p.election.HandOver(ctx, election.Handing{Store: p.rows, Acknowledge: func(ctx context.Context, successor model.UID) error {
		return p.ask(ctx, successor, p.store.Vector())
	}})
	return err
}

// ask returns nil once the node has what the vector names, durable.
func (p *process) ask(ctx context.Context, node model.UID, want replica.Vector) error {
	data, err := want.MarshalBinary()
	if err != nil {
		return err
	}
	conn, err := p.cluster.Dial(ctx, node)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...)); err != nil { //nolint:gosec // a short one
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return err
}

// serve answers ask.
func (p *process) serve(ctx context.Context, conn net.Conn) {
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return
	}
	if binary.BigEndian.Uint32(size[:]) == askVector {
		p.tellVector(conn)
		return
	}
	data, want := make([]byte, binary.BigEndian.Uint32(size[:])), replica.Vector{}
	if _, err := io.ReadFull(conn, data); err != nil || want.UnmarshalBinary(data) != nil {
		return
	}
	for !p.store.Vector().Covers(want) {
		if !nap(ctx, 50*time.Millisecond) {
			return
		}
	}
	p.stand()
	if p.flush(ctx) == nil {
		_, _ = conn.Write([]byte{1}) // who is gone asks again
	}
}

// flush makes all that is stored outlive a loss of power.
func (p *process) flush(ctx context.Context) error {
	own, ok := p.store.Node()
	if !ok {
		return errors.New("the node is not stored yet")
	}
	if _, err := p.store.PutNode(ctx, own); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}
