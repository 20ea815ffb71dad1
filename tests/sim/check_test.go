package sim

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/aquarium-fish/aquarium-fish/lib/election"
	"github.com/aquarium-fish/aquarium-fish/lib/replica"
)

// sight is what the checks saw of a process.
type sight struct {
	boot   uint64
	own    replica.Origin
	vector replica.Vector
	over   int // for how many looks it has had too many links
}

// digest is all rows that a node has, one line each.
func (p *process) digest() map[string]string {
	all := map[string]string{}
	for origin, seq := range p.store.Vector() {
		b, err := p.store.Rows(context.Background(), origin, 0, replica.Limit{Rows: 1 << 30, Bytes: 1 << 40})
		if err != nil {
			p.farm.t.Fatalf("read rows of node %d: %v", p.index, err)
		}
		all[fmt.Sprintf("vector %s/%d", origin.Node, origin.Incarnation)] = fmt.Sprint(seq)
		for _, r := range b.Rows {
			all[fmt.Sprintf("%d %x", r.Kind, r.Key)] = fmt.Sprintf("%v %v %x", r.Version, r.Deleted, sha256.Sum256(r.Body))
		}
	}
	return all
}

// look checks at one moment what has to hold at each.
func (f *farm) look() {
	for _, m := range f.nodes {
		if p := m.p; p != nil {
			p.lookAtVector()
			p.lookAtLinks()
			p.lookAtMemory()
			p.lookAtDigests()
			p.lookAtSilence()
		}
	}
	f.world.mu.Lock()
	defer f.world.mu.Unlock()
	if f.safety == election.Strict || !f.silent {
		for app, how := range f.world.twice {
			f.t.Errorf("seed %d: application %s ran twice: %s", f.seed, app, how)
			delete(f.world.twice, app)
		}
	}
}

// lookAtVector: what a process knows never gets less, and what the node wrote
// itself not even by a loss of power.
func (p *process) lookAtVector() {
	vector, own := p.store.Vector(), p.store.Origin()
	if p.last.own != own { // it took a new incarnation, as what it wrote by the last one was lost
		delete(p.last.vector, p.last.own)
	}
	if p.last.boot == p.boot && !vector.Covers(p.last.vector) {
		p.farm.t.Errorf("seed %d: the vector of node %d fell from %v to %v", p.farm.seed, p.index, p.last.vector, vector)
	}
	if vector[own] < p.last.vector[own] {
		p.farm.t.Errorf("seed %d: node %d lost own rows: %d of %d", p.farm.seed, p.index, vector[own], p.last.vector[own])
	}
	p.last.boot, p.last.own, p.last.vector = p.boot, own, vector
}

// lookAtDigests: neighbours compare what they have all the time, and never find
// a difference, unless a disk was put back without its node being able to tell.
func (p *process) lookAtDigests() {
	found := p.engine.Stats().Mismatches + p.mismatches
	if found > 0 && !p.farm.lostDisk() && !p.told {
		p.told = true
		p.farm.t.Errorf("seed %d: node %d found %d rows that it should have had, or that nobody lacked", p.farm.seed, p.index, found)
	}
}

// lostDisk reports whether some disk was put back, marker and all.
func (f *farm) lostDisk() bool {
	for _, m := range f.nodes {
		if m.lost {
			return true
		}
	}
	return false
}

// lookAtLinks: there are not more links than allowed for longer than it takes
// to end one, but for those that are the only way to somebody.
func (p *process) lookAtLinks() {
	spare := 0
	for _, l := range p.cluster.Status().Links {
		if !l.Bridge {
			spare++
		}
	}
	limit := p.farm.maxLinks
	if limit == 0 {
		limit = 8
	}
	if spare <= limit || !p.awake() {
		p.last.over = 0
		return
	}
	if p.last.over++; p.last.over == 10 {
		p.farm.t.Errorf("seed %d: node %d has %d links for 10 s, want at most %d", p.farm.seed, p.index, spare, limit)
	}
}

// lookAtMemory: what came and is not written yet is bounded.
func (p *process) lookAtMemory() {
	if w := p.engine.Stats().Waiting; w > 16<<20 {
		p.farm.t.Errorf("seed %d: %d bytes wait on node %d", p.farm.seed, w, p.index)
	}
}

// lookAtSilence notes when an available cluster may go on without somebody.
func (p *process) lookAtSilence() {
	for _, other := range p.farm.nodes {
		if !p.farm.silent && p.cluster.Unreachable(other.uid) > silentAfter {
			p.farm.silent = true
		}
	}
}

// silentAfter is a little less than what an available cluster waits.
const silentAfter = 5*time.Minute - 10*time.Second

// watch looks each second until done is closed.
func (f *farm) watch(done chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Second):
			f.look()
		}
	}
}

// same reports whether all nodes have the same rows, and how two differ.
func (f *farm) same() (equal bool, difference string) {
	living := f.living()
	want := living[0].p.digest()
	for _, m := range living[1:] {
		got := m.p.digest()
		var lines []string
		for key, value := range want {
			if got[key] != value {
				lines = append(lines, fmt.Sprintf("%s: the first node has %s, node %d %s", key, value, m.index, got[key]))
			}
		}
		for key, value := range got {
			if _, known := want[key]; !known {
				lines = append(lines, fmt.Sprintf("%s: the first node has none, node %d %s", key, m.index, value))
			}
		}
		if len(lines) > 0 {
			slices.Sort(lines)
			return false, fmt.Sprintf("%d rows differ, such as %v", len(lines), lines[:min(10, len(lines))])
		}
	}
	return true, ""
}
