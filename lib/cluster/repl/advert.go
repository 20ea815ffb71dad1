package repl

import (
	"context"
	"fmt"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/cluster/wire"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// advertLoop tells the other side how far this node is: at once after quiet,
// then at most once per interval.
func (s *Session) advertLoop(ctx context.Context) error {
	told := s.opts.Told.Clone()
	var last time.Time
	for {
		mine := s.engine.vector()
		again := s.takeAgain()
		for origin := range told.Delta(mine) { // less is here than before: this node took a new incarnation
			again[origin], told[origin] = true, mine[origin]
		}
		if len(again) == 0 {
			news := !told.Covers(mine)
			if rest := s.engine.opts.AdvertInterval - time.Since(last); !news || rest > 0 {
				if !news {
					rest = -1
				}
				if !pause(ctx, rest, s.announce) {
					return ctx.Err()
				}
				continue
			}
		}
		for _, advert := range adverts(mine, told, again) {
			if err := s.opts.Advertise(ctx, advert); err != nil {
				return fmt.Errorf("advertise: %w", err)
			}
			told.Merge(advert.Vector)
		}
		last = time.Now()
	}
}

func (s *Session) takeAgain() map[replica.Origin]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	again := s.again
	s.again = map[replica.Origin]bool{}
	return again
}

// adverts says mine to somebody who was told told, then repeats the entries of
// the origins that it has to send again: that an entry comes a second time is
// what asks for it.
func adverts(mine, told replica.Vector, again map[replica.Origin]bool) []wire.Advert {
	var out []wire.Advert
	if news := mine.Delta(told); len(news) > 0 {
		out = append(out, wire.Advert{Vector: news})
	}
	if len(again) > 0 {
		repeated := replica.Vector{}
		for origin := range again {
			repeated[origin] = max(mine[origin], told[origin])
		}
		out = append(out, wire.Advert{Vector: repeated})
	}
	return out
}
