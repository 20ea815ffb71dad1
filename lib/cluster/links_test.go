package cluster

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/model"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

type countingSession struct{ adverts int }

func (s *countingSession) Run(context.Context) error { return nil }

func (s *countingSession) Advert(wire.Advert) { s.adverts++ }

// TestInventedOriginsEndTheLink: what is remembered of a neighbour is bounded.
func TestInventedOriginsEndTheLink(t *testing.T) {
	const each = 1000
	session := &countingSession{}
	c, n := &Cluster{}, &neighbour{theirs: replica.Vector{}, session: session}
	for i := range 2 * maxOrigins / each {
		v := replica.Vector{}
		for j := range each {
			node := model.UID{15: 1}
			binary.BigEndian.PutUint32(node[:], uint32(i*each+j))
			v[replica.Origin{Node: node}] = 1
		}
		err := c.advertised(n, wire.Advert{Vector: v})
		if want := (i+1)*each > maxOrigins; (err != nil) != want {
			t.Fatalf("with %d origins advertised = %v, want an error: %v", len(n.theirs), err, want)
		}
		if err != nil {
			break
		}
	}
	if session.adverts != maxOrigins/each {
		t.Errorf("%d adverts were taken in, want %d", session.adverts, maxOrigins/each)
	}
}
