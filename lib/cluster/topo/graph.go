package topo

import (
	"slices"

	"github.com/aquarium-fish/aquarium-fish/lib/model"
)

// Edge is a link between two nodes, the lower UID first.
type Edge [2]model.UID

// NewEdge is the link between a and b.
func NewEdge(a, b model.UID) Edge {
	if compare(a, b) > 0 {
		a, b = b, a
	}
	return Edge{a, b}
}

// graph is an undirected graph; nodes are in the order of their UIDs, and so
// are the ends of each.
type graph struct {
	nodes []model.UID
	index map[model.UID]int
	ends  [][]int
}

// newGraph builds the graph of the links that both ends tell of.
func newGraph(told map[model.UID][]model.UID) graph {
	g := graph{index: make(map[model.UID]int, len(told))}
	for node := range told {
		g.nodes = append(g.nodes, node)
	}
	slices.SortFunc(g.nodes, compare)
	for i, node := range g.nodes {
		g.index[node] = i
	}
	heard := make(map[[2]int]bool)
	for i, node := range g.nodes {
		for _, end := range told[node] {
			if j, known := g.index[end]; known && i != j {
				heard[[2]int{i, j}] = true
			}
		}
	}
	g.ends = make([][]int, len(g.nodes))
	for pair := range heard {
		if heard[[2]int{pair[1], pair[0]}] {
			g.ends[pair[0]] = append(g.ends[pair[0]], pair[1])
		}
	}
	for _, ends := range g.ends {
		slices.Sort(ends)
	}
	return g
}

// route is the way from the start to a node.
type route struct {
	next int // the first hop; the node itself if it is a neighbour
	hops int
}

// routes are the shortest ways from start to all that it reaches; of equally
// short ones that over the lowest UIDs.
func (g graph) routes(start int) map[int]route {
	found := map[int]route{start: {next: start}}
	for queue := []int{start}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		for _, end := range g.ends[at] {
			if _, known := found[end]; known {
				continue
			}
			next := found[at].next
			if at == start {
				next = end
			}
			found[end] = route{next: next, hops: found[at].hops + 1}
			queue = append(queue, end)
		}
	}
	return found
}

// components are the parts of the graph that reach each other, each in order.
func (g graph) components() [][]model.UID {
	var parts [][]model.UID
	seen := make([]bool, len(g.nodes))
	for i := range g.nodes {
		if seen[i] {
			continue
		}
		var part []model.UID
		for j := range g.routes(i) {
			seen[j] = true
			part = append(part, g.nodes[j])
		}
		slices.SortFunc(part, compare)
		parts = append(parts, part)
	}
	return parts
}

// bridges are the links whose loss cuts a part in two (Tarjan).
func (g graph) bridges() map[Edge]bool {
	found := map[Edge]bool{}
	entered, lowest := make([]int, len(g.nodes)), make([]int, len(g.nodes)) // 0: not yet
	clock := 0
	var visit func(at, from int)
	visit = func(at, from int) {
		clock++
		entered[at], lowest[at] = clock, clock
		for _, end := range g.ends[at] {
			if end == from {
				continue // there is at most one link between two nodes
			}
			if entered[end] == 0 {
				visit(end, at)
				if lowest[end] > entered[at] {
					found[NewEdge(g.nodes[at], g.nodes[end])] = true
				}
			}
			lowest[at] = min(lowest[at], lowest[end])
		}
	}
	for i := range g.nodes {
		if entered[i] == 0 {
			visit(i, -1)
		}
	}
	return found
}
