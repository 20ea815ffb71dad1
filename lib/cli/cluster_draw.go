package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aquarium-fish/aquarium-fish/openapi/apiv1"
)

// graph is what is drawn: names for members, and who is next to whom.
type graph struct {
	names map[string]string
	next  map[string][]apiv1.ClusterLink // by each end
	done  map[apiv1.ClusterLink]bool     // links that are drawn
	seen  map[string]bool                // members that are drawn
	lines []string
}

// drawLinks draws the links as a tree for each group of members that reach
// each other, the answering node's first, and then those that close a circle.
func drawLinks(x apiv1.ClusterStatus) []string {
	g := &graph{
		names: map[string]string{}, next: map[string][]apiv1.ClusterLink{},
		done: map[apiv1.ClusterLink]bool{}, seen: map[string]bool{},
	}
	for _, m := range x.Members {
		g.names[m.UID.String()] = cut(m.Name, nameWidth)
	}
	for _, l := range x.Links {
		for _, end := range []string{l.FromUID.String(), l.ToUID.String()} {
			g.next[end] = append(g.next[end], l)
		}
	}
	g.tree(x.NodeUID.String())
	for _, m := range x.Members {
		if uid := m.UID.String(); len(g.next[uid]) > 0 {
			g.tree(uid)
		}
	}
	for _, l := range x.Links {
		if !g.done[l] {
			g.lines = append(g.lines, fmt.Sprintf("also %s %s %s", g.name(l.FromUID.String()), edge(l), g.name(l.ToUID.String())))
		}
	}
	return g.lines
}

// name is that of a member, or the beginning of its UID.
func (g *graph) name(uid string) string {
	if name := g.names[uid]; name != "" {
		return name
	}
	return uid[:8]
}

// edge is a link with its round trip.
func edge(l apiv1.ClusterLink) string {
	line := "---"
	if l.Bridge {
		line = "==="
	}
	if l.RttMs <= 0 {
		return line
	}
	format := "%s %.1f %s"
	if l.RttMs >= 100 {
		format = "%s %.0f %s"
	}
	return fmt.Sprintf(format, line, l.RttMs, line)
}

// branch is a member to draw beneath another one.
type branch struct {
	link apiv1.ClusterLink
	uid  string
}

// tree draws what is reached from a member, unless that is drawn already.
func (g *graph) tree(root string) {
	if g.seen[root] {
		return
	}
	g.lines = append(g.lines, g.name(root))
	g.beneath(g.span(root), root, "")
}

// span finds the shortest ways from a member to all others of its group: who
// is beneath whom.
func (g *graph) span(root string) map[string][]branch {
	children := map[string][]branch{}
	g.seen[root] = true
	for queue := []string{root}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		for _, l := range g.next[at] {
			other := l.ToUID.String()
			if other == at {
				other = l.FromUID.String()
			}
			if g.seen[other] {
				continue
			}
			g.seen[other], g.done[l] = true, true
			children[at] = append(children[at], branch{l, other})
			queue = append(queue, other)
		}
		slices.SortStableFunc(children[at], func(a, b branch) int { return strings.Compare(g.name(a.uid), g.name(b.uid)) })
	}
	return children
}

// maxIndent keeps chains of more than twenty members within the terminal.
const maxIndent = 40

// beneath draws the members below one.
func (g *graph) beneath(children map[string][]branch, at, indent string) {
	list := children[at]
	for i, b := range list {
		corner, bar := "├ ", "│ "
		if i == len(list)-1 {
			corner, bar = "└ ", "  "
		}
		g.lines = append(g.lines, indent+corner+edge(b.link)+" "+g.name(b.uid))
		below := indent + bar
		if cellWidth(below) > maxIndent {
			below = indent
		}
		g.beneath(children, b.uid, below)
	}
}
