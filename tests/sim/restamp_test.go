package sim

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/restamp"
)

var (
	errHeld   = errors.New("the others hold back what this node writes")
	errAsleep = errors.New("it does not answer")
)

// setRight makes what gives rows of a clock that was ahead the right time, as
// lib/app does.
func (p *process) setRight(log *slog.Logger) (*restamp.Restamp, error) {
	return restamp.New(restamp.Options{
		Ahead: p.store.Ahead, Now: p.now, Logger: log,
		Write: func(ctx context.Context) error {
			p.stand()
			done, err := p.store.Restamp(ctx)
			p.farm.restamped.Add(int64(done.Rows))
			p.cluster.Touch()
			return err
		},
		Neighbours: func() (nodes []model.UID) {
			for _, l := range p.cluster.Status().Links {
				nodes = append(nodes, l.Node)
			}
			return nodes
		},
		Ask: func(_ context.Context, node model.UID) (time.Time, error) {
			for _, m := range p.farm.nodes {
				if m.uid == node && m.awake() {
					return m.now(), nil
				}
			}
			return time.Time{}, errAsleep
		},
	})
}
